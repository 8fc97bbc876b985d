"""Requests to `/admin` that no program of ours sends: each is a 4xx, never a 500."""

from __future__ import annotations

import json

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError


def answer_malformed(app: FastAPI) -> None:
    """Have an application answer bodies and parameters that it cannot use.

    FastAPI's own answer repeats the body, which fails if that is no UTF-8.
    """

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        found = [{name: one[name] for name in ("type", "loc", "msg")} for one in error.errors()]
        return Response(json.dumps({"detail": found}), 422, media_type="application/json")


async def without_nul(request: Request) -> None:
    """Refuse a NUL in a path or query: no name has one, and PostgreSQL does not take it."""
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise HTTPException(400, "There is a NUL (%00) in the address.")

"""`/admin/session`, `/admin/login`, `/admin/logout`: for browsers, which send no key by themselves.

These are the paths under `/admin` that need no key.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel

from llmproxy.admin.access import is_operator, not_from_elsewhere
from llmproxy.admin.session import COOKIE, LASTS_S, is_key, proof

if TYPE_CHECKING:
    from llmproxy.runtime import Live


class Key(BaseModel):
    """What somebody signs in with."""

    key: str


class Session(BaseModel):
    """`protected`: there is an admin key. `signed_in`: whoever asks may use /admin."""

    protected: bool
    signed_in: bool


def signing_in_routes(live: Live) -> APIRouter:
    """`/admin/session`, `/admin/login` and `/admin/logout`."""
    router = APIRouter(prefix="/admin", dependencies=[Depends(not_from_elsewhere)])

    @router.get("/session")
    async def session(request: Request) -> Session:
        """Whether a key is needed, and whether whoever asks may come in."""
        key = live.runtime.config.general_settings.admin_key
        return Session(protected=key is not None, signed_in=is_operator(request, live))

    @router.post("/login", status_code=204)
    async def login(shown: Key, request: Request, response: Response) -> None:
        """Show the key, get a cookie."""
        key = live.runtime.config.general_settings.admin_key
        if key is None:
            return  # there is nothing to sign in to
        if not is_key(shown.key, key.get_secret_value()):
            raise HTTPException(401, "That is not the admin_key of this proxy.")
        until = int(time()) + LASTS_S
        response.set_cookie(
            COOKIE,
            proof(key.get_secret_value(), until),
            max_age=LASTS_S,
            path="/admin",
            secure=_is_https(request),
            httponly=True,
            samesite="strict",
        )

    @router.post("/logout", status_code=204)
    async def logout(response: Response) -> None:
        """Forget the cookie."""
        response.delete_cookie(COOKIE, path="/admin", httponly=True, samesite="strict")

    return router


def _is_https(request: Request) -> bool:
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))

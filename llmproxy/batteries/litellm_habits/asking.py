"""Who asks on a path of LiteLLM's: a client with its own key, or somebody who uses `/admin`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from hmac import compare_digest
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from llmproxy.batteries.admin.people import Person, digest_of, people_of
from llmproxy.batteries.litellm_habits.requests import with_bearer
from llmproxy.batteries.settings import full
from llmproxy.errors import GatewayError, Overload
from llmproxy.record import CallOrigin, RequestSummary
from llmproxy.runtime import LiveConfig

TYPES = {401: "auth_error", 403: "auth_error", 404: "not_found_error", 429: "rate_limit_error"}


class LitellmRoute(APIRoute):
    """A route that takes LiteLLM's key header, and answers errors in LiteLLM's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def handler(request: Request) -> Response:
            headers = with_bearer(request.headers.raw)
            as_ours = Request({**request.scope, "headers": headers}, request.receive)
            try:
                return await answer(as_ours)
            except HTTPException as error:
                return error_response(error.status_code, str(error.detail), error.headers)
            except RequestValidationError as error:
                return error_response(422, _in_words(error))

        return handler


def error_response(status: int, message: str, headers: Any = None) -> Response:
    """Return an error as LiteLLM shapes it."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "internal_server_error")
    error = {"message": message, "type": kind, "param": None, "code": str(status)}
    return JSONResponse({"error": error}, status, headers)


def client_of(live: LiveConfig, request: Request) -> CallOrigin | None:
    """Return whom a request would be from if it were a call; None if such a call is refused.

    `caller`: None if the proxy serves everybody. Raises a 503 while that cannot be told.
    """
    summary = RequestSummary()
    try:
        live.runtime.callers.identify(request.headers.raw, summary)
    except Overload as error:  # the keys are being read: no guess, and no operator's key either
        raise HTTPException(503, str(error), {"retry-after": "1"}) from error
    except GatewayError:
        return None
    return summary


def operator_of(live: LiveConfig, request: Request) -> Person | None:
    """Return the operator whose key an identified client has sent: a migrated master key is both.

    Nothing is counted as a guess here: who asks has a key that is valid.
    """
    key = request.headers.get("authorization", "").rpartition(" ")[2]
    people = people_of(full(live.runtime.config.general_settings))
    digest = digest_of(key)
    return next((person for known, person in people if compare_digest(digest, known)), None)


def _in_words(error: RequestValidationError) -> str:
    found = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return "; ".join(found)

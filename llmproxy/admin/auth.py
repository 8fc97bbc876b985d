"""Who may use `/admin`: whoever has `admin_key`, or a session that it began; without one, this
machine only. And nobody whom a page of another site sends."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from ipaddress import ip_address
from time import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel

from llmproxy.runtime import LiveConfig

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig


FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def require_operator(live: LiveConfig) -> Callable[[Request], None]:
    """What FastAPI asks before each path: 401 without the key; 403 for another machine where there
    is no key, and for what a page of another site sends."""

    def check(request: Request) -> None:
        reject_cross_site(request)
        if is_operator(request, live):
            return
        if live.runtime.config.general_settings.admin_key is None:
            raise HTTPException(
                403,
                "/admin answers only to this machine. Set general_settings.admin_key, and send "
                "it as 'Authorization: Bearer KEY'.",
            )
        raise HTTPException(
            401,
            "Send the proxy's admin_key as 'Authorization: Bearer KEY'.",
            {"www-authenticate": "Bearer"},
        )

    return check


def is_operator(request: Request, live: LiveConfig) -> bool:
    """Whether `require_operator` would let a question pass."""
    key = live.runtime.config.general_settings.admin_key
    if key is None:
        return _is_this_machine(request)
    return _shows(request, key.get_secret_value())


def reject_cross_site(request: Request) -> None:
    """A browser says which site's page sends what may change something (CSRF): only our own."""
    origin = request.headers.get("origin")
    if origin is None or request.method in SAFE_METHODS:
        return
    if urlsplit(origin).netloc != request.headers.get("host", ""):
        raise HTTPException(403, f"A page of another site ({origin}) may not do this.")


def _shows(request: Request, key: str) -> bool:
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return is_key(shown.strip(), key)
    return is_session_cookie(request.cookies.get(COOKIE, ""), key, time())


def _is_this_machine(request: Request) -> bool:
    """A program on this machine, not one that another asks through a proxy, and not a page in a
    browser that has made its name lead here (DNS rebinding)."""
    peer = request.client.host if request.client else ""
    name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    through = any(header in request.headers for header in FORWARDED)
    return _is_loopback(peer) and (name == "localhost" or _is_loopback(name)) and not through


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


COOKIE = "llmproxy_session"
SESSION_S = 12 * 3600


def session_cookie(key: str, until: int) -> str:
    """What the cookie says who knows the key, until that Unix time."""
    return f"{until}.{hmac_digest(_secret(key), str(until).encode(), 'sha256').hex()}"


def is_session_cookie(shown: str, key: str, now: float) -> bool:
    """Whether it is one for this key, and its time is not over."""
    until = shown.partition(".")[0]
    if not (until.isascii() and until.isdigit()) or len(until) > 12:
        return False
    return compare_digest(shown.encode(), session_cookie(key, int(until)).encode()) and now < int(
        until
    )


def is_key(shown: str, key: str) -> bool:
    """Compared by digests, so that the time it takes tells nothing of the key."""
    return compare_digest(_secret(shown), _secret(key))


def _secret(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


class LoginRequest(BaseModel):
    """What somebody signs in with."""

    key: str


class SessionInfo(BaseModel):
    """`protected`: there is an admin key. `signed_in`: whoever asks may use /admin."""

    protected: bool
    signed_in: bool


def signing_in_routes(live: LiveConfig) -> APIRouter:
    """`/admin/session`, `/admin/login` and `/admin/logout`."""
    router = APIRouter(prefix="/admin", dependencies=[Depends(reject_cross_site)])

    @router.get("/session")
    async def session(request: Request) -> SessionInfo:
        """Whether a key is needed, and whether whoever asks may come in."""
        key = live.runtime.config.general_settings.admin_key
        return SessionInfo(protected=key is not None, signed_in=is_operator(request, live))

    @router.post("/login", status_code=204)
    async def login(shown: LoginRequest, request: Request, response: Response) -> None:
        """Show the key, get a cookie."""
        key = live.runtime.config.general_settings.admin_key
        if key is None:
            return  # there is nothing to sign in to
        if not is_key(shown.key, key.get_secret_value()):
            raise HTTPException(401, "That is not the admin_key of this proxy.")
        until = int(time()) + SESSION_S
        response.set_cookie(
            COOKIE,
            session_cookie(key.get_secret_value(), until),
            max_age=SESSION_S,
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

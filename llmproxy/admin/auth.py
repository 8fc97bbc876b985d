"""Authentication for `/admin`: the admin key, or a session cookie that browsers get for it.

Without an admin key only this machine has access. Cross-site requests are rejected.
"""

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

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
COOKIE = "llmproxy_session"
SESSION_S = 12 * 3600


class LoginRequest(BaseModel):
    """The admin key, as the login form sends it."""

    key: str


class SessionInfo(BaseModel):
    """`protected`: an admin key is configured. `signed_in`: the client has access to `/admin`."""

    protected: bool
    signed_in: bool


def require_operator(live: LiveConfig) -> Callable[[Request], None]:
    """Return a FastAPI dependency that lets only the operator through.

    It raises a 401 without the key. It raises a 403 for other machines if no key is configured, and
    for requests that another site's page sends.
    """

    def check(request: Request) -> None:
        reject_cross_site(request)
        if is_operator(request, live):
            return
        if live.runtime.config.general_settings.admin_key is None:
            raise HTTPException(
                403,
                "/admin is open to this machine only. Set general_settings.admin_key, and send it "
                "as 'Authorization: Bearer KEY'.",
            )
        raise HTTPException(
            401,
            "Send the proxy's admin_key as 'Authorization: Bearer KEY'.",
            {"www-authenticate": "Bearer"},
        )

    return check


def is_operator(request: Request, live: LiveConfig) -> bool:
    """Return whether a request has access to `/admin`."""
    key = live.runtime.config.general_settings.admin_key
    if key is None:
        return _is_this_machine(request)
    return _is_authenticated(request, key.get_secret_value())


def reject_cross_site(request: Request) -> None:
    """Raise a 403 if another site's page sends a request that may change something (CSRF)."""
    origin = request.headers.get("origin")
    if origin is None or request.method in SAFE_METHODS:
        return
    if urlsplit(origin).netloc != request.headers.get("host", ""):
        raise HTTPException(403, f"Requests from another site ({origin}) are not allowed.")


def session_routes(live: LiveConfig) -> APIRouter:
    """Return `/admin/session`, `/admin/login` and `/admin/logout`, which need no key."""
    router = APIRouter(prefix="/admin", dependencies=[Depends(reject_cross_site)])

    @router.get("/session")
    async def session(request: Request) -> SessionInfo:
        """Return whether a key is needed, and whether the client is signed in."""
        key = live.runtime.config.general_settings.admin_key
        return SessionInfo(protected=key is not None, signed_in=is_operator(request, live))

    @router.post("/login", status_code=204)
    async def login(form: LoginRequest, request: Request, response: Response) -> None:
        """Exchange the admin key for a session cookie."""
        key = live.runtime.config.general_settings.admin_key
        if key is None:
            return
        if not is_key(form.key, key.get_secret_value()):
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
        """Delete the session cookie."""
        response.delete_cookie(COOKIE, path="/admin", httponly=True, samesite="strict")

    return router


def session_cookie(key: str, until: int) -> str:
    """Return a cookie that is valid until a Unix time: the time, and its HMAC by the admin key.

    It carries its own proof, so every worker and instance accepts it and a restart does not end the
    session; a new admin key does.
    """
    return f"{until}.{hmac_digest(_secret(key), str(until).encode(), 'sha256').hex()}"


def is_session_cookie(cookie: str, key: str, now: float) -> bool:
    """Return whether a cookie was made with this key and has not expired."""
    until = cookie.partition(".")[0]
    if not (until.isascii() and until.isdigit()) or len(until) > 12:
        return False
    valid = compare_digest(cookie.encode(), session_cookie(key, int(until)).encode())
    return valid and now < int(until)


def is_key(candidate: str, key: str) -> bool:
    """Compare two keys by their digests, so that the time it takes reveals nothing of the key."""
    return compare_digest(_secret(candidate), _secret(key))


def _secret(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _is_authenticated(request: Request, key: str) -> bool:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return is_key(credential.strip(), key)
    return is_session_cookie(request.cookies.get(COOKIE, ""), key, time())


def _is_this_machine(request: Request) -> bool:
    """Return whether a program on this machine sent the request.

    Neither a proxy may have forwarded it, nor a browser whose page resolves its own name to this
    machine (DNS rebinding).
    """
    peer = request.client.host if request.client else ""
    name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    forwarded = any(header in request.headers for header in FORWARDED)
    return _is_loopback(peer) and (name == "localhost" or _is_loopback(name)) and not forwarded


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _is_https(request: Request) -> bool:
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))

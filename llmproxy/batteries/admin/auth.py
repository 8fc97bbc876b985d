"""Authentication for `/admin`: the admin key, or a session cookie that browsers get for it.

Without an admin key, only programs on this machine have access, and those that send the token that
the proxy printed at its start. Cross-site requests are rejected, wrong keys are slowed down.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from math import ceil
from secrets import token_hex
from time import monotonic, time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel

from llmproxy.batteries.addresses import host_name, is_loopback, is_this_machine
from llmproxy.batteries.admin.guessing import WrongKeys
from llmproxy.batteries.admin.process_family import (
    ENDED_SESSIONS,
    MARK_BYTES,
    START_TOKEN,
    STARTED_AT,
)
from llmproxy.batteries.settings import full

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig

logger = logging.getLogger("llmproxy")

# What a proxy in front adds to a request.
FORWARDED = ("forwarded", "via", "x-real-ip")
FORWARDED_PREFIX = "x-forwarded-"
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


def require_operator(live: LiveConfig) -> Callable[[Request], Awaitable[None]]:
    """Return a FastAPI dependency that lets only the operator through.

    It raises a 401 without the key, and a 429 after wrong ones. It raises a 403 for other machines
    if no key is configured, and for requests that another site's page sends.
    """

    async def check(request: Request) -> None:
        reject_cross_site(request)
        if is_operator(request, live):
            return
        if full(live.runtime.config.general_settings).admin_key is None:
            raise HTTPException(
                403,
                "Without a key, /admin is open to this machine only, and to no request that came "
                "through a proxy. Set general_settings.admin_key, and send it as "
                "'Authorization: Bearer KEY'; until then, the token that the proxy printed at its "
                "start is accepted in its place.",
            )
        raise HTTPException(
            401,
            "Send the proxy's admin_key as 'Authorization: Bearer KEY'.",
            {"www-authenticate": "Bearer"},
        )

    return check


def is_operator(request: Request, live: LiveConfig) -> bool:
    """Return whether a request has access to `/admin`. Raises a 429 after wrong keys."""
    if _is_open(live) and _is_this_machine(request):
        return True
    return _is_authenticated(request, _key_of(live))


def reject_cross_site(request: Request) -> None:
    """Raise a 403 if another site's page sends a request that may change something (CSRF)."""
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "").lower()
    own = origin is None or origin.partition("://")[2] == request.headers.get("host", "")
    if not own or site in ("cross-site", "same-site"):
        page = origin or "which the browser does not name"
        raise HTTPException(403, f"Requests from another site ({page}) are not allowed.")


def session_routes(live: LiveConfig) -> APIRouter:
    """Return `/admin/session`, `/admin/login` and `/admin/logout`, which need no key."""
    router = APIRouter(prefix="/admin", dependencies=[Depends(reject_cross_site)])

    @router.get("/session")
    async def session(request: Request) -> SessionInfo:
        """Return whether a key is needed, and whether the client is signed in."""
        return SessionInfo(protected=not _is_open(live), signed_in=is_operator(request, live))

    @router.post("/login", status_code=204)
    async def login(form: LoginRequest, request: Request, response: Response) -> None:
        """Exchange the admin key for a session cookie."""
        if _is_open(live) and _is_this_machine(request):
            return
        key = _key_of(live)
        if not _is_right(form.key, key, request):
            raise HTTPException(401, "That is not the admin_key of this proxy.")
        response.set_cookie(
            COOKIE,
            session_cookie(key, int(time()) + SESSION_S),
            max_age=SESSION_S,
            path="/admin",
            secure=_is_https(request),
            httponly=True,
            samesite="strict",
        )

    @router.post("/logout", status_code=204)
    async def logout(request: Request, response: Response) -> None:
        """End the session, also for copies of its cookie, and delete the cookie."""
        cookie = request.cookies.get(COOKIE, "")
        if is_session_cookie(cookie, _key_of(live), time()):
            ENDED_SESSIONS.add(_mark_of(cookie))
        response.delete_cookie(COOKIE, path="/admin", httponly=True, samesite="strict")

    return router


def session_cookie(key: str, until: int) -> str:
    """Return a new cookie that is valid until a Unix time: that time, a nonce, and their HMAC.

    It carries its own proof, so every worker and instance accepts it. A new admin key ends the
    session. So does a restart, because the list of sessions that have signed out is lost.
    """
    session = f"{until}-{token_hex(8)}"
    return f"{session}.{_signature(session, key)}"


def is_session_cookie(cookie: str, key: str, now: float) -> bool:
    """Return whether a cookie was made with this key and has not expired."""
    session, _, signature = cookie.partition(".")
    if not compare_digest(signature.encode(), _signature(session, key).encode()):
        return False
    return now < _ends_at(session)


def is_key(candidate: str, key: str) -> bool:
    """Compare two keys by their digests, so that the time it takes reveals nothing of the key."""
    return compare_digest(_secret(candidate), _secret(key))


def _secret(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


def _signature(session: str, key: str) -> str:
    return hmac_digest(_secret(key), session.encode(), "sha256").hex()


def _ends_at(session: str) -> int:
    return int(session.partition("-")[0])


def _mark_of(cookie: str) -> bytes:
    return sha256(cookie.encode()).digest()[:MARK_BYTES]


def _is_open(live: LiveConfig) -> bool:
    return full(live.runtime.config.general_settings).admin_key is None


def _key_of(live: LiveConfig) -> str:
    key = full(live.runtime.config.general_settings).admin_key
    return START_TOKEN if key is None else key.get_secret_value()


def _is_authenticated(request: Request, key: str) -> bool:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _is_right(credential.strip(), key, request)
    cookie = request.cookies.get(COOKIE, "")
    if not is_session_cookie(cookie, key, time()) or _mark_of(cookie) in ENDED_SESSIONS:
        return False
    return _ends_at(cookie) - SESSION_S >= STARTED_AT


def _is_right(candidate: str, key: str, request: Request) -> bool:
    """Return whether a client sent the right key. Raises a 429 without looking at it if its address
    has to wait after wrong ones."""
    address = request.client.host if request.client else ""
    now = monotonic()
    wrong_keys: WrongKeys = request.app.state.wrong_keys
    pause_s = wrong_keys.pause_s(address, now)
    if pause_s > 0:
        raise HTTPException(
            429,
            f"Too many wrong keys came from this address. Try again in {pause_s:.1f} s.",
            {"retry-after": str(ceil(pause_s))},
        )
    if is_key(candidate, key):
        wrong_keys.forget(address)
        return True
    tries = wrong_keys.count(address, now)
    logger.warning("A wrong key was sent to /admin from %s (%d in a row).", address, tries)
    return False


def _is_this_machine(request: Request) -> bool:
    """Return whether a program on this machine sent the request.

    Neither may a proxy have forwarded it (nginx speaks HTTP/1.0 and adds nothing by default), nor a
    browser whose page resolves its own name to this machine (DNS rebinding).
    """
    peer = request.client.host if request.client else ""
    name = host_name(request.headers.get("host", "").encode("latin-1"))
    if not (is_loopback(peer) and is_this_machine(name)):
        return False
    return request.scope["http_version"] != "1.0" and not any(
        header in FORWARDED or header.startswith(FORWARDED_PREFIX) for header in request.headers
    )


def _is_https(request: Request) -> bool:
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))

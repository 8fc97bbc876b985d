"""Who may use `/admin`: whoever has `admin_key`, or a session that it began; without one, this
machine only. And nobody whom a page of another site sends."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from time import time
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from llmproxy.admin.session import COOKIE, is_key, is_proof
from llmproxy.runtime import Live

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def only_the_operator(live: Live) -> Callable[[Request], None]:
    """What FastAPI asks before each path: 401 without the key; 403 for another machine where there
    is no key, and for what a page of another site sends."""

    def check(request: Request) -> None:
        not_from_elsewhere(request)
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


def is_operator(request: Request, live: Live) -> bool:
    """Whether `only_the_operator` would let a question pass."""
    key = live.runtime.config.general_settings.admin_key
    if key is None:
        return _is_this_machine(request)
    return _shows(request, key.get_secret_value())


def not_from_elsewhere(request: Request) -> None:
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
    return is_proof(request.cookies.get(COOKIE, ""), key, time())


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

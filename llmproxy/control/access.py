"""Who may use `/admin`: whoever has `admin_key`; without one, this machine only."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from llmproxy.runtime import Live

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def only_the_operator(live: Live) -> Callable[[Request], None]:
    """What FastAPI asks before each path: 401 without the key; 403 for another machine where there
    is no key."""

    def check(request: Request) -> None:
        key = live.runtime.config.general_settings.admin_key
        if key is None:
            _require_this_machine(request)
            return
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        known = _digest(key.get_secret_value())
        if scheme.lower() != "bearer" or not compare_digest(_digest(shown.strip()), known):
            raise HTTPException(
                401,
                "Send the proxy's admin_key as 'Authorization: Bearer KEY'.",
                {"www-authenticate": "Bearer"},
            )

    return check


def _digest(key: str) -> bytes:
    """Compared in place of the key itself, so that the time it takes tells nothing of it."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _require_this_machine(request: Request) -> None:
    """Without a key: a program on this machine, not one that another asks through a proxy, and not
    a page in a browser that has made its name lead here (DNS rebinding)."""
    peer = request.client.host if request.client else ""
    name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    through = any(header in request.headers for header in FORWARDED)
    if not _is_loopback(peer) or not (name == "localhost" or _is_loopback(name)) or through:
        raise HTTPException(
            403,
            "/admin answers only to this machine. Set general_settings.admin_key, and send it as "
            "'Authorization: Bearer KEY'.",
        )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False

"""Decides which requests of web pages are served, and which pages may read the answers.

A browser lets the page of any web site send requests to this machine (docs/decisions/036). Where
clients need no key, such a request would use the endpoints' keys. Three headers, which no page can
forge, say where a request comes from. `origin` names the page's site. `sec-fetch-site` says how
that site is related to ours. `host` is the name by which the browser found us: a foreign site can
make its own name point to this machine (DNS rebinding). SDKs and curl send neither `origin` nor
`sec-fetch-site`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address

import msgspec

from llmproxy.batteries.addresses import host_name, is_this_machine
from llmproxy.calls import Headers, Request
from llmproxy.errors import ClientError

ANY = b"*"
REQUESTED_METHOD = b"access-control-request-method"
MAX_SHOWN = 200
PREFLIGHT_VALID_S = 600

FOREIGN_SITES = frozenset((b"cross-site", b"same-site"))  # values of sec-fetch-site

# Domains that cannot be registered: browsers resolve .localhost to this machine, and .internal is
# reserved for private use (host.docker.internal).
_LOCAL_DOMAINS = (".localhost", ".internal")
# Content types that a page may send without a preflight.
_UNASKED_CONTENT_TYPES = frozenset(
    (b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain", b"")
)
_ASKED_HEADERS = frozenset((b"authorization", b"api-key", b"x-api-key", REQUESTED_METHOD))


class OriginPolicy(msgspec.Struct, frozen=True):
    """Who may call from a browser.

    Attributes:
        allowed: The origins whose pages may call, as browsers write them; ANY for all.
        hosts: Names by which clients reach the proxy, besides addresses and local names.
        keyed: Callers need a key, which foreign pages do not have.
        loopback: The proxy listens on loopback addresses only.
    """

    allowed: frozenset[bytes] = frozenset()
    hosts: frozenset[bytes] = frozenset()
    keyed: bool = False
    loopback: bool = False


def reading_origin(request: Request, policy: OriginPolicy) -> bytes | None:
    """Return the origin of the foreign page that may read the answer; None if there is none.

    Raises ClientError (403) for a request that no page may send.
    """
    headers = request.headers
    if policy.loopback and not policy.keyed:
        _check_host(_host_in(headers), policy.hosts)
    if not request.from_browser:
        return None  # every call of an SDK ends here
    origins = [value for name, value in headers if name == b"origin"]
    origin = b", ".join(origins) if origins else None  # two of them, joined, match nothing
    foreign = any(
        name == b"sec-fetch-site" and value.lower() in FOREIGN_SITES for name, value in headers
    )
    if origin is not None:
        host = _host_in(headers)
        if not foreign and host and origin.partition(b"://")[2].lower() == host.lower():
            return None  # our own page
        if _may_call(origin, headers, policy):
            return origin
    if policy.keyed or (origin is None and not foreign):
        return None
    raise _page_refused(origin)


def preflight_headers(request: Request) -> Headers | None:
    """Return the headers that answer a preflight, without those of `readable_by`; None for others.

    In a preflight, a browser asks whether a page may send a request.
    """
    asked = dict(request.headers)
    if request.method != "OPTIONS" or REQUESTED_METHOD not in asked:
        return None
    answer = [
        (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE, OPTIONS"),
        (b"access-control-max-age", b"%d" % PREFLIGHT_VALID_S),
    ]
    if names := asked.get(b"access-control-request-headers"):
        answer.append((b"access-control-allow-headers", names))
    if b"access-control-request-private-network" in asked:
        answer.append((b"access-control-allow-private-network", b"true"))
    return answer


def readable_by(origin: bytes, headers: Headers) -> Headers:
    """Return the headers of an answer, and those that let the pages of an origin read all of it."""
    names = b", ".join(dict.fromkeys(name for name, _ in headers))
    return [
        *headers,
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", names),
        (b"vary", b"origin"),
    ]


def _host_in(headers: Headers) -> bytes:
    """Return the value of the Host header. The server refuses a request that has two of them."""
    for name, value in headers:
        if name == b"host":
            return value
    return b""


def _may_call(origin: bytes, headers: Headers, policy: OriginPolicy) -> bool:
    """Return whether an origin is allowed, or is local and sends what needs a preflight."""
    if origin in policy.allowed or ANY in policy.allowed:
        return True
    if not (policy.loopback and _is_local_page(origin)):
        return False
    return any(
        name in _ASKED_HEADERS
        or (
            name == b"content-type"
            and value.partition(b";")[0].strip().lower() not in _UNASKED_CONTENT_TYPES
        )
        for name, value in headers
    )


@lru_cache(maxsize=64)
def _is_local_page(origin: bytes) -> bool:
    """Return whether a program on this machine serves the page."""
    scheme, _, host = origin.partition(b"://")
    return scheme in (b"http", b"https") and is_this_machine(host_name(host))


@lru_cache(maxsize=64)  # of the names that pass: an exception is not cached
def _check_host(host: bytes, listed: frozenset[bytes]) -> None:
    """Raise ClientError if a foreign site can have chosen the name in a Host header.

    A name without a dot cannot be a public domain. Containers and hosts files use such names.
    """
    name = host_name(host)
    if name.encode("latin-1") in listed or "." not in name or name.endswith(_LOCAL_DOMAINS):
        return
    with suppress(ValueError):
        ip_address(name)
        return
    raise ClientError(
        f"The host name {_shown(host)} is not one of this proxy's, which listens on this machine "
        "only. Use its address, or list the name in general_settings.allowed_hosts.",
        status=403,
        code="host_not_allowed",
    )


def _page_refused(origin: bytes | None) -> ClientError:
    page = "of another site" if origin is None else f"of {_shown(origin)}"
    return ClientError(
        f"A web page {page} sent this request, and pages may not use this proxy. List the page's "
        "origin in general_settings.allowed_origins, or give clients keys (callers).",
        status=403,
        code="origin_not_allowed",
    )


def _shown(value: bytes) -> str:
    return ascii(value[:MAX_SHOWN].decode("latin-1"))

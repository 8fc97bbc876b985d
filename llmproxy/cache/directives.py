"""What one call wants of the cache, as its headers say it."""

from __future__ import annotations

import msgspec

from llmproxy.calls import Headers
from llmproxy.errors import ClientError

ORDERS = frozenset((b"bypass", b"refresh", b"force", b"only"))
# They choose among versions of an API, and so decide of the answer.
VERSIONS = frozenset((b"openai-beta", b"anthropic-beta", b"anthropic-version"))
TELLING = VERSIONS | {b"x-llmproxy-cache", b"cache-control"}


class CacheDirectives(msgspec.Struct, gc=False):
    """What a call's headers say; not changed once it is read. `max_age_s`: an older answer is
    none."""

    order: bytes = b""
    reads: bool = True
    writes: bool = True
    max_age_s: float = float("inf")
    versions: tuple[str, ...] = ()


NO_DIRECTIVES = CacheDirectives()


def directives_of(headers: Headers) -> CacheDirectives:
    """Read `x-llmproxy-cache` and the client's `Cache-Control` (RFC 9111, 5.2.1).

    Raises ClientError for an order that is none.
    """
    if TELLING.isdisjoint(dict(headers)):
        return NO_DIRECTIVES
    directives = CacheDirectives()
    for name, value in headers:
        if name not in TELLING:
            continue
        if name == b"x-llmproxy-cache":
            directives.order = value.lower()
            if directives.order not in ORDERS:
                raise ClientError(
                    "Expected 'bypass', 'refresh', 'force' or 'only' in x-llmproxy-cache, found "
                    f"'{value.decode('latin-1')}'.",
                    param="x-llmproxy-cache",
                )
            directives.reads &= directives.order != b"refresh"
        elif name == b"cache-control":
            for part in value.lower().split(b","):
                _obey(directives, *part.strip().partition(b"=")[::2])
        else:
            directives.versions += (f"{name.decode()}:{value.decode('latin-1')}",)
    return directives


def _obey(directives: CacheDirectives, directive: bytes, argument: bytes) -> None:
    if directive == b"no-store":
        directives.writes = False
    elif directive == b"no-cache":
        directives.reads = False
    elif directive == b"max-age" and argument.isdigit():
        directives.max_age_s = float(argument)

"""What one call wants of the cache, as its headers say it."""

from __future__ import annotations

import msgspec

from llmproxy.calls import Headers
from llmproxy.errors import ClientError

ORDERS = frozenset((b"bypass", b"refresh", b"force", b"only"))
# They choose among versions of an API, and so decide of the answer.
VERSIONS = frozenset((b"openai-beta", b"anthropic-beta", b"anthropic-version"))
TELLING = VERSIONS | {b"x-llmproxy-cache", b"cache-control"}


class Wish(msgspec.Struct, gc=False):
    """What a call's headers say; not changed once it is read. `max_age_s`: an older answer is
    none."""

    order: bytes = b""
    reads: bool = True
    writes: bool = True
    max_age_s: float = float("inf")
    versions: tuple[str, ...] = ()


NOTHING_SAID = Wish()


def wish_of(headers: Headers) -> Wish:
    """Read `x-llmproxy-cache` and the client's `Cache-Control` (RFC 9111, 5.2.1).

    Raises ClientError for an order that is none.
    """
    if TELLING.isdisjoint(dict(headers)):
        return NOTHING_SAID
    wish = Wish()
    for name, value in headers:
        if name not in TELLING:
            continue
        if name == b"x-llmproxy-cache":
            wish.order = value.lower()
            if wish.order not in ORDERS:
                raise ClientError(
                    "Expected 'bypass', 'refresh', 'force' or 'only' in x-llmproxy-cache, found "
                    f"'{value.decode('latin-1')}'.",
                    param="x-llmproxy-cache",
                )
            wish.reads &= wish.order != b"refresh"
        elif name == b"cache-control":
            for part in value.lower().split(b","):
                _obey(wish, *part.strip().partition(b"=")[::2])
        else:
            wish.versions += (f"{name.decode()}:{value.decode('latin-1')}",)
    return wish


def _obey(wish: Wish, directive: bytes, argument: bytes) -> None:
    if directive == b"no-store":
        wish.writes = False
    elif directive == b"no-cache":
        wish.reads = False
    elif directive == b"max-age" and argument.isdigit():
        wish.max_age_s = float(argument)

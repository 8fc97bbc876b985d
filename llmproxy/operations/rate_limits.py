"""Rate limits: what headers say of them, and how their resets are written."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from math import ceil

import msgspec

# With more than this part of a limit left, how it refills does not matter.
FAR_FROM_LIMIT = 0.5

Names = tuple[bytes, bytes, bytes]  # of the headers for a limit, what remains, and its reset


class RateLimit(msgspec.Struct, frozen=True, gc=False):
    """One limit, as a vendor reports it to us, or we to a caller.

    `reset_s`: seconds until all of it is available again; None = not reported.
    """

    limit: float
    remaining: float
    reset_s: float | None


class RateLimits(msgspec.Struct, frozen=True, gc=False):
    """The limits in the headers of an answer; None = not reported."""

    requests: RateLimit | None = None
    tokens: RateLimit | None = None


def header_names(template: str) -> tuple[Names, Names]:
    """Return the names that report requests and tokens: the limit, what remains, the reset."""

    def names(kind: str) -> Names:
        parts = ("limit", "remaining", "reset")
        limit, remaining, reset = (template.format(kind=kind, part=part) for part in parts)
        return limit.encode("ascii"), remaining.encode("ascii"), reset.encode("ascii")

    return names("requests"), names("tokens")


@lru_cache(maxsize=64)  # usually exactly a minute
def go_duration(seconds: float) -> bytes:
    """Return seconds as Go prints a duration: `0s`, `120ms`, `8.64s`, `1m0s`; rounded up to ms."""
    ms = max(0, ceil(seconds * 1000))
    if 0 < ms < 1000:
        return b"%dms" % ms
    minutes, rest_ms = divmod(ms, 60_000)
    text = f"{rest_ms / 1000:g}s"
    return (f"{minutes}m{text}" if minutes else text).encode("ascii")


def rfc3339(wall_s: float) -> bytes:
    """Return a Unix time as Anthropic writes it: `2026-01-31T23:59:59Z`; rounded up to seconds."""
    return _rfc3339(ceil(wall_s))


@lru_cache(maxsize=64)  # many calls arrive within a second
def _rfc3339(seconds: int) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode("ascii")

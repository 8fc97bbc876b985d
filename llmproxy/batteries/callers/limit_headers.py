"""The headers in which a client reads its own limits, in the form of its dialect."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache, lru_cache
from math import ceil

from llmproxy.operations import Dialect
from llmproxy.operations.rate_limits import RateLimit, RateLimits
from llmproxy.streams import Headers

Names = tuple[bytes, bytes, bytes]  # of the headers for a limit, what remains, and its reset


def limit_headers(dialect: Dialect, limits: RateLimits, wall_now: float) -> Headers:
    """Report a caller's limits under the names that its client reads. `wall_now`: Unix time."""
    requests, tokens = _names_of(dialect.limit_header)
    moment = wall_now if dialect.limit_reset_is_moment else None
    headers: Headers = []
    if limits.requests is not None:
        headers += _reported(requests, limits.requests, moment)
    if limits.tokens is not None:
        headers += _reported(tokens, limits.tokens, moment)
    return headers


def _reported(names: Names, limit: RateLimit, moment: float | None) -> Headers:
    """Report one limit. `moment`: now, if the reset is written as a moment."""
    all_of_it, left, reset = names
    reset_s = limit.reset_s or 0.0
    return [
        (all_of_it, b"%d" % limit.limit),
        (left, b"%d" % limit.remaining),
        (reset, go_duration(reset_s) if moment is None else rfc3339(moment + reset_s)),
    ]


@cache
def _names_of(template: str) -> tuple[Names, Names]:
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

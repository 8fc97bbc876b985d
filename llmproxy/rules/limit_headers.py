"""What a caller is told of its limits, under OpenAI's names and in OpenAI's form."""

from __future__ import annotations

from functools import lru_cache
from math import ceil

from llmproxy.calls import Header, Headers


class Dimension:
    """Requests or tokens, as told to one caller. `limit`: in any 60 s."""

    __slots__ = ("_limit", "_remaining", "_reset")

    def __init__(self, name: str, limit: int) -> None:
        self._limit: Header = (f"x-ratelimit-limit-{name}".encode("ascii"), b"%d" % limit)
        self._remaining = f"x-ratelimit-remaining-{name}".encode("ascii")
        self._reset = f"x-ratelimit-reset-{name}".encode("ascii")

    def headers(self, remaining: float, full_in_s: float) -> Headers:
        """`remaining`: what may be sent now; `full_in_s`: seconds until that is all of it."""
        return [
            self._limit,
            (self._remaining, b"%d" % remaining),
            (self._reset, go_duration(full_in_s)),
        ]


@lru_cache(maxsize=256)  # nearly always the same: the call itself leaves the window in a minute
def go_duration(seconds: float) -> bytes:
    """Seconds as Go prints a duration: `0s`, `120ms`, `8.64s`, `1m0s`; up to the next ms."""
    ms = max(0, ceil(seconds * 1000))
    if 0 < ms < 1000:
        return b"%dms" % ms
    minutes, rest_ms = divmod(ms, 60_000)
    text = f"{rest_ms / 1000:g}s"
    return (f"{minutes}m{text}" if minutes else text).encode("ascii")

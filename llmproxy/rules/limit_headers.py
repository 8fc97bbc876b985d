"""The headers that report a caller's limits, under OpenAI's names and in OpenAI's form."""

from __future__ import annotations

from math import ceil

from llmproxy.calls import Header, Headers

# A sliding window is full again a minute after the last call in it.
WINDOW_S = 60.0


class Dimension:
    """Requests or tokens, as reported to one caller. `limit`: within any 60 s."""

    __slots__ = ("_limit", "_remaining", "_reset", "_reset_whole")

    def __init__(self, name: str, limit: int) -> None:
        self._limit: Header = (f"x-ratelimit-limit-{name}".encode("ascii"), b"%d" % limit)
        self._remaining = f"x-ratelimit-remaining-{name}".encode("ascii")
        self._reset = f"x-ratelimit-reset-{name}".encode("ascii")
        self._reset_whole: Header = (self._reset, go_duration(WINDOW_S))

    def headers(self, remaining: float, idle_s: float) -> Headers:
        """Return the headers. `remaining`: what may be sent now; `idle_s`: since the last use."""
        return [
            self._limit,
            (self._remaining, b"%d" % remaining),
            (self._reset, go_duration(WINDOW_S - idle_s)) if idle_s else self._reset_whole,
        ]


def go_duration(seconds: float) -> bytes:
    """Return seconds as Go prints a duration: `0s`, `120ms`, `8.64s`, `1m0s`; rounded up to ms."""
    ms = max(0, ceil(seconds * 1000))
    if 0 < ms < 1000:
        return b"%dms" % ms
    minutes, rest_ms = divmod(ms, 60_000)
    text = f"{rest_ms / 1000:g}s"
    return (f"{minutes}m{text}" if minutes else text).encode("ascii")

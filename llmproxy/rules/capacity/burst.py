"""Short windows: a vendor that allows 600 requests a minute may refuse the eleventh in a second.

Azure judges requests over windows of 1 to 10 s (docs/facts/upstreams.md). Where its windows begin
is not known, so no window of that length, wherever it begins, may hold more than its share.
"""

from __future__ import annotations

from collections import deque

MINUTE_S = 60.0
SHORTEST_S, LONGEST_S = 1.0, 10.0
# What leaves evenly may arrive a little closer together.
MARGIN = 0.015
# Before the limit is known so many moments are kept: they count as soon as it is.
KEPT_MOMENTS = 1_000


class BurstWindow:
    """The moments of the last requests. Mutable; its one owner is a Capacity."""

    __slots__ = ("_moments", "_window_s", "allowed")

    def __init__(self, rpm: float | None) -> None:
        """`rpm`: None = not known yet, nothing has to wait."""
        window_s = min(LONGEST_S, max(SHORTEST_S, MINUTE_S / rpm)) if rpm else 0.0
        self.allowed = max(1, int(rpm * window_s / MINUTE_S)) if rpm else KEPT_MOMENTS
        self._window_s = window_s * (1.0 + MARGIN)
        self._moments: deque[float] = deque(maxlen=self.allowed)

    def resized(self, rpm: float | None) -> BurstWindow:
        """The same moments under another limit."""
        other = BurstWindow(rpm)
        other._moments.extend(self._moments)
        return other

    def add(self, now: float) -> None:
        """A request is being sent."""
        self._moments.append(now)

    def wait_s(self, requests: int, now: float) -> float:
        """Seconds until the last of so many more requests may be sent; 0 = now."""
        moments = self._moments
        rounds, place = divmod(requests - 1, self.allowed)
        full = place - (self.allowed - len(moments))
        if full >= 0:
            return max(0.0, moments[full] + self._window_s * (1 + rounds) - now)
        return self._window_s * rounds

"""One lazy timer per connection instead of one per wait.

Arming a loop timer for each request costs more than parsing its head. A watchdog only notes the
moment at which it should fire; the loop's timer is moved when that moment comes *earlier*, and a
timer that fires too soon simply sleeps on. Moments are seconds of `time.monotonic`, which is the
clock of asyncio's and uvloop's loops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic


class Watchdog:
    """Calls `on_expired` once the moment last set has passed. Owned by one connection."""

    __slots__ = ("_armed_for", "_expires_at", "_loop", "_on_expired", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expired: Callable[[], None]) -> None:
        self._loop = loop
        self._on_expired = on_expired
        self._expires_at = inf
        self._armed_for = inf
        self._timer: asyncio.TimerHandle | None = None

    def expire_at(self, moment: float) -> None:
        """Fire at `moment`; replaces what was set before."""
        self._expires_at = moment
        if moment < self._armed_for:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(moment, self._wake)
            self._armed_for = moment

    def rest(self) -> None:
        """Nothing to watch for now; the timer sleeps on and costs nothing."""
        self._expires_at = inf

    def stop(self) -> None:
        """The connection is gone."""
        self._expires_at = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._armed_for = inf

    def _wake(self) -> None:
        self._timer = None
        self._armed_for = inf
        left_s = self._expires_at - monotonic()
        if left_s <= 0:
            self._expires_at = inf
            self._on_expired()
        elif left_s < inf:
            # The loop's clock is coarser than ours and would wake us early again.
            self._armed_for = self._expires_at
            self._timer = self._loop.call_later(left_s + 0.001, self._wake)

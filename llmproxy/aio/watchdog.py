"""One lazy timer per connection, instead of one timer per wait (docs/decisions/003).

Arming a loop timer for each request costs more than parsing its head. A watchdog only stores its
deadline. The loop's timer is moved when a deadline is *earlier* than the one it is armed for; a
timer that fires too soon is armed again. Deadlines are seconds of `time.monotonic`, the clock of
asyncio's and uvloop's loops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic


class Watchdog:
    """Calls `on_expired` once `expires_at` has passed. Owned by one connection."""

    __slots__ = ("_armed_for", "_loop", "_on_expired", "_timer", "expires_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expired: Callable[[], None]) -> None:
        self._loop = loop
        self._on_expired = on_expired
        self.expires_at = inf
        self._armed_for = inf
        self._timer: asyncio.TimerHandle | None = None

    def expire_at(self, moment: float) -> None:
        """Set the deadline to `moment`. It replaces the previous one."""
        self.expires_at = moment
        if moment < self._armed_for:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(moment, self._wake)
            self._armed_for = moment

    def suspend(self) -> None:
        """Forget the deadline. The loop's timer stays armed: cancelling it would cost more."""
        self.expires_at = inf

    def stop(self) -> None:
        """Forget the deadline and cancel the timer, for good: the connection is closed."""
        self._on_expired = _nothing  # a cycle that only the garbage collector would find
        self.expires_at = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._armed_for = inf

    def _wake(self) -> None:
        self._timer = None
        self._armed_for = inf
        left_s = self.expires_at - monotonic()
        if left_s <= 0:
            self.expires_at = inf
            self._on_expired()
        elif left_s < inf:
            # The loop's clock is coarser than time.monotonic; without the 1 ms it might wake us
            # too early again.
            self._armed_for = self.expires_at
            self._timer = self._loop.call_later(left_s + 0.001, self._wake)


def _nothing() -> None:
    """Take the place of what a closed connection did."""

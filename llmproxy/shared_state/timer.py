"""A bell: wakes one task at the earliest moment that anybody asked for."""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic


class WakeUpTimer:
    """Mutable; owned by the task that waits. Moments are seconds of `time.monotonic`."""

    __slots__ = ("_rings_at", "_timer", "_waiting")

    def __init__(self) -> None:
        self._rings_at = inf
        self._waiting: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def schedule(self, moment: float) -> None:
        """Ring at that moment, unless it rings earlier anyway."""
        if moment < self._rings_at:
            self._rings_at = moment
            if self._waiting is not None:
                self._arm()

    async def wait(self) -> None:
        """Until it rings. One waiter only."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._arm()
        try:
            await self._waiting
        finally:
            self._waiting = None
            self._disarm()
            self._rings_at = inf

    def _arm(self) -> None:
        self._disarm()
        if self._rings_at < inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, self._rings_at - monotonic()), self._ring)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

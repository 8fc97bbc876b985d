"""Dials a connection before a kept one is closed for its age, as many as calls have used lately.

A vendor closes connections that are idle for long, so one that was kept too long is lost just as a
call uses it. Therefore a warm connection is not kept longer than others: another one takes its
place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from llmproxy.batteries.settings import full
from llmproxy.errors import UpstreamError

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig
    from llmproxy.upstream import Origin

RECENT_S = 600.0  # an endpoint that had no call for so long is left alone
REST_S = 30.0  # after a dial that failed
LOOKS = 3  # in the time for which an idle connection is kept
MAX_AT_ONCE = 16  # dials: a TLS handshake is a millisecond of CPU


class RecentUse(msgspec.Struct):
    """The most connections to one origin that calls used at once of late, and when they did.

    `rests_until`: no dial before, because one has failed.
    """

    most: int = 0
    at: float = 0.0
    rests_until: float = 0.0

    def note(self, used: int, now: float) -> None:
        """Note how many were used since the last time."""
        if used >= self.most or now - self.at > RECENT_S:
            self.most, self.at = used, now


class WarmConnections:
    """Keeps the connections of one process warm. `run` it as a task."""

    def __init__(self, live: LiveConfig) -> None:
        self._live = live
        self._uses: dict[Origin, RecentUse] = {}
        self._dials = asyncio.Semaphore(MAX_AT_ONCE)

    async def run(self) -> None:
        """Look after the connections until the task is cancelled."""
        looked_at = monotonic()
        async with asyncio.TaskGroup() as dials:
            while True:
                settings = self._live.runtime.config.general_settings
                pause_s = settings.timeouts.upstream_idle_s / LOOKS
                await asyncio.sleep(pause_s)
                now, at_most = monotonic(), full(settings).pool.warm
                origins = self._live.runtime.resources.attempts.client.origins if at_most else []
                self._note(origins, looked_at, now)
                looked_at = now
                for origin in self._missing(at_most, now, until=now + 2 * pause_s):
                    dials.create_task(self._dial(origin))

    def _note(self, origins: Iterable[Origin], since: float, now: float) -> None:
        self._uses = {origin: self._uses.get(origin) or RecentUse() for origin in origins}
        for origin, use in self._uses.items():
            use.note(origin.used_since(since), now)

    def _missing(self, at_most: int, now: float, *, until: float) -> Iterator[Origin]:
        """Yield each origin once for each connection that it will lack at a moment."""
        for origin, use in self._uses.items():
            if use.rests_until <= now:
                for _ in range(min(use.most, at_most) - origin.open_at(until)):
                    yield origin

    async def _dial(self, origin: Origin) -> None:
        async with self._dials:
            try:
                await origin.dial_ahead()
            except UpstreamError:  # the next call tells what is wrong
                if use := self._uses.get(origin):
                    use.rests_until = monotonic() + REST_S

"""Looks at the proxy twice a second, whether or not anybody wants to know: for what cannot be told
from one moment alone, such as the last minute's rates, the curves, and since when an endpoint is
what it is."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from time import monotonic, time
from typing import TYPE_CHECKING

import msgspec

from llmproxy.admin.stats.collector import StatsCollector
from llmproxy.admin.stats.history import HistoryPoint, TimeSeries
from llmproxy.admin.stats.status import EndpointStatus, endpoint_status
from llmproxy.telemetry.counters import Tree, minus

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig

SAMPLE_EVERY_S = 0.5
STEP_S, STEPS = 5, 180  # 15 minutes
LONG_STEP_S, LONG_STEPS = 300, 288  # a day
RECENT_S = 60.0


class Sampler:
    """Owns what was seen at earlier looks."""

    def __init__(
        self, live: LiveConfig, overview: StatsCollector, *, wall: Callable[[], float] = time
    ) -> None:
        self._live = live
        self.overview = overview
        self.wall = wall
        now, counters = wall(), overview.numbers().counters
        self.started_at = now
        self.minutes = TimeSeries(STEP_S, STEPS, counters, now)
        self.hours = TimeSeries(LONG_STEP_S, LONG_STEPS, counters, now)
        self.last_point: HistoryPoint | None = None
        self._marks = deque([(now, msgspec.msgpack.encode(counters))])
        self._conditions: dict[tuple[str, str], tuple[EndpointStatus, float]] = {}
        self._note_conditions(now)

    async def run(self) -> None:
        """The job that looks again and again. Ends only when it is cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S)
            self.look()

    def look(self) -> None:
        """Note what is to be known later."""
        now = self.wall()
        self.overview.show()
        self._note_conditions(now)
        if not self.minutes.is_due(now):
            return
        counters = self.overview.numbers().counters
        self.last_point = self.minutes.end_step(counters, now)
        if self.hours.is_due(now):
            self.hours.end_step(counters, now)
        self._marks.append((now, msgspec.msgpack.encode(counters)))
        while len(self._marks) > 1 and self._marks[1][0] <= now - RECENT_S:
            self._marks.popleft()

    def recent(self, counters: Tree) -> tuple[Tree, float]:
        """What was counted in the last minute or so, and in how many seconds."""
        at, packed = self._marks[0]
        return minus(counters, msgspec.msgpack.decode(packed)), max(1.0, self.wall() - at)

    @property
    def groups(self) -> Collection[str]:
        """The names of the model groups that there are now."""
        return self._live.runtime.pool.groups

    def since(self, group: str, endpoint: str) -> float:
        """Since when (Unix seconds) an endpoint is in its condition, to half a second."""
        return self._conditions.get((group, endpoint), ("ok", self.started_at))[1]

    def _note_conditions(self, now: float) -> None:
        known, self._conditions, moment = self._conditions, {}, monotonic()
        for group in self._live.runtime.pool.groups.values():
            for state in group.states:
                name, condition = (group.name, state.endpoint.name), endpoint_status(state, moment)
                before = known.get(name, (condition, now))
                self._conditions[name] = before if before[0] == condition else (condition, now)

"""Samples the proxy twice a second, for values that need history: rates, charts, and how long an
endpoint has been in its state."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from time import time
from typing import TYPE_CHECKING

import msgspec

from llmproxy.batteries.admin.stats.collector import Counters, StatsCollector
from llmproxy.batteries.admin.stats.history import HistoryPoint, TimeSeries
from llmproxy.batteries.admin.stats.marks import Marks
from llmproxy.batteries.admin.stats.slowness import Slowness
from llmproxy.batteries.admin.stats.status_times import StatusTimes
from llmproxy.batteries.telemetry.counters import minus

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig

SAMPLE_EVERY_S = 0.5
STEP_S, STEPS = 5, 180  # 15 minutes
LONG_STEP_S, LONG_STEPS = 300, 288  # a day
RECENT_S = 60.0

_decode_counters = msgspec.msgpack.Decoder(Counters).decode


class Sampler:
    """Owns the samples. `wall` returns Unix seconds."""

    def __init__(
        self, live: LiveConfig, collector: StatsCollector, *, wall: Callable[[], float] = time
    ) -> None:
        self._live = live
        self.collector = collector
        self.wall = wall
        now, counters = wall(), collector.counters()
        self.started_at = now
        self.minutes = TimeSeries(STEP_S, STEPS, counters, now)
        self.hours = TimeSeries(LONG_STEP_S, LONG_STEPS, counters, now)
        self.last_point: HistoryPoint | None = None
        self.slowness = Slowness(counters)
        self.marks = Marks(now)
        live.on_change.append(lambda: self.marks.reloaded(wall()))
        self._earlier = deque([(now, msgspec.msgpack.encode(counters))])
        self._status_times = StatusTimes(live, self.marks, now)
        live.on_change.append(lambda: self._status_times.look_at_all(wall()))

    async def run(self) -> None:
        """Sample until the task is cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S)
            await self._sample()

    async def _sample(self) -> None:
        """Take one sample, and publish this worker's statistics."""
        now = self.wall()
        await self.collector.publish()
        self._status_times.look(now)
        if not self.minutes.is_due(now):
            return
        counters = self.collector.counters()
        counters.calls.spend = {}  # charts show none of it, and there may be much of it
        self.last_point = self.minutes.end_step(counters, now)
        if self.hours.is_due(now):
            self.hours.end_step(counters, now)
            self.slowness.remember(counters)
        self._earlier.append((now, msgspec.msgpack.encode(counters)))
        while len(self._earlier) > 1 and self._earlier[1][0] <= now - RECENT_S:
            self._earlier.popleft()
        self.slowness.update(_decode_counters(self._earlier[0][1]), counters, now)

    def recent(self, counters: Counters) -> tuple[Counters, float]:
        """Return what was counted in the last minute or so, and in how many seconds."""
        at, packed = self._earlier[0]
        return minus(counters, _decode_counters(packed)), max(1.0, self.wall() - at)

    @property
    def groups(self) -> Collection[str]:
        """The names of the current model groups."""
        return self._live.runtime.pool.groups

    def since(self, group: str, endpoint: str) -> float:
        """Return since when (Unix seconds) an endpoint is in its state, to half a second."""
        since = self._status_times.since(group, endpoint)
        return self.started_at if since is None else since

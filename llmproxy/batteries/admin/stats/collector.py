"""Collects the statistics of all workers, so that any one of them can answer for all.

Each worker publishes its counters and its latest calls in shared memory twice a second. The worker
that is asked adds what the others published to its own. A worker that replaces a dead one continues
from the counters that it finds, so no counter ever falls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from operator import attrgetter
from time import monotonic
from typing import TYPE_CHECKING, cast

import msgspec

from llmproxy.batteries.admin.stats.levels import EndpointGauges, endpoint_gauges
from llmproxy.batteries.admin.stats.slices import in_slices, pause_s
from llmproxy.batteries.cache import CacheCounters, StoreCounters
from llmproxy.batteries.telemetry.counters import CallCounters, plus
from llmproxy.batteries.telemetry.shared_memory import SharedMemory, SlotFull
from llmproxy.events import CallFinished

if TYPE_CHECKING:
    from llmproxy.batteries.cache import TwoLevelCache
    from llmproxy.batteries.front import FrontStatus
    from llmproxy.batteries.store import Store
    from llmproxy.batteries.telemetry.recorder import MetricsRecorder
    from llmproxy.runtime import LiveConfig, Runtime

# The statistics that each worker publishes in its own slot of the shared memory.
STATS, CALLS = range(2)
SLOTS = 2
# A worker publishes this many of its latest calls, and as many of its notable ones.
PUBLISHED_CALLS = 100

logger = logging.getLogger("llmproxy")


class Counters(msgspec.Struct):
    """Everything that only grows. `store` is None without a store behind the cache's memory.

    `failed_connections`: those that ended before their first request, by the reason.
    """

    calls: CallCounters = msgspec.field(default_factory=CallCounters)
    cache: CacheCounters = msgspec.field(default_factory=CacheCounters)
    store: StoreCounters | None = None
    failed_connections: dict[str, int] = {}


class CacheGauges(msgspec.Struct):
    """What the cache holds in memory, and what waits to be written to the store behind it."""

    answers: int = 0
    bytes: int = 0
    queued_bytes: int = 0


class GroupGauges(msgspec.Struct):
    """One model group at a moment."""

    waiting: int = 0
    in_flight: int = 0
    endpoints: dict[str, EndpointGauges] = {}


class DatabaseGauges(msgspec.Struct):
    """Calls that wait for the database; `away`: workers that cannot write to it."""

    away: int = 0
    queued: int = 0
    spooled: int = 0


class Gauges(msgspec.Struct):
    """The proxy at a moment."""

    in_flight: int = 0
    groups: dict[str, GroupGauges] = {}
    cache: CacheGauges = msgspec.field(default_factory=CacheGauges)
    database: DatabaseGauges = msgspec.field(default_factory=DatabaseGauges)


class Stats(msgspec.Struct):
    """Counters and gauges; both add up over workers."""

    counters: Counters
    gauges: Gauges


class RecentCalls(msgspec.Struct):
    """The latest calls, and the latest that failed, were retried or fell back; newest last."""

    latest: list[CallFinished]
    notable: list[CallFinished]


class WorkerSlot(msgspec.Struct):
    """A worker's place in the shared memory."""

    memory: SharedMemory
    number: int


_encode = msgspec.msgpack.Encoder().encode
_decode_stats = msgspec.msgpack.Decoder(Stats).decode
_decode_calls = msgspec.msgpack.Decoder(RecentCalls).decode
_decode_counters = msgspec.msgpack.Decoder(Counters).decode


class StatsCollector:
    """One per process. Owns what earlier workers in the same slot had counted.

    `slot` is None if there is only one process, `store` if none is installed. `front`
    returns how connections are accepted.
    """

    def __init__(
        self,
        live: LiveConfig,
        recorder: MetricsRecorder,
        slot: WorkerSlot | None = None,
        store: Store | None = None,
        front: Callable[[], FrontStatus] | None = None,
    ) -> None:
        self.store = store
        self.front = front
        self._live = live
        self._recorder = recorder
        self._slot = slot
        self._published: list[bytes | None] = [None] * SLOTS
        self._publish_at = 0.0
        self._warned = False
        left_behind = None if slot is None else slot.memory.read(slot.number, STATS)
        self._before = _decode_stats(left_behind).counters if left_behind else Counters()

    @property
    def workers(self) -> int:
        """The number of processes that serve calls."""
        return 1 if self._slot is None else self._slot.memory.workers

    async def stats(self) -> Stats:
        """Return the statistics of all workers together."""
        stats = await self._own_stats()
        for packed in self._others(STATS):
            others = _decode_stats(packed)
            stats.counters = plus(stats.counters, others.counters)
            stats.gauges = plus(stats.gauges, others.gauges)
        return stats

    def counters(self) -> Counters:
        """Return the counters of all workers together."""
        counters = self._own_counters()
        for packed in self._others(STATS):
            counters = plus(counters, _decode_stats(packed).counters)
        return counters

    def calls(self, *, notable: bool = False) -> list[CallFinished]:
        """Return the latest calls of all workers, newest first."""
        self._recorder.record_pending()
        found = list(self._recorder.notable if notable else self._recorder.latest)
        for packed in self._others(CALLS):
            others = _decode_calls(packed)
            found += others.notable if notable else others.latest
        return sorted(found, key=attrgetter("ended_at"), reverse=True)

    def call(self, id: str) -> CallFinished | None:
        """Return the latest call with this id, ours or the endpoint's; None if it is not kept."""
        known = id.encode("latin-1", "replace")
        for calls in (self.calls(), self.calls(notable=True)):
            for call in calls:
                record = call.record
                if record.request.id == id or record.answer.request_id == known:
                    return call
        return None

    async def publish(self) -> None:
        """Write to the shared memory what has changed since the last time."""
        if self._slot is None:
            return
        if monotonic() >= self._publish_at:
            self._publish_at = monotonic() + pause_s(self._live.runtime.pool.groups.values())
            self._publish(self._slot, STATS, _encode(await self._own_stats()))
        latest, notable = list(self._recorder.latest), list(self._recorder.notable)
        calls = RecentCalls(latest[-PUBLISHED_CALLS:], notable[-PUBLISHED_CALLS:])
        self._publish(self._slot, CALLS, _encode(calls))

    def _publish(self, slot: WorkerSlot, part: int, packed: bytes) -> None:
        if packed == self._published[part]:
            return
        try:
            slot.memory.write(slot.number, part, packed)
            self._published[part] = packed
        except SlotFull as error:
            if not self._warned:
                logger.error(
                    "This worker's statistics are too large to share, so /metrics and the "
                    "dashboard of the other workers omit them: %s.",
                    error,
                )
            self._warned = True

    def _others(self, part: int) -> Iterable[bytes]:
        return () if self._slot is None else self._slot.memory.read_others(self._slot.number, part)

    def _own_counters(self) -> Counters:
        cache = cache_of(self._live.runtime)
        # A copy, because counting goes on in the originals.
        failed = {} if self.front is None else dict(self.front().failed)
        counting = Counters(self._recorder.counters(), cache.counters, cache.store_counters, failed)
        return plus(_decode_counters(_encode(counting)), self._before)

    async def _own_stats(self) -> Stats:
        runtime = self._live.runtime
        worker = str(0 if self._slot is None else self._slot.number)
        gauges = Gauges(
            runtime.in_flight,
            await _group_gauges(runtime, worker),
            _cache_gauges(cache_of(runtime)),
            _database_gauges(self.store),
        )
        return Stats(self._own_counters(), gauges)


def cache_of(runtime: Runtime) -> TwoLevelCache:
    """Return the answer cache. The admin application is only installed beside it."""
    return cast("TwoLevelCache", runtime.cache)


async def _group_gauges(runtime: Runtime, worker: str) -> dict[str, GroupGauges]:
    groups, now = runtime.pool.groups.values(), monotonic()
    gauges = {group.name: GroupGauges(len(group.queue), group.in_flight, {}) for group in groups}
    of_all = await in_slices(
        (group.name, state.endpoint.name, endpoint_gauges(state, worker, now))
        for group in groups
        for state in group.states
    )
    for group_name, name, of_one in of_all:
        gauges[group_name].endpoints[name] = of_one
    return gauges


def _database_gauges(store: Store | None) -> DatabaseGauges:
    if store is None or (status := store.status()) is None:
        return DatabaseGauges()
    return DatabaseGauges(int(status.connected is False), status.queued, status.spooled)


def _cache_gauges(cache: TwoLevelCache) -> CacheGauges:
    queued = 0 if cache.l2 is None else cache.l2.queued_bytes
    return CacheGauges(len(cache.memory), cache.memory.bytes, queued)

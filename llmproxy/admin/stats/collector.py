"""What all workers together have counted and have under way, as any one of them can tell it.

Each worker publishes its numbers and its latest calls in shared memory twice a second; the one
that is asked adds the others' to its own. A worker that replaces a dead one goes on from the
numbers that it finds there, so that no counter ever falls.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from operator import attrgetter
from time import monotonic
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import asdict

from llmproxy.admin.stats.levels import limit_gauges
from llmproxy.events import CallFinished
from llmproxy.record import CacheResult
from llmproxy.rules.prices import cost_usd
from llmproxy.telemetry.counters import Tree, plus
from llmproxy.telemetry.shared_memory import SharedMemory, SlotFull

if TYPE_CHECKING:
    from llmproxy.cache import Cache
    from llmproxy.runtime import LiveConfig, Runtime
    from llmproxy.telemetry.recorder import MetricsRecorder

# The slots of a worker in shared memory.
NUMBERS, CALLS = range(2)
SLOTS = 2
# Of its latest and of its notable calls, a worker shows the others so many.
SHOWN_CALLS = 100

# What the cache gave cost nothing.
FROM_CACHE = (CacheResult.HIT, CacheResult.STALE, CacheResult.COALESCED)

logger = logging.getLogger("llmproxy")


class Stats(msgspec.Struct):
    """`counters` only grow; `gauges` are as of now. Both add up over workers."""

    counters: Tree
    gauges: Tree


class RecentCalls(msgspec.Struct):
    """The latest calls, and the latest of those that did not go straight; newest last."""

    latest: list[CallFinished]
    notable: list[CallFinished]


class WorkerSlot(msgspec.Struct):
    """A worker's slots in shared memory."""

    memory: SharedMemory
    number: int


_pack = msgspec.msgpack.Encoder().encode
_numbers_of = msgspec.msgpack.Decoder(Stats).decode
_calls_of = msgspec.msgpack.Decoder(RecentCalls).decode


class StatsCollector:
    """Made once for a process. Owns what its predecessors at this place had counted."""

    def __init__(
        self, live: LiveConfig, recorder: MetricsRecorder, worker: WorkerSlot | None = None
    ) -> None:
        self._live = live
        self._recorder = recorder
        self._worker = worker
        self._shown: list[bytes | None] = [None] * SLOTS
        self._told_full = False
        left_behind = None if worker is None else worker.memory.read(worker.number, NUMBERS)
        self._before = _numbers_of(left_behind).counters if left_behind else {}

    @property
    def workers(self) -> int:
        """How many processes serve."""
        return 1 if self._worker is None else self._worker.memory.workers

    def numbers(self) -> Stats:
        """Of all workers."""
        numbers = self._own_numbers()
        for text in self._others(NUMBERS):
            others = _numbers_of(text)
            numbers.counters = plus(numbers.counters, others.counters)
            numbers.gauges = plus(numbers.gauges, others.gauges)
        return numbers

    def calls(self, *, notable: bool = False) -> list[CallFinished]:
        """The latest calls of all workers, newest first."""
        self._recorder.record_pending()
        found = list(self._recorder.notable if notable else self._recorder.latest)
        for text in self._others(CALLS):
            others = _calls_of(text)
            found += others.notable if notable else others.latest
        return sorted(found, key=attrgetter("ended_at"), reverse=True)

    def call(self, id: str) -> CallFinished | None:
        """The latest call with this id, ours or the endpoint's; None if it is not kept (any
        more)."""
        known = id.encode("latin-1", "replace")
        for calls in (self.calls(), self.calls(notable=True)):
            for call in calls:
                record = call.record
                if record.request.id == id or record.answer.request_id == known:
                    return call
        return None

    def cost_of(self, call: CallFinished) -> float | None:
        """US dollars; None if its endpoint told no usage or has no price."""
        record, usage = call.record, call.record.answer.usage
        group = record.fallback or record.group or ""
        price = self._recorder.prices.get((group, record.endpoint or ""))
        if price is None or usage is None or record.cache in FROM_CACHE:
            return None
        return round(cost_usd(price, usage), 9)

    def show(self) -> None:
        """Publish what has changed to the other workers."""
        if self._worker is None:
            return
        self._show(NUMBERS, _pack(self._own_numbers()))
        latest, notable = list(self._recorder.latest), list(self._recorder.notable)
        self._show(CALLS, _pack(RecentCalls(latest[-SHOWN_CALLS:], notable[-SHOWN_CALLS:])))

    def _show(self, slot: int, text: bytes) -> None:
        worker = self._worker
        if worker is None or text == self._shown[slot]:
            return
        try:
            worker.memory.write(worker.number, slot, text)
            self._shown[slot] = text
        except SlotFull as error:
            if not self._told_full:
                logger.error("The numbers of this worker are not seen by the others: %s.", error)
            self._told_full = True

    def _others(self, slot: int) -> Iterable[bytes]:
        return (
            ()
            if self._worker is None
            else self._worker.memory.read_others(self._worker.number, slot)
        )

    def _own_numbers(self) -> Stats:
        runtime = self._live.runtime
        counters = {
            "calls": msgspec.to_builtins(self._recorder.counters()),
            "cache": _cache_counters(runtime.cache),
        }
        number = 0 if self._worker is None else self._worker.number
        gauges = {
            "in_flight": runtime.admission.in_flight,
            "groups": _groups_gauges(runtime, str(number)),
            "cache": _cache_gauges(runtime.cache),
        }
        return Stats(plus(self._before, counters), gauges)


def _groups_gauges(runtime: Runtime, place: str) -> Tree:
    now = monotonic()
    return {
        group.name: {
            "waiting": len(group.line),
            "in_flight": group.in_flight,
            "endpoints": {
                state.endpoint.name: limit_gauges(state, place, now) for state in group.states
            },
        }
        for group in runtime.pool.groups.values()
    }


def _cache_counters(cache: Cache) -> Tree:
    counters = asdict(cache.counters)
    if cache.store_counters is not None:
        counters["store"] = asdict(cache.store_counters)
    return counters


def _cache_gauges(cache: Cache) -> Tree:
    gauges: Tree = {"answers": len(cache.memory), "bytes": cache.memory.bytes}
    if cache.l2 is not None:
        gauges["queued_bytes"] = cache.l2.queued_bytes
    return gauges

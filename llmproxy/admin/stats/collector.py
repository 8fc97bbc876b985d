"""What all workers together have counted and have under way, as any one of them can tell it.

Each worker writes its numbers and its latest calls on the board twice a second; whoever is asked
adds what the others wrote to what it knows itself. A worker that takes a dead one's place goes on
from the numbers that it finds there, so that no counter ever falls.
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
from llmproxy.telemetry.board import Board, SheetFull
from llmproxy.telemetry.tally import Tree, plus

if TYPE_CHECKING:
    from llmproxy.cache import Cache
    from llmproxy.runtime import LiveConfig, Runtime
    from llmproxy.telemetry.ledger import Ledger

# The sheets of a place.
NUMBERS, CALLS = range(2)
SHEETS = 2
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
    """A worker's place at the board."""

    board: Board
    number: int


_pack = msgspec.msgpack.Encoder().encode
_numbers_of = msgspec.msgpack.Decoder(Stats).decode
_calls_of = msgspec.msgpack.Decoder(RecentCalls).decode


class StatsCollector:
    """Made once for a process. Owns what its predecessors at this place had counted."""

    def __init__(self, live: LiveConfig, ledger: Ledger, seat: WorkerSlot | None = None) -> None:
        self._live = live
        self._ledger = ledger
        self._seat = seat
        self._shown: list[bytes | None] = [None] * SHEETS
        self._told_full = False
        left_behind = None if seat is None else seat.board.read(seat.number, NUMBERS)
        self._before = _numbers_of(left_behind).counters if left_behind else {}

    @property
    def workers(self) -> int:
        """How many processes serve."""
        return 1 if self._seat is None else self._seat.board.places

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
        self._ledger.enter()
        found = list(self._ledger.notable if notable else self._ledger.latest)
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
        price = self._ledger.prices.get((group, record.endpoint or ""))
        if price is None or usage is None or record.cache in FROM_CACHE:
            return None
        return round(cost_usd(price, usage), 9)

    def show(self) -> None:
        """Write on the board what has changed."""
        if self._seat is None:
            return
        self._show(NUMBERS, _pack(self._own_numbers()))
        latest, notable = list(self._ledger.latest), list(self._ledger.notable)
        self._show(CALLS, _pack(RecentCalls(latest[-SHOWN_CALLS:], notable[-SHOWN_CALLS:])))

    def _show(self, sheet: int, text: bytes) -> None:
        seat = self._seat
        if seat is None or text == self._shown[sheet]:
            return
        try:
            seat.board.write(seat.number, sheet, text)
            self._shown[sheet] = text
        except SheetFull as error:
            if not self._told_full:
                logger.error("The numbers of this worker are not seen by the others: %s.", error)
            self._told_full = True

    def _others(self, sheet: int) -> Iterable[bytes]:
        return () if self._seat is None else self._seat.board.others(self._seat.number, sheet)

    def _own_numbers(self) -> Stats:
        runtime = self._live.runtime
        counters = {
            "tally": msgspec.to_builtins(self._ledger.tally()),
            "cache": _cache_counters(runtime.cache),
        }
        gauges = {
            "in_flight": runtime.admission.in_flight,
            "groups": _groups_gauges(runtime, str(0 if self._seat is None else self._seat.number)),
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

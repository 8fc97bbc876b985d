"""Reads of a store: all gets of one turn of the event loop are one read, with a short timeout.

A single get costs ten times the CPU of a get among fifty. A get that has waited long enough goes on
without an answer. Its read is late: until that is back or cancelled, no other is sent. A read that
takes longer still has failed. After some failures in a row the store is not read until a background
job has probed it successfully.
"""

from __future__ import annotations

import asyncio

from llmproxy.batteries.cache.cached_answer import CachedAnswer, unpack
from llmproxy.batteries.cache.stores.base import (
    OperationHealth,
    StoreBackend,
    StoreCounters,
    StoreError,
)

MAX_IN_FLIGHT = 4  # batches, and so connections; later gets gather until one is back
PAUSE_S = 2.0  # between probes of a lost store
# A read that failed is cancelled so much later: it may have had to connect first, and the next read
# uses that connection.
CONNECT_S = 0.2
BIG_BYTES = 16 * 1024  # bigger values take 50 us and more to unpack, so a thread does it
STALL_S, RETRY_S = 0.002, 0.005
FAR_TIMES = 4  # a get of a store far away waits so many times what the last read took
PROBE = ("", b"")  # a key that is never written

Pair = tuple[str, bytes]  # group and key
Waiter = asyncio.Future[CachedAnswer | None]


class _Batch:
    """Gets that are read together.

    `due`: the loop time at which they give up, and then that at which the read fails. `late`: they
    have given up. `failed`: the read has failed.
    """

    __slots__ = ("due", "failed", "fails_at", "late", "rechecked", "task", "timer", "waiting")

    def __init__(self, due: float, fails_at: float) -> None:
        self.due = due
        self.fails_at = fails_at
        self.waiting: dict[Pair, list[Waiter]] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        self.rechecked = self.late = self.failed = False

    def answer(self, pair: Pair, entry: CachedAnswer | None) -> int:
        """Answer the gets of one key; returns how many there were."""
        waiters = [waiter for waiter in self.waiting[pair] if not waiter.done()]
        for waiter in waiters:
            waiter.set_result(entry)
        return len(waiters)

    def end(self) -> None:
        """Answer all gets that are left with None."""
        if self.timer is not None:
            self.timer.cancel()
        for pair in self.waiting:
            self.answer(pair, None)


class ReadTimes:
    """How long a get waits, and how long a read may take.

    `wait_s`: of a get: `quick_s`, or more if the last read was answered later than that.
    `timeout_s`: after it a read has failed, and no get waits longer.
    """

    __slots__ = ("quick_s", "timeout_s", "wait_s")

    def __init__(self, quick_s: float, timeout_s: float) -> None:
        self.quick_s = self.wait_s = quick_s
        self.timeout_s = timeout_s

    def took(self, seconds: float) -> None:
        """Note that a read was answered, and after how long."""
        is_near = seconds < self.quick_s
        self.wait_s = self.quick_s if is_near else min(FAR_TIMES * seconds, self.timeout_s)

    def failed(self) -> None:
        """Note that a read was not answered."""
        self.wait_s = self.quick_s


class ReadQueue:
    """Owns the gets under way."""

    def __init__(
        self,
        store: StoreBackend,
        health: OperationHealth,
        counters: StoreCounters,
        times: ReadTimes,
    ) -> None:
        self._store = store
        self._health = health
        self._counters = counters
        self._times = times
        self._gathering: _Batch | None = None
        self._in_flight: set[_Batch] = set()
        self._resumes_at = 0.0  # loop time; until then a late read is waited for
        self._lost = asyncio.Event()
        self._closed = False
        self.probed = asyncio.Event()  # whether the store answers is known

    def get(self, group: str, key: bytes) -> Waiter:
        """Return the answer under a key; None if it is not stored or does not come in time."""
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        now = loop.time()
        if self._health.why is not None or now < self._resumes_at or self._closed:
            waiter.set_result(None)
            return waiter
        self._counters.reads += 1
        batch = self._gathering
        if batch is None:
            times = self._times
            batch = self._gathering = _Batch(now + times.wait_s, now + times.timeout_s)
            batch.timer = loop.call_at(batch.due, self._is_due, batch)
            loop.call_soon(self._send)  # after everything else of this turn
        batch.waiting.setdefault((group, key), []).append(waiter)
        return waiter

    async def keep_probing(self) -> None:
        """Find out whether the store answers, at the start and when it is lost; until cancelled."""
        while True:
            await self._probe()
            self.probed.set()
            if self._health.why is None:
                self._lost.clear()
                await self._lost.wait()
            await asyncio.sleep(PAUSE_S)

    async def close(self) -> None:
        """Answer all gets with None, now and from now on."""
        self._closed = True
        if self._gathering is not None:
            self._gathering.end()
            self._gathering = None
        tasks = {batch.task for batch in self._in_flight if batch.task is not None}
        while tasks:  # repeated, for a library in between may swallow a cancellation
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=PAUSE_S)

    def _send(self) -> None:
        batch = self._gathering
        if batch is not None and len(self._in_flight) < MAX_IN_FLIGHT:
            self._gathering = None
            self._in_flight.add(batch)
            batch.task = asyncio.create_task(self._read(batch))

    async def _read(self, batch: _Batch) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            values = await self._store.read(list(batch.waiting))
            if not batch.failed:
                self._succeed(loop.time() - began)
            if not batch.late:
                await self._answer(batch, values)
        except StoreError as error:
            if not batch.failed:
                self._fail(str(error))
        finally:
            batch.end()
            self._in_flight.discard(batch)
            self._resumes_at = 0.0
            loop.call_soon(self._send)

    async def _answer(self, batch: _Batch, values: list[bytes | None]) -> None:
        big: list[tuple[Pair, bytes]] = []
        for pair, value in zip(batch.waiting, values, strict=True):
            if value is None:
                batch.answer(pair, None)
            elif len(value) > BIG_BYTES:
                big.append((pair, value))
            else:
                self._hand_out(batch, pair, unpack(pair[1], value))
        if big:
            entries = await asyncio.to_thread(_unpack_all, big)
            for (pair, _), entry in zip(big, entries, strict=True):
                self._hand_out(batch, pair, entry)

    def _hand_out(self, batch: _Batch, pair: Pair, entry: CachedAnswer | None) -> None:
        answered = batch.answer(pair, entry)
        if entry is None:
            self._counters.damaged += 1
        else:
            self._counters.hits += answered

    def _is_due(self, batch: _Batch) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - batch.due > STALL_S and not batch.rechecked:
            # The loop was busy, and the answer may be here already: check once more.
            batch.rechecked = True
            batch.timer = loop.call_later(RETRY_S, self._is_due, batch)
        elif batch.task is None:  # the reads before it are not back
            self._gathering = None
            batch.end()
        elif batch.due < batch.fails_at:
            self._give_up(batch)
            batch.due, batch.rechecked = batch.fails_at, False
            batch.timer = loop.call_at(batch.due, self._is_due, batch)
        else:
            self._give_up(batch)
            batch.failed = True
            batch.timer = loop.call_later(CONNECT_S, batch.task.cancel)
            self._fail(self._no_answer())

    def _give_up(self, batch: _Batch) -> None:
        """Answer the gets of a late read with None."""
        batch.late = True
        self._resumes_at = batch.fails_at + CONNECT_S
        batch.end()

    def _succeed(self, took_s: float) -> None:
        self._times.took(took_s)
        self._health.succeeded()

    def _fail(self, why: str) -> None:
        self._times.failed()
        self._health.failed(why)
        if self._health.why is not None:
            self._lost.set()
            if self._gathering is not None:
                self._gathering.end()
                self._gathering = None

    def _no_answer(self) -> str:
        return f"no answer within {self._times.timeout_s} s"

    async def _probe(self) -> None:
        """Read twice: the first time may have to connect, the second must be as quick as a get."""
        loop = asyncio.get_running_loop()
        timeout_s = self._times.timeout_s
        try:
            async with asyncio.timeout(timeout_s + CONNECT_S):
                await self._store.read([PROBE])
            began = loop.time()
            async with asyncio.timeout(timeout_s):
                await self._store.read([PROBE])
        except StoreError as error:
            self._fail(str(error))
        except TimeoutError:
            self._fail(self._no_answer())
        else:
            self._succeed(loop.time() - began)


def _unpack_all(values: list[tuple[Pair, bytes]]) -> list[CachedAnswer | None]:
    return [unpack(key, value) for (_, key), value in values]

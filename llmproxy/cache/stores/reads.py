"""Reads of a store: all gets of one tick of the event loop go out as one, and none waits for long.

A get alone takes ten times the CPU that it takes among fifty. Whoever asks is told within its
patience, or told nothing; a store that has failed some times in a row is asked by nobody until it
answers a knock of the background job.
"""

from __future__ import annotations

import asyncio

from llmproxy.cache.cached_answer import CachedAnswer, unpack
from llmproxy.cache.stores.base import OperationHealth, StoreBackend, StoreCounters, StoreError

MAX_IN_FLIGHT = 4  # further gets gather until one of these is back: as many connections are enough
PAUSE_S = 2.0  # between knocks at a store that is lost
# An operation that is late is given up so much later than whoever waited for it: it may have had to
# connect first, and the connection serves the next.
CONNECT_S = 0.2
BIG_BYTES = 16 * 1024  # above it a value is unpack in a thread: 50 us, and more
STALL_S, LOOK_AGAIN_S = 0.01, 0.005
PROBE = ("", b"")  # under this nothing is kept

Pair = tuple[str, bytes]  # group and key
Waiter = asyncio.Future[CachedAnswer | None]


class _Batch:
    """Gets that go out together, and when (on the loop's clock) they are given up."""

    __slots__ = ("due", "late", "looked_again", "task", "timer", "waiting")

    def __init__(self, due: float) -> None:
        self.due = due
        self.waiting: dict[Pair, list[Waiter]] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        self.looked_again = False
        self.late = False

    def answer(self, pair: Pair, entry: CachedAnswer | None) -> int:
        """Returns how many have waited for it."""
        waiters = [each for each in self.waiting[pair] if not each.done()]
        for waiter in waiters:
            waiter.set_result(entry)
        return len(waiters)

    def end(self) -> None:
        """Nobody waits any longer."""
        if self.timer is not None:
            self.timer.cancel()
        for pair in self.waiting:
            self.answer(pair, None)


class ReadQueue:
    """Owns the gets under way. `patience_s`: how long one waits."""

    def __init__(
        self,
        store: StoreBackend,
        side: OperationHealth,
        counters: StoreCounters,
        *,
        patience_s: float,
    ) -> None:
        self._store = store
        self._side = side
        self._counters = counters
        self._patience_s = patience_s
        self._late = f"no answer within {patience_s} s"
        self._gathering: _Batch | None = None
        self._in_flight: set[_Batch] = set()
        self._lost = asyncio.Event()
        self._closed = False
        self.tried = asyncio.Event()  # whether the store answers is known

    def get(self, group: str, key: bytes) -> Waiter:
        """What is kept under a key; None if nothing is, or if it cannot be had in time."""
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        if self._side.why is not None or self._closed:
            waiter.set_result(None)
            return waiter
        self._counters.reads += 1
        batch = self._gathering
        if batch is None:
            batch = self._gathering = _Batch(loop.time() + self._patience_s)
            batch.timer = loop.call_at(batch.due, self._is_due, batch)
            loop.call_soon(self._send)  # behind all that happens in this tick
        batch.waiting.setdefault((group, key), []).append(waiter)
        return waiter

    async def keep_probing(self) -> None:
        """The job that finds out whether the store answers, at the start and whenever it is lost.
        Ends only when it is cancelled."""
        while True:
            await self._probe()
            self.tried.set()
            if self._side.why is None:
                self._lost.clear()
                await self._lost.wait()
            await asyncio.sleep(PAUSE_S)

    async def close(self) -> None:
        """Whoever still waits is told nothing, and so is whoever comes."""
        self._closed = True
        if self._gathering is not None:
            self._gathering.end()
            self._gathering = None
        tasks = {batch.task for batch in self._in_flight if batch.task is not None}
        while tasks:  # until they have heard it: a library in between may swallow a cancellation
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
        try:
            values = await self._store.read(list(batch.waiting))
            if not batch.late:
                self._side.succeeded()
                await self._answer(batch, values)
        except StoreError as error:
            if not batch.late:
                self._fail(str(error))
        finally:
            batch.end()
            self._in_flight.discard(batch)
            asyncio.get_running_loop().call_soon(self._send)

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
            entries = await asyncio.to_thread(_all_unpacked, big)
            for (pair, _), entry in zip(big, entries, strict=True):
                self._hand_out(batch, pair, entry)

    def _hand_out(self, batch: _Batch, pair: Pair, entry: CachedAnswer | None) -> None:
        if entry is None:
            self._counters.damaged += 1
        told = batch.answer(pair, entry)
        if entry is not None:
            self._counters.hits += told

    def _is_due(self, batch: _Batch) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - batch.due > STALL_S and not batch.looked_again:
            # We were busy ourselves, and the answer may be waiting: look once more.
            batch.looked_again = True
            batch.timer = loop.call_later(LOOK_AGAIN_S, self._is_due, batch)
            return
        batch.late = True
        batch.end()
        if batch.task is None:
            self._gathering = None
        else:
            batch.timer = loop.call_later(CONNECT_S, batch.task.cancel)
        self._fail(self._late)

    def _fail(self, why: str) -> None:
        self._side.failed(why)
        if self._side.why is not None:
            self._lost.set()
            if self._gathering is not None:
                self._gathering.end()
                self._gathering = None

    async def _probe(self) -> None:
        """Twice: the first may have to connect, the second must be as quick as any get."""
        for patience_s in (self._patience_s + CONNECT_S, self._patience_s):
            try:
                async with asyncio.timeout(patience_s):
                    await self._store.read([PROBE])
            except StoreError as error:
                self._side.failed(str(error))
                return
            except TimeoutError:
                self._side.failed(self._late)
                return
        self._side.succeeded()


def _all_unpacked(values: list[tuple[Pair, bytes]]) -> list[CachedAnswer | None]:
    return [unpack(key, value) for (_, key), value in values]

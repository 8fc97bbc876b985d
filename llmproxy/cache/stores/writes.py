"""Writes to a store, behind the calls: queued, packed and written in batches by one background job.

No call waits for them. The queue is bounded in bytes, so that a store that is slow or gone fills no
memory; what has no place in it, and what was being written when the store failed, is dropped and
counted: it is asked for once more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from llmproxy.cache.cached_answer import CachedAnswer, pack
from llmproxy.cache.stores.base import OperationHealth, StoreBackend, StoreCounters, StoreError
from llmproxy.cache.stores.memory import size_of

QUEUE_BYTES = 32 * 1024 * 1024
BATCH_BYTES = 1024 * 1024
BATCH_ENTRIES = 100  # 3 ms of the disk's thread, in which nobody reads
GATHER_S = 0.02  # from the first put to the write
PATIENCE_S = 1.0  # nobody waits for a write
SHORT_PAUSE_S, PAUSE_S = 0.1, 2.0  # after a failure; while nothing can be written
BIG_BYTES = 64 * 1024  # bodies of this size together are pack in a thread

Put = tuple[bytes, CachedAnswer]  # key and entry


class WriteQueue:
    """Owns the queue. `bytes`: what is in it."""

    def __init__(self, store: StoreBackend, side: OperationHealth, counters: StoreCounters) -> None:
        self._store = store
        self._side = side
        self._counters = counters
        self._queue: deque[Put] = deque()
        self._filled = asyncio.Event()
        self._settled = asyncio.Event()  # all that was put is written, or dropped
        self._settled.set()
        self._writing = asyncio.Lock()
        self.bytes = 0

    def put_later(self, key: bytes, entry: CachedAnswer) -> None:
        """Write it soon; nothing is waited for."""
        size = size_of(entry)
        if self.bytes + size > QUEUE_BYTES:
            self._counters.dropped += 1
            return
        self.bytes += size
        self._queue.append((key, entry))
        self._settled.clear()
        self._filled.set()

    async def keep_writing(self) -> None:
        """The job that writes. Ends only when it is cancelled."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(GATHER_S)
            while self._queue:
                if not await self._write_some():
                    await asyncio.sleep(SHORT_PAUSE_S if self._side.why is None else PAUSE_S)
            self._filled.clear()
            self._settled.set()

    async def settle(self, within_s: float) -> None:
        """Wait until all is written, if that can be hoped for."""
        if not self._side.suspect:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._settled.wait()

    async def forget(self, group: str | None, stored_before: float | None) -> int:
        """What a purge means is written no more; what is being written now is waited for. Returns
        how many were in the queue."""
        kept = deque(put for put in self._queue if not put[1].is_meant(group, stored_before))
        forgotten = len(self._queue) - len(kept)
        self._queue = kept
        self.bytes = sum(size_of(entry) for _, entry in kept)
        async with self._writing:
            return forgotten

    async def _write_some(self) -> bool:
        """Whether it succeeded."""
        async with self._writing:
            batch = self._taken()
            try:
                values = await _packed(batch)
                async with asyncio.timeout(PATIENCE_S):
                    await self._store.write(values)
            except (StoreError, TimeoutError) as error:
                if not self._queue:
                    # Something is left to try again with: otherwise nobody would notice that the
                    # store is back.
                    self._put_back(batch.pop())
                self._counters.dropped += len(batch)
                self._side.failed(str(error) or f"no answer within {PATIENCE_S} s")
                return False
            self._side.succeeded()
            return True

    def _taken(self) -> list[Put]:
        """What is written next: one answer only as long as it is suspect whether it can be."""
        batch: list[Put] = []
        most, left = 1 if self._side.suspect else BATCH_ENTRIES, BATCH_BYTES
        while self._queue and len(batch) < most and left > 0:
            batch.append(self._queue.popleft())
            left -= size_of(batch[-1][1])
        self.bytes -= sum(size_of(entry) for _, entry in batch)
        return batch

    def _put_back(self, put: Put) -> None:
        self._queue.append(put)
        self.bytes += size_of(put[1])


async def _packed(batch: list[Put]) -> list[tuple[str, bytes, bytes]]:
    if sum(len(entry.body) for _, entry in batch) < BIG_BYTES:
        return _all_packed(batch)
    return await asyncio.to_thread(_all_packed, batch)


def _all_packed(batch: list[Put]) -> list[tuple[str, bytes, bytes]]:
    return [(entry.group, key, pack(key, entry)) for key, entry in batch]

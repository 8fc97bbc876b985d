"""Writes to a store: queued, packed and written in batches by one background job.

No call waits for them. The queue is bounded in bytes, so a store that is slow or lost does not fill
the memory. An answer that does not fit into it, or that a failing store did not take, is dropped
and counted; the next call for it asks an endpoint again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from llmproxy.batteries.cache.cached_answer import CachedAnswer, pack
from llmproxy.batteries.cache.stores.base import (
    OperationHealth,
    StoreBackend,
    StoreCounters,
    StoreError,
)
from llmproxy.batteries.cache.stores.memory import size_of

QUEUE_BYTES = 32 * 1024 * 1024
BATCH_BYTES = 1024 * 1024
BATCH_ENTRIES = 100  # 3 ms of the disk's thread, in which it cannot read
GATHER_S = 0.02  # from the first put to the write
TIMEOUT_S = 1.0  # no call waits for a write
SHORT_PAUSE_S, PAUSE_S = 0.1, 2.0  # after a failure; while writing is suspended
BIG_BYTES = 64 * 1024  # bodies of this size together are packed in a thread

Put = tuple[bytes, CachedAnswer]  # key and entry


class WriteQueue:
    """Owns the queue. `bytes`: the size of what is in it."""

    def __init__(
        self, store: StoreBackend, health: OperationHealth, counters: StoreCounters
    ) -> None:
        self._store = store
        self._health = health
        self._counters = counters
        self._queue: deque[Put] = deque()
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()  # everything is written or dropped
        self._empty.set()
        self._writing = asyncio.Lock()
        self.bytes = 0

    def put_later(self, key: bytes, entry: CachedAnswer) -> None:
        """Queue an answer; drop it if the queue is full."""
        size = size_of(entry)
        if self.bytes + size > QUEUE_BYTES:
            self._counters.dropped += 1
            return
        self.bytes += size
        self._queue.append((key, entry))
        self._empty.clear()
        self._filled.set()

    async def keep_writing(self) -> None:
        """Write what is queued, until cancelled."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(GATHER_S)
            while self._queue:
                if not await self._write_batch():
                    await asyncio.sleep(SHORT_PAUSE_S if self._health.why is None else PAUSE_S)
            self._filled.clear()
            self._empty.set()

    async def flush(self, within_s: float) -> None:
        """Wait until everything is written, unless the store is failing."""
        if not self._health.suspect:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._empty.wait()

    async def purge(self, group: str | None, stored_before: float | None) -> int:
        """Remove the answers of one group or all, stored before a Unix time or all.

        Waits for the batch that is being written. Returns how many were removed from the queue.
        """
        kept = deque(put for put in self._queue if not put[1].matches(group, stored_before))
        removed = len(self._queue) - len(kept)
        self._queue = kept
        self.bytes = sum(size_of(entry) for _, entry in kept)
        async with self._writing:
            return removed

    async def _write_batch(self) -> bool:
        """Write the next batch; False if that failed."""
        async with self._writing:
            batch = self._next_batch()
            try:
                values = await _packed(batch)
                async with asyncio.timeout(TIMEOUT_S):
                    await self._store.write(values)
            except (StoreError, TimeoutError) as error:
                if not self._queue:
                    # Keep one to try again with: otherwise the store's return goes unnoticed.
                    self._put_back(batch.pop())
                self._counters.dropped += len(batch)
                self._health.failed(str(error) or f"no answer within {TIMEOUT_S} s")
                return False
            self._health.succeeded()
            return True

    def _next_batch(self) -> list[Put]:
        """Take a batch from the queue: a single answer while the store is suspect."""
        batch: list[Put] = []
        max_entries, left = 1 if self._health.suspect else BATCH_ENTRIES, BATCH_BYTES
        while self._queue and len(batch) < max_entries and left > 0:
            batch.append(self._queue.popleft())
            left -= size_of(batch[-1][1])
        self.bytes -= sum(size_of(entry) for _, entry in batch)
        return batch

    def _put_back(self, put: Put) -> None:
        self._queue.append(put)
        self.bytes += size_of(put[1])


async def _packed(batch: list[Put]) -> list[tuple[str, bytes, bytes]]:
    if sum(len(entry.body) for _, entry in batch) < BIG_BYTES:
        return _pack_all(batch)
    return await asyncio.to_thread(_pack_all, batch)


def _pack_all(batch: list[Put]) -> list[tuple[str, bytes, bytes]]:
    return [(entry.group, key, pack(key, entry)) for key, entry in batch]

"""The second level of the cache: a store behind the memory, which never delays or fails a call.

A read is answered in time, whatever the store does, and a write is done later. No error
reaches a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress

from llmproxy.batteries.background import background
from llmproxy.batteries.cache.cached_answer import CachedAnswer
from llmproxy.batteries.cache.stores.base import (
    StoreBackend,
    StoreCounters,
    StoreError,
    StoreHealth,
    StoreTotals,
)
from llmproxy.batteries.cache.stores.reads import CONNECT_S, ReadQueue, ReadTimes
from llmproxy.batteries.cache.stores.writes import WriteQueue

CLOSE_S = 1.0  # to write the queue, and as much again for the store to close
PURGE_S = 60.0  # an operator waits for it
TOTALS_S = 10.0


@asynccontextmanager
async def open_l2(
    store: StoreBackend,
    *,
    timeout_s: float,
    quick_s: float | None = None,
    counters: StoreCounters | None = None,
) -> AsyncIterator[L2Store]:
    """Read and write a store until the block ends, then close the store.

    Begins after a moment even if the store does not answer. `timeout_s`: by then a read has failed.
    `quick_s`: how long a get waits, unless the store is far away; None = as long as that.
    `counters`: of an earlier store, to go on from.
    """
    counters = counters or StoreCounters()
    health = StoreHealth(counters)
    times = ReadTimes(timeout_s if quick_s is None else quick_s, timeout_s)
    reads = ReadQueue(store, health.reading, counters, times)
    writes = WriteQueue(store, health.writing, counters)
    try:
        async with background(reads.keep_probing, writes.keep_writing):
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s + CONNECT_S):
                    await reads.probed.wait()
            try:
                yield L2Store(store, reads, writes, health, counters)
            finally:
                await writes.flush(CLOSE_S)
    finally:
        await reads.close()
        with suppress(TimeoutError, StoreError):
            async with asyncio.timeout(CLOSE_S):
                await store.close()


class L2Store:
    """An open store. Made by `open_l2` only, which runs its background jobs."""

    __slots__ = ("_health", "_reads", "_store", "_writes", "counters")

    def __init__(
        self,
        store: StoreBackend,
        reads: ReadQueue,
        writes: WriteQueue,
        health: StoreHealth,
        counters: StoreCounters,
    ) -> None:
        self._store = store
        self._reads = reads
        self._writes = writes
        self._health = health
        self.counters = counters

    @property
    def connected(self) -> bool:
        """Whether the store is read and written."""
        return self._health.why is None

    @property
    def why(self) -> str | None:
        """Why it is not connected; None = it is."""
        return self._health.why

    @property
    def suspect(self) -> bool:
        """Whether its last read failed."""
        return self._health.reading.suspect

    @property
    def queued_bytes(self) -> int:
        """The size of the answers that wait to be written."""
        return self._writes.bytes

    def get(self, group: str, key: bytes) -> Awaitable[CachedAnswer | None]:
        """Return the answer under a key; None if it is not stored or does not come in time.

        Never raises.
        """
        return self._reads.get(group, key)

    def put_later(self, key: bytes, entry: CachedAnswer) -> None:
        """Queue an answer to be written. It is dropped if the store does not take it."""
        self._writes.put_later(key, entry)

    async def purge(self, group: str | None, stored_before: float | None) -> int:
        """Remove the answers of one group or all, stored before a Unix time or all.

        Also removes them from this process's write queue, but not from that of other instances.
        Returns how many; raises StoreError.
        """
        try:
            async with asyncio.timeout(PURGE_S):
                queued = await self._writes.purge(group, stored_before)
                return queued + await self._store.purge(group, stored_before)
        except TimeoutError as error:
            raise StoreError(
                f"The purge was not complete within {PURGE_S} s; start it again."
            ) from error

    async def totals(self) -> StoreTotals:
        """Count what is stored, one by one: not for every scrape of metrics. Raises StoreError."""
        try:
            async with asyncio.timeout(TOTALS_S):
                return await self._store.totals()
        except TimeoutError as error:
            raise StoreError(f"The store was not counted within {TOTALS_S} s.") from error

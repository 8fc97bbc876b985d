"""The second level of the answer cache: behind the memory of a process, in front of a store.

It never stands in a call's way: a get is answered within its patience, whatever the store does,
and a put is written later. Nothing is raised into a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress

from llmproxy.aio.tasks import background
from llmproxy.cache.cached_answer import CachedAnswer
from llmproxy.cache.stores.base import (
    StoreBackend,
    StoreCounters,
    StoreError,
    StoreHealth,
    StoreTotals,
)
from llmproxy.cache.stores.reads import CONNECT_S, ReadQueue
from llmproxy.cache.stores.writes import WriteQueue

CLOSE_S = 1.0  # for what is still queued, and once more for the store to close
PURGE_S = 60.0  # a person waits for it
TOTALS_S = 10.0


@asynccontextmanager
async def open_l2(
    store: StoreBackend, *, patience_s: float, counters: StoreCounters | None = None
) -> AsyncIterator[L2Store]:
    """A second level that reads and writes until the block ends; then it closes the store.

    It begins even if the store does not answer; a moment is waited for it. `patience_s`: how long
    a get waits. `counters`: of an earlier one, to go on from.
    """
    counters = counters or StoreCounters()
    condition = StoreHealth(counters)
    reads = ReadQueue(store, condition.reading, counters, patience_s=patience_s)
    writes = WriteQueue(store, condition.writing, counters)
    try:
        async with background(reads.keep_probing, writes.keep_writing):
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s + CONNECT_S):
                    await reads.tried.wait()
            try:
                yield L2Store(store, reads, writes, condition, counters)
            finally:
                await writes.settle(CLOSE_S)
    finally:
        await reads.close()
        with suppress(TimeoutError, StoreError):
            async with asyncio.timeout(CLOSE_S):
                await store.close()


class L2Store:
    """Made by `open_l2` only, which runs its jobs. Owns what is under way; `counters` only
    ever grow."""

    __slots__ = ("_condition", "_reads", "_store", "_writes", "counters")

    def __init__(
        self,
        store: StoreBackend,
        reads: ReadQueue,
        writes: WriteQueue,
        condition: StoreHealth,
        counters: StoreCounters,
    ) -> None:
        self._store = store
        self._reads = reads
        self._writes = writes
        self._condition = condition
        self.counters = counters

    @property
    def connected(self) -> bool:
        """The store is read and written."""
        return self._condition.why is None

    @property
    def why(self) -> str | None:
        """Why it is not connected; None: it is."""
        return self._condition.why

    @property
    def queued_bytes(self) -> int:
        """What waits to be written."""
        return self._writes.bytes

    def get(self, group: str, key: bytes) -> Awaitable[CachedAnswer | None]:
        """The answer that is kept under a key; None if there is none, or if it cannot be had in
        time. Never raises."""
        return self._reads.get(group, key)

    def put_later(self, key: bytes, entry: CachedAnswer) -> None:
        """Keep an answer. It is written later, or never if the store does not take it."""
        self._writes.put_later(key, entry)

    async def purge(self, group: str | None, stored_before: float | None) -> int:
        """Forget the answers of one group, or of all, that were stored before a moment in Unix
        seconds, or ever. Returns how many; raises StoreError.

        What waits here to be written is forgotten, too. What waits in other instances is not.
        """
        try:
            async with asyncio.timeout(PURGE_S):
                queued = await self._writes.forget(group, stored_before)
                return queued + await self._store.purge(group, stored_before)
        except TimeoutError as error:
            raise StoreError(
                f"The purge was not through within {PURGE_S} s; start it again."
            ) from error

    async def totals(self) -> StoreTotals:
        """What the store holds. Counts one by one: for people, not for every scrape of metrics.
        Raises StoreError."""
        try:
            async with asyncio.timeout(TOTALS_S):
                return await self._store.totals()
        except TimeoutError as error:
            raise StoreError(f"It could not be counted within {TOTALS_S} s.") from error

"""Entries for the answer cache, and a fake store."""

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import time

from llmproxy.batteries.cache.cached_answer import CachedAnswer, pack
from llmproxy.batteries.cache.stores.base import StoreError, StoreTotals
from llmproxy.batteries.cache.stores.l2 import open_l2
from llmproxy.batteries.cache.stores.sqlite import SqliteStore

TIMEOUT_S = 0.1
MIB = 1024 * 1024
KEEP_S = 1000.0
PROBE = [("", b"")]


def entry(body=b"answer", group="g", stored_at=1.0):
    return CachedAnswer(group, b"application/json", body, stored_at)


def key(number):
    return number.to_bytes(32, "big")


def answer(number, at, size=1000):
    """Return (group, key, value) as written to a store; the value is incompressible."""
    return "g", key(number), pack(key(number), entry(os.urandom(size), stored_at=at))


async def kept(store, numbers):
    """Return which of these answers are in the store."""
    values = await store.read([("g", key(number)) for number in numbers])
    return [number for number, value in zip(numbers, values, strict=True) if value is not None]


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self):
        return self.now


@asynccontextmanager
async def on_disk(path, *, max_bytes=16 * MIB, clock=time):
    store = SqliteStore(path, max_bytes=max_bytes, keep_s=KEEP_S, clock=clock)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_store(store):
    """Open an L2 store with the timeout of a server."""
    async with open_l2(store, timeout_s=TIMEOUT_S) as level:
        yield level


@dataclass
class FakeStore:
    """A store whose reads and writes may be slow or fail. It records its operations."""

    read_s: float = 0.0
    write_s: float = 0.0
    reads_fail: bool = False
    writes_fail: bool = False
    kept: dict = field(default_factory=dict)
    reads: list = field(default_factory=list)
    writes: list = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    closed: int = 0

    async def read(self, wanted):
        if wanted != PROBE:
            self.reads.append(wanted)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.read_s)
        finally:
            self.under_way -= 1
        if self.reads_fail:
            raise StoreError("the server is on fire.")
        return [self.kept.get(pair) for pair in wanted]

    async def write(self, values):
        self.writes.append([(group, key) for group, key, _ in values])
        await asyncio.sleep(self.write_s)
        if self.writes_fail:
            raise StoreError("the server is full.")
        self.kept |= {(group, key): value for group, key, value in values}

    async def purge(self, group, stored_before):
        return 0

    async def totals(self):
        return StoreTotals(len(self.kept), sum(map(len, self.kept.values())))

    async def close(self):
        self.closed += 1

    def keep(self, key, entry):
        self.kept[entry.group, key] = pack(key, entry)

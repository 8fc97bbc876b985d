"""Writes finished calls to the database, behind them.

No call waits. What has ended is collected, and one background task writes it in batches, in order.
While the database is away, batches go to the spool, and are written from there when it is back.
What the spool does not take stays in memory, up to a bound; beyond it, calls are counted as lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import time
from typing import TypeVar

from llmproxy.batteries.store.database import Database
from llmproxy.batteries.store.errors import StoreUnavailable
from llmproxy.batteries.store.rows import Row, row_of
from llmproxy.batteries.store.spool import SUFFIX, Batch, Spool, SpoolFull, abandoned
from llmproxy.events import CallFinished, Listener

PIECE = 50  # calls made into rows at once: a pause of some 0.2 ms
BATCH = 1000  # rows that are written at once: each statement costs as much as ten rows
FLUSH_S = 1.0  # who reads does not wait for it (`flush`)
RETRY_S = 1.0
ADOPT_S = 30.0  # how often spools of processes that are gone are looked for
WITHIN_S = 5.0  # a batch takes milliseconds; then the database counts as away
READER_WAITS_S = 1.0
MAX_IN_MEMORY = 20_000  # calls: some 30 MB

T = TypeVar("T")
logger = logging.getLogger("llmproxy")


class WriterHealth:
    """Whether the database takes batches, and since when. It is told once, when that changes."""

    def __init__(self) -> None:
        self.connected: bool | None = None  # None: nothing was written yet
        self.why: str | None = None
        self.since = time()

    def begins(self, error: StoreUnavailable, place: object) -> None:
        """Note that the database is away."""
        self.why = str(error)
        if self.connected is not False:
            self.connected, self.since = False, time()
            where = "in memory, up to a bound" if place is None else f"in {place}"
            logger.error("Calls are not written to the store: %s They wait %s.", error, where)

    def ends(self) -> None:
        """Note that the database takes batches."""
        if self.connected is False:
            logger.warning(
                "Calls are written to the store again, after %.0f s.", time() - self.since
            )
        if not self.connected:
            self.connected, self.why, self.since = True, None, time()


class CallWriter(Listener):
    """Owns what is not written yet. `run` is the background task, `close` comes after it.

    `folder`: of the spools; None = memory only. `lost`: calls that found room nowhere.
    """

    def __init__(
        self,
        database: Database,
        folder: Path | None,
        *,
        retry_s: float = RETRY_S,
        within_s: float = WITHIN_S,
    ) -> None:
        self.health = WriterHealth()
        self.lost = 0
        self._database = database
        self._instance = f"{socket.gethostname()}-{os.getpid()}"
        self._writer = f"{self._instance}-{secrets.token_hex(4)}"
        self._spools = Spools(folder, self._writer)
        self._retry_s, self._within_s = retry_s, within_s
        self._ended: list[CallFinished] = []
        self._memory = RowsInMemory()
        self._wanted = asyncio.Event()
        self._readers: list[asyncio.Future[bool]] = []

    def call_finished(self, event: CallFinished) -> None:
        """Collect the call."""
        self._ended.append(event)
        if len(self._ended) >= PIECE:
            self._collect()

    @property
    def queued(self) -> int:
        """How many calls wait in memory."""
        return len(self._ended) + self._memory.calls

    @property
    def spooled(self) -> int:
        """How many calls wait on disk."""
        return self._spools.waiting

    async def run(self) -> None:
        """Write what is collected, for ever."""
        await self._database.load()  # now, while few calls come that it would slow down
        adopt_at = retry_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            if loop.time() >= adopt_at:
                adopt_at = loop.time() + ADOPT_S
                await self._spools.adopt()
            readers, self._readers = self._readers, []
            written = False
            if self.health.connected is False and loop.time() < retry_at:
                await self._to_spool()
            elif not (written := await self.write()):
                retry_at = loop.time() + self._retry_s
            for reader in readers:
                reader.set_result(written)
            if not self._readers and (self._memory.calls < BATCH or self.health.connected is False):
                self._wanted.clear()
                try:
                    async with asyncio.timeout(min(FLUSH_S, self._retry_s)):
                        await self._wanted.wait()
                except TimeoutError:
                    pass

    async def flush(self) -> bool:
        """Write what has ended; return whether it is written, after a while that a reader may
        wait."""
        if not (self.queued or self.spooled):
            return True
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._readers.append(written)
        self._wanted.set()
        await asyncio.wait({written}, timeout=READER_WAITS_S)
        return written.done() and written.result()

    async def write(self) -> bool:
        """Write what waits, the oldest first, until nothing does or the database is away; return
        whether it was there. What it does not take goes to the spool."""
        self._collect()
        while True:
            spool = self._spools.next()
            if spool is not None:
                # What ended meanwhile is younger than what is in the spool.
                if self._memory.calls >= BATCH:
                    await self._to_spool()
                batch = await self._spools.do(spool.first)
                writer = spool.writer
            else:
                batch, writer = self._memory.first(), self._writer
            if batch is None:
                if spool is None:
                    return True
                await self._spools.finished(spool)
                continue
            if not await self._write_batch(writer, batch):
                await self._to_spool()
                return False
            if spool is not None:
                await self._spools.do(spool.drop_first)
            else:
                self._memory.drop_first()
            self._collect()

    async def close(self) -> None:
        """Write or spool everything."""
        if self.health.connected is not False:
            await self.write()
        await self._to_spool()
        if left := self._memory.calls:
            self.lost += left
            logger.error("%d calls are lost: neither the store nor its spool takes them.", left)
        await self._spools.close()

    def _collect(self) -> None:
        """Make rows of the calls that have ended."""
        calls, self._ended = self._ended, []
        room = MAX_IN_MEMORY - self._memory.calls
        if len(calls) > room:
            self.lost += len(calls) - room
            del calls[room:]
        for call in calls:
            try:
                self._memory.rows.append(row_of(call, self._instance))
            except Exception:  # it would take the others with it
                self.lost += 1
                logger.exception("A call cannot be written and is lost.")
        if self._memory.calls >= BATCH:
            self._wanted.set()

    async def _write_batch(self, writer: str, batch: Batch) -> bool:
        """Write a batch to the database, as far as it takes it; return whether it is there."""
        try:
            refusals = await self._refusals(writer, batch)
        except StoreUnavailable as error:
            self.health.begins(error, self._spools.folder)
            return False
        if refusals:
            self.lost += len(refusals)
            text = "%d calls cannot be written and are lost."
            logger.error(text, len(refusals), exc_info=refusals[0])
        self.health.ends()
        return True

    async def _refusals(self, writer: str, batch: Batch) -> list[Exception]:
        """Write a batch; return an error for each row that the database does not take.

        One such row must not take the others with it, so the halves of a batch with one are written
        apart, each under a name of its own: none is written twice. Raises StoreUnavailable.
        """
        from llmproxy.batteries.store.statements import write_batch  # noqa: PLC0415 - SQLAlchemy

        number, rows = batch.number, batch.rows
        try:
            await self._database.change(
                lambda connection: write_batch(connection, writer, number, rows, time()),
                within_s=self._within_s,
            )
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a driver or a server has against rows
            half = len(rows) // 2
            if not half:
                return [error]
            first = await self._refusals(f"{writer}/0", Batch(number, rows[:half]))
            return first + await self._refusals(f"{writer}/1", Batch(number, rows[half:]))
        return []

    async def _to_spool(self) -> None:
        """Move what is in memory to the disk, as far as it goes."""
        self._collect()
        while (batch := self._memory.first()) is not None:
            if not await self._spools.append(batch):
                return
            self._memory.drop_first()


class RowsInMemory:
    """Rows that wait in memory. What has been tried once keeps its number and its rows."""

    def __init__(self) -> None:
        self.rows: deque[Row] = deque()
        self._first: Batch | None = None
        self._number = 0

    @property
    def calls(self) -> int:
        """How many calls wait."""
        return len(self.rows) + (0 if self._first is None else len(self._first.rows))

    def first(self) -> Batch | None:
        """Return the oldest batch; None = nothing waits."""
        if self._first is None and self.rows:
            self._number += 1
            rows = [self.rows.popleft() for _ in range(min(BATCH, len(self.rows)))]
            self._first = Batch(self._number, rows)
        return self._first

    def drop_first(self) -> None:
        """Forget the oldest batch."""
        self._first = None


class Spools:
    """The own spool, and those of writers that are gone, which come first."""

    def __init__(self, folder: Path | None, writer: str) -> None:
        self.folder = folder
        self._writer = writer
        self._own = None if folder is None else Spool(folder / f"{writer}{SUFFIX}")
        self._adopted: list[Spool] = []
        self._refuses: str | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmproxy-spool")

    async def do(self, job: Callable[[], T]) -> T:
        """Do something that blocks, after all that was begun before."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    @property
    def waiting(self) -> int:
        """How many calls wait in them."""
        own = 0 if self._own is None else self._own.waiting
        return own + sum(spool.waiting for spool in self._adopted)

    def next(self) -> Spool | None:
        """Return the spool to write to the database from; None = nothing waits in any."""
        if self._adopted:
            return self._adopted[0]
        return self._own if self._own is not None and self._own.waiting else None

    async def adopt(self) -> None:
        """Take over the spools of writers that are gone."""
        if self.folder is not None:
            self._adopted += await self.do(partial(abandoned, self.folder, but=self._writer))

    async def finished(self, spool: Spool) -> None:
        """Close a spool in which nothing waits any more."""
        if spool in self._adopted:
            self._adopted.remove(spool)
            await self.do(spool.close)

    async def append(self, batch: Batch) -> bool:
        """Keep a batch on the disk; return whether that succeeded. It is told once if not."""
        if self._own is None:
            return False
        try:
            await self.do(partial(self._own.append, batch))
        except SpoolFull as error:
            if self._refuses is None:
                logger.error("The store's spool takes no more calls: %s.", error)
            self._refuses = str(error)
            return False
        self._refuses = None
        return True

    async def close(self) -> None:
        """Close them; what waits in them is taken over by the next process."""
        for spool in [*self._adopted, *([] if self._own is None else [self._own])]:
            await self.do(spool.close)
        self._thread.shutdown(wait=False)

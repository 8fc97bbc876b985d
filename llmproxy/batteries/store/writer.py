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
from pathlib import Path
from time import time

from llmproxy.batteries.store.database import Database
from llmproxy.batteries.store.errors import StoreUnavailable
from llmproxy.batteries.store.row_queue import MAX_ROWS, RowQueue
from llmproxy.batteries.store.rows import row_of
from llmproxy.batteries.store.spool import Batch, Spool
from llmproxy.batteries.store.spools import Spools
from llmproxy.batteries.store.statements import write_batch
from llmproxy.events import CallFinished, Listener

PIECE = 50  # calls made into rows at once: a pause of some 0.2 ms
FLUSH_S = 1.0  # who reads does not wait for it (`flush`)
RETRY_S = 1.0
ADOPT_S = 30.0  # how often spools of processes that are gone are looked for
WITHIN_S = 5.0  # a batch takes milliseconds; then the database counts as away
READER_WAITS_S = 1.0

logger = logging.getLogger("llmproxy")


class WriterHealth:
    """Whether the database takes batches, and since when. It is told once, when that changes."""

    def __init__(self) -> None:
        self.connected: bool | None = None  # None: there is no file yet, and nothing to be written
        self.why: str | None = None
        self.since = time()

    def database_failed(self, error: StoreUnavailable, spool_folder: Path | None) -> None:
        """Note that the database does not take batches."""
        self.why = str(error)
        if self.connected is not False:
            self.connected, self.since = False, time()
            where = f"in {spool_folder}"
            if spool_folder is None:
                where = f"in memory, and beyond {MAX_ROWS} calls they are lost"
            logger.error("Calls are not written to the store: %s They wait %s.", error, where)

    def database_answered(self) -> None:
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
        self._name = f"{self._instance}-{secrets.token_hex(4)}"
        self._spools = Spools(folder, self._name)
        self._retry_s, self._within_s = retry_s, within_s
        self._ended: list[CallFinished] = []
        self._queue = RowQueue()
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
        return len(self._ended) + self._queue.waiting

    @property
    def spooled(self) -> int:
        """How many calls wait on disk."""
        return self._spools.waiting

    async def run(self) -> None:
        """Write what is collected, for ever."""
        await self._look()  # a server's SQLAlchemy is imported now, while few calls come
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
            if not self._readers and (not self._queue.has_batch or self.health.connected is False):
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
        if self.health.connected is False and not (self.queued or self.spooled):
            return await self._look()
        while (spool := self._spools.oldest()) is not None or self._queue.waiting:
            took = self._write_queued() if spool is None else self._write_spooled(spool)
            if not await took:
                await self._to_spool()
                return False
            self._collect()
        return True

    async def close(self) -> None:
        """Write or spool everything."""
        if self.health.connected is not False:
            await self.write()
        await self._to_spool()
        if left := self._queue.waiting:
            self.lost += left
            where = "has no folder" if self._spools.folder is None else "takes no more"
            logger.error(
                "%d calls are lost at the end of this process: the database is away, and its spool "
                "%s. The access log has them, if it is on. Bring the database back before the next "
                "restart, or give the spool a disk with space.",
                left,
                where,
            )
        await self._spools.close()

    def _collect(self) -> None:
        """Make rows of the calls that have ended."""
        calls, self._ended = self._ended, []
        room = self._queue.room
        if len(calls) > room:  # the spool has said why
            self.lost += len(calls) - room
            del calls[room:]
        for call in calls:
            try:
                self._queue.append(row_of(call, self._instance))
            except Exception:  # it would take the others with it
                self.lost += 1
                text = "Call %s has values that no row can keep; only the access log has it. "
                logger.exception(text + "Report this as a bug.", call.record.request.id)
        if self._queue.has_batch:
            self._wanted.set()

    async def _look(self) -> bool:
        """See how the database is while nothing waits to be written; return whether it is there."""
        try:
            await self._database.check(self._within_s)
        except StoreUnavailable as error:
            self.health.database_failed(error, self._spools.folder)
            return False
        if self._database.exists or self.health.connected is False:
            self.health.database_answered()
        return True

    async def _write_queued(self) -> bool:
        """Write the oldest batch in memory; return whether the database was there."""
        batch = self._queue.oldest()
        if batch is None:
            return True
        if written := await self._write_batch(self._name, batch):
            self._queue.drop_oldest()
        return written

    async def _write_spooled(self, spool: Spool) -> bool:
        """Write the oldest batch of a spool; return whether the database was there."""
        if self._queue.has_batch:  # it is younger than what is in the spool
            await self._to_spool()
        batch = await self._spools.in_thread(spool.first)
        if batch is None:
            await self._spools.close_empty(spool)
            return True
        if written := await self._write_batch(spool.writer, batch):
            await self._spools.in_thread(spool.drop_first)
        return written

    async def _write_batch(self, writer: str, batch: Batch) -> bool:
        """Write a batch to the database, as far as it takes it; return whether it is there."""
        try:
            refusals = await self._refusals(writer, batch)
        except StoreUnavailable as error:
            self.health.database_failed(error, self._spools.folder)
            return False
        if refusals:
            self.lost += len(refusals)
            text = "%d calls are lost: the database does not take their values. Only the access "
            text += "log has them. The reason that it gave for the first one follows."
            logger.error(text, len(refusals), exc_info=refusals[0])
        self.health.database_answered()
        return True

    async def _refusals(self, writer: str, batch: Batch) -> list[Exception]:
        """Write a batch; return an error for each row that the database does not take.

        One such row must not take the others with it, so the halves of a batch with one are written
        apart, each under a name of its own: none is written twice. Raises StoreUnavailable.
        """
        number, rows = batch.number, batch.rows
        try:
            await write_batch(self._database, writer, number, rows, time(), within_s=self._within_s)
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
        while (batch := self._queue.oldest()) is not None:
            if not await self._spools.append(batch):
                return
            self._queue.drop_oldest()

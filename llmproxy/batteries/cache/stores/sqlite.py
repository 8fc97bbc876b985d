"""The answers in an SQLite file on a local disk, shared by all processes of the machine.

One thread does all the work, so a slow disk delays no call. Several machines cannot share the file:
SQLite's locks and shared memory do not work over a network.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import time
from typing import TypeVar

from llmproxy.batteries.cache.cached_answer import stored_at_of
from llmproxy.batteries.cache.stores.base import StoreError, StoreTotals
from llmproxy.batteries.cache.stores.database import PAGE_BYTES, AnswerDatabase, number

READ = (
    "SELECT rowid, value, used_at FROM answers WHERE key = ? AND model_group = ? AND stored_at > ?"
)
NOTE_USE = "UPDATE answers SET used_at = ? WHERE rowid = ?"
UPSERT = """
INSERT INTO answers (key, model_group, stored_at, used_at, value) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key, model_group) DO UPDATE
SET stored_at = excluded.stored_at, used_at = excluded.used_at, value = excluded.value
"""
DELETE_EXPIRED = """
DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE stored_at <= ? LIMIT 200)
"""
LEAST_RECENTLY_USED = "SELECT rowid, length(value) FROM answers ORDER BY used_at LIMIT 50"
DELETE_ROW = "DELETE FROM answers WHERE rowid = ?"
# Filled with only the conditions that apply, so that an index finds the rows; a statement with all
# conditions would scan the whole table.
DELETE_SOME = """
DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE {} LIMIT 500)
"""

OPEN_S = 10.0
MAX_PENDING = 16  # jobs for the thread: a disk that hangs must not fill the memory
USED_STEP_S = 60.0  # the uses of an answer are noted at most this often
MAX_UNNOTED = 500
ROUNDS = 40  # of LEAST_RECENTLY_USED for one write: 20 ms; needed only after the bound was lowered
# The largest part of the bound for one answer: a bigger one would evict too many others.
LARGEST_PART = 1 / 8
SPLIT_BYTES = 16 * PAGE_BYTES  # the most that one write takes in addition, for split pages
VACUUM_PAGES = 1000

Key = tuple[str, bytes]  # group and key
T = TypeVar("T")


class SqliteStore:
    """A StoreBackend. The constructor opens or creates the file, which takes some milliseconds.

    It raises StoreError, with the remedy, if the file cannot be used; a damaged file, or one of
    another kind, is renamed and replaced. `max_bytes`: of the file; SQLite's journal beside it
    takes some MB more. `keep_s`: older answers are not returned. `clock`: Unix seconds.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        max_bytes: int,
        keep_s: float,
        clock: Callable[[], float] = time,
    ) -> None:
        self._file = AnswerFile(Path(path), max_bytes=max_bytes, keep_s=keep_s, clock=clock)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmproxy-answers")
        self._pending = 0
        self._closed = False
        opening = self._thread.submit(self._file.open)
        try:
            opening.result(OPEN_S)
        except TimeoutError as error:
            raise StoreError(
                f"The file {path} for answers could not be opened within {OPEN_S} s. "
                "Check its disk, or name a file on another disk."
            ) from error
        finally:
            if not opening.done() or opening.exception():
                self._thread.shutdown(wait=False)

    async def read(self, wanted: list[Key]) -> list[bytes | None]:
        """Read all values in one job of the thread."""
        values = await self._run(self._file.read, wanted)
        if self._file.should_note_uses and self._pending < MAX_PENDING and not self._closed:
            self._thread.submit(
                self._file.note_uses
            )  # its error is ignored: a read or a write would report it
        return values

    async def write(self, values: list[tuple[str, bytes, bytes]]) -> None:
        """Write all values in one transaction, except those bigger than an eighth of the file."""
        await self._run(self._file.write, values)

    async def purge(self, group: str | None, stored_before: float | None) -> int:
        """Remove answers in small steps, so that reads come between; then shrink the file."""
        last = await self._run(self._file.last)
        removed = 0
        while some := await self._run(self._file.delete_some, group, stored_before, last):
            removed += some
        while await self._run(self._file.shrink_some):
            pass
        return removed

    async def totals(self) -> StoreTotals:
        """Count the answers. `bytes`: the part of the file that is in use."""
        return await self._run(self._file.totals)

    async def close(self) -> None:
        """Close the file after the pending jobs."""
        if self._closed:
            return
        self._closed = True
        closing = asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)  # after `closing`; it takes no further jobs
        await asyncio.shield(closing)

    async def _run(self, job: Callable[..., T], *args: object) -> T:
        """Run a job in the thread. Cancelling the caller does not stop it."""
        if self._closed or self._pending >= MAX_PENDING:
            why = "is closed" if self._closed else "has been busy for too long"
            raise StoreError(f"The file of answers {why}.")
        self._pending += 1
        running = asyncio.get_running_loop().run_in_executor(self._thread, job, *args)
        running.add_done_callback(self._job_done)
        return await asyncio.shield(running)

    def _job_done(self, _: asyncio.Future[T]) -> None:
        self._pending -= 1


class AnswerFile:
    """The answers in the file, bounded in bytes: the least recently used are removed first.

    The order is approximate: a use is noted at most once a minute, and with a delay. Every method
    blocks, may raise StoreError, and must be called in the same thread.
    """

    def __init__(
        self, path: Path, *, max_bytes: int, keep_s: float, clock: Callable[[], float]
    ) -> None:
        self._database = AnswerDatabase(path, clock)
        self._max_bytes = max_bytes
        self._keep_s = keep_s
        self._clock = clock
        self._unnoted: set[int] = set()  # rows that were read

    @property
    def should_note_uses(self) -> bool:
        """Whether many uses are not noted yet, because no write has done it."""
        return len(self._unnoted) >= MAX_UNNOTED

    def open(self) -> None:
        """Open or create the file."""
        with self._database.translated():
            self._database.connection()

    def read(self, wanted: list[Key]) -> list[bytes | None]:
        """Return the values of (group, key), in order."""
        with self._database.translated():
            connection = self._database.connection()
            now = self._clock()
            values: list[bytes | None] = []
            for group, key in wanted:
                row = connection.execute(READ, (key, group, now - self._keep_s)).fetchone()
                values.append(None if row is None else row[1])
                if row is not None and now - row[2] > USED_STEP_S:
                    self._unnoted.add(row[0])
            return values

    def write(self, values: list[tuple[str, bytes, bytes]]) -> None:
        """Write (group, key, value), after making room for them."""
        now = self._clock()
        with self._database.translated():
            with self._database.transaction() as connection:
                self._note(connection, now)
                connection.execute(DELETE_EXPIRED, (now - self._keep_s,))
                room = 0
                for group, key, value in values:
                    size = (len(value) // PAGE_BYTES + 2) * PAGE_BYTES  # at most
                    if size > self._max_bytes * LARGEST_PART:
                        continue
                    if room < size:
                        room = self._make_room(connection, size)
                    if room < size:
                        break
                    room -= size
                    stored_at = stored_at_of(value)
                    at = now if stored_at is None else stored_at
                    connection.execute(UPSERT, (key, group, at, now, value))
            if number(connection, "page_count") * PAGE_BYTES > self._max_bytes:
                _vacuum(connection)  # the bound was lowered

    def note_uses(self) -> None:
        """Note which answers were read."""
        if self._unnoted:
            with self._database.translated(), self._database.transaction() as connection:
                self._note(connection, self._clock())

    def last(self) -> int:
        """Return the highest rowid, the bound for `delete_some`; 0 for an empty table."""
        with self._database.translated():
            connection = self._database.connection()
            (last,) = connection.execute("SELECT max(rowid) FROM answers").fetchone()
            return last or 0

    def delete_some(self, group: str | None, stored_before: float | None, last: int) -> int:
        """Delete up to 500 answers in the rows up to `last`. Returns how many; 0 = none left."""
        conditions: dict[str, int | float | str] = {"rowid <= ?": last}
        if group is not None:
            conditions["model_group = ?"] = group
        if stored_before is not None:
            conditions["stored_at < ?"] = stored_before
        statement = DELETE_SOME.format(" AND ".join(conditions))
        with self._database.translated(), self._database.transaction() as connection:
            return connection.execute(statement, list(conditions.values())).rowcount

    def shrink_some(self) -> bool:
        """Give some free pages back to the file system. Returns whether more are left."""
        with self._database.translated():
            connection = self._database.connection()
            _vacuum(connection)
            if number(connection, "freelist_count"):
                return True
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return False

    def totals(self) -> StoreTotals:
        """Count the answers. `bytes`: of the pages in use."""
        with self._database.translated():
            connection = self._database.connection()
            (entries,) = connection.execute("SELECT count(*) FROM answers").fetchone()
            return StoreTotals(entries, _used_bytes(connection))

    def close(self) -> None:
        """Note the last uses, and close the file."""
        try:
            self.note_uses()
        finally:
            self._database.close()

    def _note(self, connection: sqlite3.Connection, now: float) -> None:
        unnoted, self._unnoted = self._unnoted, set()
        connection.executemany(NOTE_USE, [(now, row) for row in unnoted])

    def _make_room(self, connection: sqlite3.Connection, size: int) -> int:
        """Delete the least recently used answers if necessary. Returns how many bytes are free."""
        for _ in range(ROUNDS):
            room = self._max_bytes - _used_bytes(connection) - SPLIT_BYTES
            if room >= size or not _delete_least_used(connection, max(size - room, SPLIT_BYTES)):
                break
        return room


def _delete_least_used(connection: sqlite3.Connection, size: int) -> int:
    """Delete about `size` bytes of the least recently used answers; returns how many answers."""
    rows: list[tuple[int]] = []
    for row, length in connection.execute(LEAST_RECENTLY_USED).fetchall():
        if size <= 0:
            break
        rows.append((row,))
        size -= length
    connection.executemany(DELETE_ROW, rows)
    return len(rows)


def _used_bytes(connection: sqlite3.Connection) -> int:
    return (number(connection, "page_count") - number(connection, "freelist_count")) * PAGE_BYTES


def _vacuum(connection: sqlite3.Connection) -> None:
    # The pragma frees one page with each step, and `execute` makes a single step.
    connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")

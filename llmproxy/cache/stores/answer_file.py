"""A file of answers: what is kept in it, for how long, and what goes when it is full.

It is bounded in bytes; what was not read for the longest time goes first, about: a use is noted
once a minute, and some time after it. Everything here blocks, and belongs into one thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from llmproxy.cache.cached_answer import stored_at_of
from llmproxy.cache.stores.base import StoreTotals
from llmproxy.cache.stores.database import PAGE_BYTES, Database, number

READ = (
    "SELECT rowid, value, used_at FROM answers WHERE key = ? AND model_group = ? AND stored_at > ?"
)
NOTE_USE = "UPDATE answers SET used_at = ? WHERE rowid = ?"
KEEP = """
INSERT INTO answers (key, model_group, stored_at, used_at, value) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key, model_group) DO UPDATE
SET stored_at = excluded.stored_at, used_at = excluded.used_at, value = excluded.value
"""
FORGET_EXPIRED = """
DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE stored_at <= ? LIMIT 200)
"""
UNUSED = "SELECT rowid, length(value) FROM answers ORDER BY used_at LIMIT 50"
FORGET_ROW = "DELETE FROM answers WHERE rowid = ?"
# By what is asked for, so that an index leads to the rows: one statement for all would walk through
# the whole table.
FORGET = """
DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE {} LIMIT 500)
"""

USED_STEP_S = 60.0  # a use is noted if the last one that was is older than this
MAX_UNNOTED = 500
ROUNDS = 40  # of UNUSED for one write, some 20 ms: a bound that was lowered takes many
# Of the bound for one answer: a bigger one would drive too many others out.
LARGEST_PART = 1 / 8
SPLIT_BYTES = 16 * PAGE_BYTES  # of one write, by pages of the table and its indexes that divide
VACUUM_PAGES = 1000

Key = tuple[str, bytes]  # group and key


class AnswerFile:
    """Owns its Database. Every method raises StoreError, and is called in the same thread."""

    def __init__(
        self, path: Path, *, max_bytes: int, keep_s: float, clock: Callable[[], float]
    ) -> None:
        self._database = Database(path, clock)
        self._max_bytes = max_bytes
        self._keep_s = keep_s
        self._clock = clock
        self._unnoted: set[int] = set()  # rows that were read

    @property
    def has_much_to_note(self) -> bool:
        """Uses wait for a write that does not come."""
        return len(self._unnoted) >= MAX_UNNOTED

    def open(self) -> None:
        """Open the file, or make it."""
        with self._database.translated():
            self._database.connection()

    def read(self, wanted: list[Key]) -> list[bytes | None]:
        """The values of (group, key), in order."""
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
        """Keep (group, key, value), and make room for them."""
        now = self._clock()
        with self._database.translated():
            with self._database.transaction() as connection:
                self._note(connection, now)
                connection.execute(FORGET_EXPIRED, (now - self._keep_s,))
                room = 0
                for group, key, value in values:
                    size = (len(value) // PAGE_BYTES + 2) * PAGE_BYTES  # at the most
                    if size > self._max_bytes * LARGEST_PART:
                        continue
                    if room < size:
                        room = self._made_room(connection, size)
                    if room < size:
                        break
                    room -= size
                    stored_at = stored_at_of(value)
                    at = now if stored_at is None else stored_at
                    connection.execute(KEEP, (key, group, at, now, value))
            if number(connection, "page_count") * PAGE_BYTES > self._max_bytes:
                _vacuum(connection)  # the bound was lowered

    def note_uses(self) -> None:
        """Note what was read."""
        if self._unnoted:
            with self._database.translated(), self._database.transaction() as connection:
                self._note(connection, self._clock())

    def last(self) -> int:
        """The last row of all, for `forget_some`."""
        with self._database.translated():
            connection = self._database.connection()
            (last,) = connection.execute("SELECT max(rowid) FROM answers").fetchone()
            return last or 0

    def forget_some(self, group: str | None, stored_before: float | None, last: int) -> int:
        """Forget some of those up to a row; returns how many, 0: there are no more."""
        asked: dict[str, int | float | str] = {"rowid <= ?": last}
        if group is not None:
            asked["model_group = ?"] = group
        if stored_before is not None:
            asked["stored_at < ?"] = stored_before
        statement = FORGET.format(" AND ".join(asked))
        with self._database.translated(), self._database.transaction() as connection:
            return connection.execute(statement, list(asked.values())).rowcount

    def shrink_some(self) -> bool:
        """Give some room back to the disk; False: there is no more."""
        with self._database.translated():
            connection = self._database.connection()
            _vacuum(connection)
            if number(connection, "freelist_count"):
                return True
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return False

    def totals(self) -> StoreTotals:
        """`bytes`: of the pages in use."""
        with self._database.translated():
            connection = self._database.connection()
            (entries,) = connection.execute("SELECT count(*) FROM answers").fetchone()
            return StoreTotals(entries, _used_bytes(connection))

    def close(self) -> None:
        """Note the last uses, if there are any."""
        try:
            self.note_uses()
        finally:
            self._database.close()

    def _note(self, connection: sqlite3.Connection, now: float) -> None:
        unnoted, self._unnoted = self._unnoted, set()
        connection.executemany(NOTE_USE, [(now, row) for row in unnoted])

    def _made_room(self, connection: sqlite3.Connection, size: int) -> int:
        """How many bytes are free, after the longest unused are forgotten if they are too few."""
        for _ in range(ROUNDS):
            room = self._max_bytes - _used_bytes(connection) - SPLIT_BYTES
            if room >= size or not _forget_unused(connection, max(size - room, SPLIT_BYTES)):
                break
        return room


def _forget_unused(connection: sqlite3.Connection, size: int) -> int:
    """Forget about so many bytes of the longest unused, 50 rows at the most; returns how many."""
    rows: list[tuple[int]] = []
    for row, length in connection.execute(UNUSED).fetchall():
        if size <= 0:
            break
        rows.append((row,))
        size -= length
    connection.executemany(FORGET_ROW, rows)
    return len(rows)


def _used_bytes(connection: sqlite3.Connection) -> int:
    return (number(connection, "page_count") - number(connection, "freelist_count")) * PAGE_BYTES


def _vacuum(connection: sqlite3.Connection) -> None:
    # A page at each step, and a step for each row of a result without columns: `execute` does one.
    connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")

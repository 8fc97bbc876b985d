"""The call file: a SQLite database of finished calls, which keeps them longer than memory does.

A thread writes in batches, so a slow disk delays no call. Workers may share the file. Calls that
cannot be written are lost, which is logged once and counted; the access log has every call. When
the file is full, the oldest calls make room for the newest, which are those that are asked for.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from time import time

import msgspec

from llmproxy.batteries.sqlite_wal import use_wal
from llmproxy.batteries.telemetry.batch_writer import BatchWriter
from llmproxy.events import CallFinished, Listener

SCHEMA = """
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS calls (
    id TEXT,
    request_id TEXT,
    ended_at REAL NOT NULL,
    call BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS by_id ON calls (id);
CREATE INDEX IF NOT EXISTS by_request_id ON calls (request_id);
CREATE INDEX IF NOT EXISTS by_time ON calls (ended_at);
"""
INSERT = "INSERT INTO calls (id, request_id, ended_at, call) VALUES (?, ?, ?, ?)"
FIND = "SELECT call FROM calls WHERE id = ? OR request_id = ? ORDER BY ended_at DESC LIMIT 1"
DELETE_OLD = (
    "DELETE FROM calls WHERE rowid IN (SELECT rowid FROM calls WHERE ended_at < ? LIMIT 1000)"
)
DELETE_OLDEST = (
    "DELETE FROM calls WHERE rowid IN (SELECT rowid FROM calls ORDER BY ended_at LIMIT ?)"
)
# What is in use: the pages of deleted calls are used again.
USED_BYTES = (
    "SELECT (page_count - freelist_count) * page_size "
    "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)
MADE_ROOM = 1000  # so many of the oldest calls are deleted at once, or twice what is written
BUSY_S = 5.0  # the longest wait for another worker's write
FLUSH_S = 0.5
MAGIC = b"SQLite format 3\0"  # how every database begins
MAX_PENDING = 20_000  # bounds memory while the disk hangs

logger = logging.getLogger("llmproxy")
_encode = msgspec.msgpack.Encoder().encode
_call_of = msgspec.msgpack.Decoder(CallFinished).decode


class CallFile(Listener):
    """Owns the calls that are not written yet, and the thread that writes them.

    `keep_s`: calls are deleted at this age, in seconds; `max_bytes`: or before, when the file is so
    large. `lost`: calls that were not written, or were deleted before their time. Raises OSError
    with the remedy if the file cannot be used.
    """

    def __init__(self, path: Path, *, keep_s: float, max_bytes: int = 2**62) -> None:
        self._path = path
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._not_taken = 0
        self._not_kept = 0  # counted in the thread
        self._pending: list[CallFinished] = []
        self._failing = False
        self._writer = BatchWriter(self._take, self._write, every_s=FLUSH_S, name="llmproxy-calls")
        try:
            self._create()
        except sqlite3.Error as error:
            raise OSError(
                f"The call file {path} cannot be used: {error}. Name a file that this proxy has "
                "written, or a new one, in a folder that this process may write to."
            ) from error

    def _create(self) -> None:
        """Create the file if there is none. A damaged one is set aside."""
        try:
            with closing(self._connect()):
                self._path.chmod(0o600)
        except sqlite3.DatabaseError as error:
            if not self._is_damaged(error):
                raise
            self._set_aside(error)
            with closing(self._connect()):
                self._path.chmod(0o600)

    def _is_damaged(self, error: sqlite3.DatabaseError) -> bool:
        """Return whether the file is a database that cannot be read; other files stay untouched."""
        code = getattr(error, "sqlite_errorcode", None)
        if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return False
        with suppress(OSError), self._path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
        return False

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        """Rename the file and what belongs to it, so that a new one is begun."""
        aside = self._path.with_name(f"{self._path.name}.damaged-{int(time())}")
        for end in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self._path}{end}").rename(f"{aside}{end}")
        logger.error(
            "The call file %s is damaged (%s). It is kept as %s, and a new one is begun.",
            *(self._path, error, aside),
        )

    def call_finished(self, event: CallFinished) -> None:
        """Write the call within `FLUSH_S`, unless the disk is stuck."""
        if len(self._pending) >= MAX_PENDING:
            self._not_taken += 1
            return
        self._pending.append(event)
        self._writer.schedule()

    @property
    def lost(self) -> int:
        """How many calls are not in the file although they are young enough."""
        return self._not_taken + self._not_kept

    async def find(self, id: str) -> CallFinished | None:
        """Return the latest call with this id, ours or the endpoint's.

        None if it is not in the file, or if the file cannot be read.
        """
        # RuntimeError: the writer is closed; MsgspecError: another version wrote the call.
        with suppress(sqlite3.Error, RuntimeError, msgspec.MsgspecError):
            return await asyncio.get_running_loop().run_in_executor(
                self._writer.thread, self._find, id
            )
        return None

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _take(self) -> list[CallFinished]:
        calls, self._pending = self._pending, []
        return calls

    # --- in the thread -------------------------------------------------------------------

    def _write(self, calls: list[CallFinished]) -> None:
        try:
            with closing(self._connect()) as connection, connection:
                connection.executemany(INSERT, map(_row, calls))
                if calls:
                    connection.execute(DELETE_OLD, (calls[-1].ended_at - self._keep_s,))
                    self._make_room(connection, len(calls))
            self._failing = False
        except sqlite3.Error as error:
            self._not_kept += len(calls)
            if isinstance(error, sqlite3.DatabaseError) and self._is_damaged(error):
                with suppress(OSError):
                    self._set_aside(error)
                    return
            if not self._failing:
                logger.error(
                    "Calls cannot be written to %s and are not kept: %s.", self._path, error
                )
            self._failing = True

    def _make_room(self, connection: sqlite3.Connection, written: int) -> None:
        if connection.execute(USED_BYTES).fetchone()[0] > self._max_bytes:
            most = max(MADE_ROOM, 2 * written)
            self._not_kept += connection.execute(DELETE_OLDEST, (most,)).rowcount

    def _find(self, id: str) -> CallFinished | None:
        with closing(self._connect()) as connection:
            row = connection.execute(FIND, (id, id)).fetchone()
        return None if row is None else _call_of(row[0])

    def _connect(self) -> sqlite3.Connection:
        # Opened each time, so that moving the file away starts a new one.
        connection = sqlite3.connect(self._path, timeout=BUSY_S)
        try:
            use_wal(connection, within_s=BUSY_S)
            connection.executescript(SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection


def _row(call: CallFinished) -> tuple[str | None, str | None, float, bytes]:
    id, request_id = call.record.request.id, call.record.answer.request_id
    vendor_id = None if request_id is None else request_id.decode("latin-1")
    return id or None, vendor_id, call.ended_at, _encode(call)

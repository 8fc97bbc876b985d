"""Owners in an SQLite file, which the processes of one machine share.

The file is made when something is written first. One thread does all the work.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import time
from typing import TypeVar

from llmproxy.batteries.owners.registry import StoreFailed
from llmproxy.batteries.sqlite_wal import use_wal

CREATE = """
CREATE TABLE IF NOT EXISTS owners (id TEXT PRIMARY KEY, owner BLOB NOT NULL, noted_at INTEGER)
WITHOUT ROWID
"""
BY_AGE = "CREATE INDEX IF NOT EXISTS by_age ON owners (noted_at)"
INSERT = "INSERT OR IGNORE INTO owners (id, owner, noted_at) VALUES (?, ?, ?)"
READ = "SELECT id, owner FROM owners WHERE id IN ({})"
FORGET = "DELETE FROM owners WHERE id IN (SELECT id FROM owners WHERE noted_at < ? LIMIT 2000)"
AT_ONCE = 500  # ids in one statement
LOCKED_S = 2.0  # another process writes
T = TypeVar("T")


class SqliteOwners:
    """An OwnerStore. `keep_s`: from the time it was written. `clock`: Unix seconds."""

    def __init__(self, path: Path, *, keep_s: int, clock: Callable[[], float] = time) -> None:
        self._path = path
        self._keep_s = keep_s
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmproxy-owners")
        self._connection: sqlite3.Connection | None = None

    async def read(self, ids: Collection[str]) -> dict[str, bytes]:
        """Return the values of those ids that are there. Raises StoreFailed."""
        return await self._run(lambda: self._read(list(ids)))

    async def write(self, values: Mapping[str, bytes]) -> None:
        """Add values in one transaction. Raises StoreFailed."""
        await self._run(lambda: self._write(dict(values)))

    async def close(self) -> None:
        """Close the file after the pending jobs."""
        try:
            await self._run(self._close)
        except StoreFailed:
            return
        finally:
            self._thread.shutdown(wait=False)

    async def _run(self, job: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, job)
        except (sqlite3.Error, OSError) as error:
            raise StoreFailed(
                f"the file {self._path} cannot be used: {error}. Make it writable, or name another "
                "one as general_settings.state_file (`off`: none)."
            ) from error

    def _read(self, ids: list[str]) -> dict[str, bytes]:
        if self._connection is None and not self._path.exists():
            return {}
        found: dict[str, bytes] = {}
        for first in range(0, len(ids), AT_ONCE):
            some = ids[first : first + AT_ONCE]
            statement = READ.format(", ".join("?" * len(some)))
            found |= dict(self._open().execute(statement, some).fetchall())
        return found

    def _write(self, values: dict[str, bytes]) -> None:
        now = int(self._clock())
        connection = self._open()
        with connection:
            connection.executemany(INSERT, [(id, value, now) for id, value in values.items()])
            connection.execute(FORGET, (now - self._keep_s,))

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=LOCKED_S, check_same_thread=False)
            try:
                use_wal(connection, within_s=LOCKED_S)
                connection.execute("PRAGMA synchronous = NORMAL")
                with connection:
                    connection.execute(CREATE)
                    connection.execute(BY_AGE)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

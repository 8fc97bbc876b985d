"""The SQLite database of answers: opened, created, and set aside if it is unusable.

Several processes share the file. A file that is no database, is damaged or has another schema is
renamed, and a new one is created; a process that still has the old file open notices the new inode
and opens the new file. Opening and renaming happen under a lock on the folder, so no process
renames a file that another one has just created.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llmproxy.batteries.cache.stores.base import StoreError

APPLICATION = int.from_bytes(b"lpaf", "big")
VERSION = 1  # of the schema
PAGE_BYTES = 4096
SCHEMA = """
CREATE TABLE answers (
    key BLOB NOT NULL,
    model_group TEXT NOT NULL,
    stored_at REAL NOT NULL,  -- Unix seconds, like used_at
    used_at REAL NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (key, model_group)
);
CREATE INDEX by_use ON answers (used_at);
CREATE INDEX by_age ON answers (stored_at);
CREATE INDEX by_group ON answers (model_group, stored_at);
"""
BUSY_S = 0.25  # to wait for another process that writes; reads wait meanwhile
WAL_BYTES = 4 * 1024 * 1024  # kept of the journal when all of it is in the database
BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# SQLite's own files. They are renamed, too: a process with the old file open writes to them.
BESIDE = ("-wal", "-shm")

logger = logging.getLogger("llmproxy")


class AnswerDatabase:
    """Owns the connection to the file that is at the path now. For one thread only.

    Raises StoreError for what an operator must fix, otherwise what sqlite3 raises. `clock`: Unix
    seconds, for the names of files that are set aside.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # device and inode

    def connection(self) -> sqlite3.Connection:
        """Return the connection; opens or creates the file if necessary."""
        if self._connection is None or self._file != self._identity():
            self.close()
            with self._alone():
                self._connection = self._opened()
                self._file = self._identity()
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write alone until the block ends. Commits, or rolls back if the block raises."""
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite may have rolled back itself
                connection.execute("ROLLBACK")
            raise

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn every failure into a StoreError; set the file aside if it is damaged."""
        try:
            yield
        except sqlite3.Error as error:
            if _is_broken(error):
                self._replace(str(error))
            raise self._unusable(error) from error
        except OSError as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Close the connection if it is open."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        for _ in range(2):
            try:
                return self._connected()
            except _ForeignError as error:
                self._set_aside(str(error))
            except sqlite3.DatabaseError as error:
                if not _is_broken(error):
                    raise
                self._set_aside(str(error))
        raise StoreError(
            f"The file {self._path} for answers was damaged as soon as it was created."
        )

    def _connected(self) -> sqlite3.Connection:
        if not self._path.exists():
            # Never for a file that exists: closing it would drop SQLite's locks of this process.
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with suppress(PermissionError):  # another user's file that we may use
            self._path.chmod(0o600)
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            ids = number(connection, "application_id"), number(connection, "user_version")
            if ids == (0, 0) and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                _create(connection)
            elif ids != (APPLICATION, VERSION):
                raise _ForeignError("it belongs to another program, or another version of this one")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
            # Overwrite deleted answers where that needs no further page.
            connection.execute("PRAGMA secure_delete = FAST")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lock the folder: no other process opens or renames the file until the block ends."""
        folder = self._path.parent
        if not folder.is_dir():
            raise StoreError(
                f"The folder {folder} for answers does not exist. Create it, or name another."
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(
                f"The user of this process may not write to the folder {folder} for answers. Grant "
                "the right to, or name another folder: SQLite creates files beside its own."
            )
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _replace(self, why: str) -> None:
        self.close()
        with self._alone():
            if self._file == self._identity():
                self._set_aside(why)

    def _set_aside(self, why: str) -> None:
        aside = f"{self._path}.corrupt-{self._clock():.0f}"
        for end in ("", *BESIDE):
            with suppress(FileNotFoundError):
                Path(f"{self._path}{end}").rename(aside + end)
        logger.warning(
            "The file %s for answers cannot be used: %s. It was renamed to %s; a new one is used.",
            self._path,
            why,
            aside,
        )

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _unusable(self, error: Exception) -> StoreError:
        return StoreError(
            f"The file {self._path} for answers cannot be used: {error}. This process must be able "
            "to read and write it, or to create it, on a disk with room."
        )


class _ForeignError(Exception):
    """The file is a database of something else."""


def number(connection: sqlite3.Connection, pragma: str) -> int:
    """Return the value of a pragma."""
    (value,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(value)


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(
        f"BEGIN; {SCHEMA}"
        f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT"
    )


def _is_broken(error: sqlite3.Error) -> bool:
    # The last byte of an extended code is the plain code. sqlite3's own errors have none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in BROKEN

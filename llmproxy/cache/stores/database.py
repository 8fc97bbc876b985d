"""The SQLite database of a file of answers: opened, made, and set aside if it is of no use.

Several processes share the file. One that is no database, is damaged, or is of another schema is
renamed and a new one begun; who still has the old one open notices by its inode, and follows.
Opening and setting aside happen under a lock on the folder, so that nobody renames what another
has just made.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llmproxy.cache.stores.base import StoreError

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
BUSY_S = 0.25  # for another process that writes; meanwhile nobody here reads
WAL_BYTES = 4 * 1024 * 1024  # of the file beside it, when all of it is in the database
BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# SQLite's own files. They go along: who still has the old file open writes to them.
BESIDE = ("-wal", "-shm")

logger = logging.getLogger("llmproxy")


class Database:
    """Owns the connection to the file that has the path at the moment. For one thread only.

    Raises StoreError for what a person must mend, and what sqlite3 raises for the rest.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # device and inode

    def connection(self) -> sqlite3.Connection:
        """Connected to the file; to a new one, if there is none or it is of no use."""
        if self._connection is None or self._file != self._identity():
            self.close()
            with self._alone():
                self._connection = self._opened()
                self._file = self._identity()
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Nobody else writes until the block ends; what was written holds if it ends well."""
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # it may be undone already
                connection.execute("ROLLBACK")
            raise

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raises StoreError for all that goes wrong; a file that turns out to be damaged is set
        aside."""
        try:
            yield
        except sqlite3.Error as error:
            if _is_broken(error):
                self._replace(str(error))
            raise self._unusable(error) from error
        except OSError as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Also if it is not open."""
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
        raise StoreError(f"The file {self._path} for answers was damaged as soon as it was made.")

    def _connected(self) -> sqlite3.Connection:
        if not self._path.exists():
            # Never for a file that exists: closing it would drop SQLite's locks of this process.
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with suppress(PermissionError):  # another's file, if we may use it
            self._path.chmod(0o600)
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            ids = number(connection, "application_id"), number(connection, "user_version")
            if ids == (0, 0) and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                _make(connection)
            elif ids != (APPLICATION, VERSION):
                raise _ForeignError("it is of another program, or another version of this one")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
            # What is forgotten is overwritten where that writes no further page.
            connection.execute("PRAGMA secure_delete = FAST")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process opens a file in this folder, or sets one aside."""
        folder = self._path.parent
        if not folder.is_dir():
            raise StoreError(
                f"The folder {folder} for answers does not exist. Make it, or name another."
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(
                f"The folder {folder} for answers cannot be written to by the user of this "
                "process. Give it the right to, or name another: SQLite keeps files beside its own."
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
            "The file %s for answers cannot be used: %s. It is now %s, and a new one is begun.",
            self._path,
            why,
            aside,
        )

    def _identity(self) -> tuple[int, int] | None:
        try:
            told = self._path.stat()
        except FileNotFoundError:
            return None
        return told.st_dev, told.st_ino

    def _unusable(self, error: Exception) -> StoreError:
        return StoreError(
            f"The file {self._path} for answers cannot be used: {error}. It must be a file, or "
            "none yet, that this process may read and write, on a disk with room."
        )


class _ForeignError(Exception):
    """A database, but not one of these."""


def number(connection: sqlite3.Connection, pragma: str) -> int:
    """What SQLite says of the database."""
    (told,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(told)


def _make(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(
        f"BEGIN; {SCHEMA}"
        f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT"
    )


def _is_broken(error: sqlite3.Error) -> bool:
    # Of an extended code the last byte is the plain one. sqlite3's own errors have none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in BROKEN

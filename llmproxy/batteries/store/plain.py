"""Transactions in plain SQL, without SQLAlchemy: what a process does with its store all the time.

An operator asks for much, and SQLAlchemy writes those statements. What a process does by itself are
a dozen fixed ones, and SQLAlchemy would cost it 20 MB (decision 089). Here an SQLite file is used
through sqlite3, in threads: a disk that hangs stops no call. A PostgreSQL server is used through
SQLAlchemy's pool, which one process shares with what operators ask.

Values are written `?` in a text, for both.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import namedtuple
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")


class FileTransaction:
    """A transaction of an SQLite file. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def rows(self, text: str, *values: object) -> Sequence[Any]:
        """Return the rows of a statement, whose columns are attributes."""
        return await self.in_thread(lambda connection: _rows(connection, text, values))

    async def execute(self, text: str, *values: object) -> int:
        """Execute a statement; return how many rows it has changed."""
        return await self.in_thread(lambda connection: connection.execute(text, values).rowcount)

    async def execute_many(self, text: str, values: Sequence[Sequence[object]]) -> None:
        """Execute a statement with each of some rows of values."""
        await self.in_thread(lambda connection: connection.executemany(text, values))

    async def in_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some work in one thread: each statement by itself would wait for one."""
        return await asyncio.to_thread(work, self._connection)


class ServerTransaction:
    """A transaction of a PostgreSQL server. Raises SQLAlchemyError."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def rows(self, text: str, *values: object) -> Sequence[Any]:
        """Return the rows of a statement, whose columns are attributes."""
        return (await self._connection.exec_driver_sql(_numbered(text), values or None)).all()

    async def execute(self, text: str, *values: object) -> int:
        """Execute a statement; return how many rows it has changed."""
        return (await self._connection.exec_driver_sql(_numbered(text), values or None)).rowcount

    async def execute_many(self, text: str, values: Sequence[Sequence[object]]) -> None:
        """Execute a statement with each of some rows of values."""
        await self._connection.exec_driver_sql(_numbered(text), list(map(tuple, values)))

    async def driver_connection(self) -> Any:
        """Return asyncpg's connection."""
        return (await self._connection.get_raw_connection()).driver_connection


Transaction = FileTransaction | ServerTransaction


class FileConnection:
    """A connection to an SQLite file that exists, made when it is first used, by one at a time."""

    def __init__(self, file: Path, *, locked_s: float) -> None:
        self._file = file
        self._locked_s = locked_s
        self._connection: sqlite3.Connection | None = None
        self._turn = asyncio.Lock()

    async def read(self, text: str, *values: object) -> Sequence[Any]:
        """Return the rows of a statement that writes nothing. Raises sqlite3.Error."""
        return await self.in_thread(lambda connection: _rows(connection, text, values))

    async def in_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some work in a thread, outside of a transaction. Raises what it raises."""
        async with self._turn:
            return await asyncio.to_thread(lambda: work(self._opened()))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FileTransaction]:
        """Yield a transaction, which is kept unless the block raises. Raises sqlite3.Error."""
        async with self._turn:
            connection = await asyncio.to_thread(self._begin)
            try:
                yield FileTransaction(connection)
                await asyncio.to_thread(connection.commit)
            except BaseException:
                await asyncio.to_thread(connection.rollback)
                raise

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.to_thread(connection.close)

    def _begin(self) -> sqlite3.Connection:
        connection = self._opened()
        # A transaction that only reads first and then writes would fail if another has written.
        connection.execute("BEGIN IMMEDIATE")
        return connection

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(
                f"{self._file.absolute().as_uri()}?mode=rw",  # a file that is gone is not made
                uri=True,
                timeout=self._locked_s,
                isolation_level=None,  # we say ourselves where a transaction begins
                check_same_thread=False,  # each use is in a thread of the pool
            )
            self._connection.execute("PRAGMA synchronous = NORMAL")
        return self._connection


def _rows(connection: sqlite3.Connection, text: str, values: Sequence[object]) -> Sequence[Any]:
    cursor = connection.execute(text, values)
    columns = tuple(column[0] for column in cursor.description)
    return list(map(_row_of(columns)._make, cursor))


@lru_cache(maxsize=20)
def _row_of(columns: tuple[str, ...]) -> Any:
    return namedtuple("Row", columns)


@lru_cache(maxsize=20)
def _numbered(text: str) -> str:
    """Return a statement as PostgreSQL's driver wants it: `$1` for the first `?`, and so on."""
    numbers = count(1)
    first, *others = text.split("?")
    return first + "".join(f"${next(numbers)}{part}" for part in others)

"""All connections of one process to its database.

Those of SQLAlchemy, for what operators ask, are made when they are needed. An SQLite file has two
plain ones beside them: one reads, also several times a second, and one writes.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmproxy.batteries.sqlite_wal import use_wal
from llmproxy.batteries.store.address import Address, identity_of
from llmproxy.batteries.store.errors import StoreUnavailable
from llmproxy.batteries.store.plain import FileConnection, ServerTransaction, Transaction
from llmproxy.batteries.store.remedies import missing_driver
from llmproxy.batteries.store.schema import version_in_file, version_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

LOCKED = 0.4  # so much of the time of a statement may another process have the file locked


class StoreConnections:
    """Owns the connections. Making it makes an SQLite file that is not there.

    `opened`: which file that is. Raises StoreUnavailable if a driver is missing; sqlite3.Error.
    """

    def __init__(self, address: Address, *, within_s: float) -> None:
        if why := missing_driver(address):
            raise StoreUnavailable(why)
        self._address = address
        self._within_s = within_s
        self._locked_s = within_s * LOCKED
        self._engine: AsyncEngine | None = None
        self._making = asyncio.Lock()
        self._reader = self._writer = None
        if (file := address.file) is not None:
            _make_file(file, self._locked_s)
            self._reader = FileConnection(file, locked_s=self._locked_s)
            self._writer = FileConnection(file, locked_s=self._locked_s)
        self.opened = identity_of(address)

    async def engine(self) -> AsyncEngine:
        """Return SQLAlchemy's engine, which a thread makes: it imports the driver."""
        async with self._making:
            if self._engine is None:
                self._engine = await asyncio.to_thread(self._make_engine)
            return self._engine

    async def version(self) -> str | None:
        """Return the version of the tables; None = there are none. Raises as `read` does."""
        if self._reader is not None:
            return await self._reader.in_thread(version_in_file)
        async with (await self.engine()).connect() as connection:
            return await connection.run_sync(version_of)

    async def read(self, text: str, *values: object) -> Sequence[Any]:
        """Return the rows of a statement in plain SQL that writes nothing.

        Raises errors of the driver or of SQLAlchemy.
        """
        if self._reader is not None:
            return await self._reader.read(text, *values)
        async with (await self.engine()).connect() as connection:
            return await ServerTransaction(connection).rows(text, *values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Yield a transaction in plain SQL, which is kept unless the block raises.

        Raises errors of the driver or of SQLAlchemy.
        """
        if self._writer is not None:
            async with self._writer.transaction() as transaction:
                yield transaction
        else:
            async with (await self.engine()).begin() as connection:
                yield ServerTransaction(connection)

    async def close(self) -> None:
        """Close all connections."""
        for file in (self._reader, self._writer):
            if file is not None:
                await file.close()
        if self._engine is not None:
            await self._engine.dispose()

    def _make_engine(self) -> AsyncEngine:
        from llmproxy.batteries.store.engines import engine_of  # noqa: PLC0415 - SQLAlchemy

        return engine_of(self._address, within_s=self._within_s, locked_s=self._locked_s)


def _make_file(file: Path, locked_s: float) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    with closing(sqlite3.connect(file, timeout=locked_s)) as connection:  # the file remembers it
        use_wal(connection, within_s=locked_s)

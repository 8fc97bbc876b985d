"""All connections of one process to its database, and the counters of changes that it polls.

The counters are read several times a second. So a file is read by a connection of its own, which
keeps the statement compiled: with SQLAlchemy that was most of what an idle process does (decision
082).
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from llmproxy.batteries.store.address import Address, identity_of
from llmproxy.batteries.store.engines import LOCKED, READS, engine_of

_COUNTERS = "SELECT name, version FROM versions"


class StoreConnections:
    """Owns the connections, which are made when they are needed.

    `opened`: which file that is.
    """

    def __init__(self, address: Address, *, within_s: float) -> None:
        self.engine = engine_of(address, within_s=within_s)
        self.opened = identity_of(address)
        self._file = None if address.file is None else CountersOfFile(address.file, within_s)

    async def read_counters(self) -> dict[str, int]:
        """Return the counters of changes by name. Raises errors of the driver or SQLAlchemy."""
        if self._file is not None:
            return await self._file.read()
        async with self.engine.execution_options(**{READS: True}).connect() as connection:
            rows = await connection.exec_driver_sql(_COUNTERS)
            return {row.name: row.version for row in rows}

    async def close(self) -> None:
        """Close all connections."""
        if self._file is not None:
            await self._file.close()
        await self.engine.dispose()


class CountersOfFile:
    """Reads the counters of changes from an SQLite file that exists."""

    def __init__(self, file: Path, within_s: float) -> None:
        self._file = file
        self._locked_s = within_s * LOCKED
        self._connection: sqlite3.Connection | None = None

    async def read(self) -> dict[str, int]:
        """Return the counters by name. Raises sqlite3.Error."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> dict[str, int]:
        if self._connection is None:
            self._connection = sqlite3.connect(
                f"{self._file.absolute().as_uri()}?mode=rw",  # a file that is gone is not made
                uri=True,
                timeout=self._locked_s,
                isolation_level=None,
                check_same_thread=False,  # one read at a time, each in a thread of the pool
            )
        return dict(self._connection.execute(_COUNTERS).fetchall())

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.to_thread(connection.close)

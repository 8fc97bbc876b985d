"""How long calls are kept: their rows for a time, the sums of what they cost for ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING

from llmproxy.batteries.store.database import Database
from llmproxy.batteries.store.errors import StoreUnavailable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

FIRST_S = 60.0  # a process that has just started has other things to do
EVERY_S = 3600.0
STEP = 1000  # rows deleted in one transaction: a pause of milliseconds for who writes
PAUSE_S = 0.05
PRUNE_LOCK = 5_206_417_902_119
WRITERS_KEEP_S = 90 * 86400.0  # a spool that is older would be written again


class Pruner:
    """Deletes the rows of old calls in small steps. `keep_s`: from the end of a call."""

    def __init__(self, database: Database, *, keep_s: float) -> None:
        self._database = database
        self._keep_s = keep_s

    async def run(self) -> None:
        """Prune every hour, for ever."""
        await asyncio.sleep(FIRST_S)
        while True:
            with suppress(StoreUnavailable):  # the writer tells of it
                await self.prune()
            await asyncio.sleep(EVERY_S)

    async def prune(self) -> int:
        """Delete what is too old now; return how many calls that were. Raises StoreUnavailable."""
        now, deleted = time(), 0
        while step := await self._database.change(lambda connection: self._step(connection, now)):
            deleted += step
            await asyncio.sleep(PAUSE_S)
        return deleted

    async def _step(self, connection: AsyncConnection, now: float) -> int:
        from sqlalchemy import delete, func, select  # noqa: PLC0415 - slow to import

        from llmproxy.batteries.store.tables import calls, writers  # noqa: PLC0415

        if connection.dialect.name == "postgresql":  # one instance at a time is enough
            lock = select(func.pg_try_advisory_xact_lock(PRUNE_LOCK))
            if not (await connection.execute(lock)).scalar():
                return 0
        await connection.execute(delete(writers).where(writers.c.at < now - WRITERS_KEEP_S))
        old = select(calls.c.seq).where(calls.c.ended_at < now - self._keep_s)
        some = old.order_by(calls.c.ended_at).limit(STEP).scalar_subquery()
        return (await connection.execute(delete(calls).where(calls.c.seq.in_(some)))).rowcount

"""How long calls are kept: their rows for a time, the sums of what they cost for ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import time

from llmproxy.batteries.store.database import Database
from llmproxy.batteries.store.errors import StoreUnavailable
from llmproxy.batteries.store.plain import ServerTransaction, Transaction

FIRST_S = 60.0  # a process that has just started has other things to do
EVERY_S = 3600.0
STEP = 1000  # rows deleted in one transaction: a pause of milliseconds for who writes
PAUSE_S = 0.05
_OLD_CALLS = """
    DELETE FROM calls
    WHERE seq IN (SELECT seq FROM calls WHERE ended_at < ? ORDER BY ended_at LIMIT ?)
"""
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
        while step := await self._database.change_plain(lambda on: self._step(on, now)):
            deleted += step
            await asyncio.sleep(PAUSE_S)
        return deleted

    async def _step(self, transaction: Transaction, now: float) -> int:
        if isinstance(transaction, ServerTransaction):  # one instance at a time is enough
            ((is_ours,),) = await transaction.rows(
                f"SELECT pg_try_advisory_xact_lock({PRUNE_LOCK})"
            )
            if not is_ours:
                return 0
        await transaction.execute("DELETE FROM writers WHERE at < ?", now - WRITERS_KEEP_S)
        return await transaction.execute(_OLD_CALLS, now - self._keep_s, STEP)

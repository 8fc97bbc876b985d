"""The store of one process: its database, and what is told of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from llmproxy.batteries.background import background
from llmproxy.batteries.settings import full
from llmproxy.batteries.store.address import address_of
from llmproxy.batteries.store.database import Database
from llmproxy.batteries.store.keeping import Pruner
from llmproxy.batteries.store.writer import CallWriter
from llmproxy.config import GeneralSettings
from llmproxy.events import Listener


class StoreStatus(msgspec.Struct, frozen=True):
    """How the store is, for the operator. `connected`: None = nobody has needed it yet."""

    address: str
    connected: bool | None
    why: str | None  # it is not connected
    since: float  # Unix time
    queued: int  # calls in memory that wait to be written
    spooled: int  # calls on disk that wait
    lost: int  # calls that found room nowhere


class Store:
    """One for each process; composition makes it, `open` opens it with the config.

    `database`: None = the config wants no store, or it is not open.
    """

    def __init__(self) -> None:
        self.database: Database | None = None
        self._writer: CallWriter | None = None

    @asynccontextmanager
    async def open(
        self, settings: GeneralSettings, environ: Mapping[str, str]
    ) -> AsyncIterator[Listener]:
        """Open the store that a config wants, and yield what writes finished calls to it."""
        settings = full(settings)
        url = settings.database_url
        address = address_of(None if url is None else url.get_secret_value(), environ)
        if address is None:
            yield Listener()
            return
        database = self.database = Database(address)
        self._writer = writer = CallWriter(database, address.spool)
        try:
            async with background(writer.run, Pruner(database, keep_s=settings.call_keep_s).run):
                yield writer
            await writer.close()
        finally:
            self.database = self._writer = None
            await database.close()

    async def flush(self) -> bool:
        """Have what has ended in this process written now; return whether it is, after a while that
        a reader may wait."""
        return self._writer is None or await self._writer.flush()

    @property
    def lost(self) -> int:
        """How many calls found room nowhere."""
        return 0 if self._writer is None else self._writer.lost

    def status(self) -> StoreStatus | None:
        """Return how the store is; None = there is none."""
        if self.database is None or (writer := self._writer) is None:
            return None
        health = writer.health
        return StoreStatus(
            str(self.database.address),
            health.connected,
            health.why,
            health.since,
            queued=writer.queued,
            spooled=writer.spooled,
            lost=writer.lost,
        )

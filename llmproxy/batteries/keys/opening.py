"""The keys of a process: read at the start, kept as they are in the store, and administered.

SQLAlchemy takes half a second to import. So nothing imports it before somebody administers keys,
and then a thread does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from llmproxy.batteries.background import background
from llmproxy.batteries.keys.copy import read_copy
from llmproxy.batteries.keys.known import KnownKeys
from llmproxy.batteries.keys.sync import KeySync
from llmproxy.batteries.store import Database, StoreUnavailable

if TYPE_CHECKING:
    from llmproxy.batteries.keys.key_administration import KeyAdministration
    from llmproxy.batteries.keys.team_administration import TeamAdministration

POLL_S = 0.5  # until there is a file
LAST_WRITES_S = 2.0


class Keys:
    """One for each process; composition makes it, `open` opens it with the store.

    `known`: what calls read.
    """

    def __init__(self) -> None:
        self.known = KnownKeys()
        self._database: Database | None = None
        self._sync: KeySync | None = None

    @asynccontextmanager
    async def open(self, database: Database) -> AsyncIterator[None]:
        """Keep the keys as they are in a database until the block ends.

        The keys of the last known copy are there at once, the others as soon as they are read.
        """
        self._database = database
        place = place_of_copy(database)
        if database.exists:
            self.known.expect_keys()
        else:
            self.known.has_read_all()  # there are none
        copy = None if place is None else read_copy(place, str(database.address))
        if copy is not None:
            self.known.recall(*copy)
        jobs = _Jobs(self, database)
        try:
            async with background(jobs.keep_reading, jobs.keep_copying, jobs.keep_noting_use):
                yield
            if self._sync is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LAST_WRITES_S):
                        await self._sync.note_use()
                        await self._sync.write_copy()
        finally:
            self._database = self._sync = None

    async def keys(self) -> KeyAdministration:
        """Return what makes and changes keys. Raises StoreUnavailable if there is no database."""
        sync = self.sync()
        await asyncio.to_thread(import_module, "llmproxy.batteries.keys.key_administration")
        from llmproxy.batteries.keys.key_administration import KeyAdministration  # noqa: PLC0415

        return KeyAdministration(sync.database, sync.read_changes)

    async def teams(self) -> TeamAdministration:
        """Return what makes and changes teams. Raises StoreUnavailable if there is no database."""
        sync = self.sync()
        await asyncio.to_thread(import_module, "llmproxy.batteries.keys.team_administration")
        from llmproxy.batteries.keys.team_administration import TeamAdministration  # noqa: PLC0415

        return TeamAdministration(sync.database, sync.read_changes)

    async def team_of_member(self, people: Sequence[str]) -> str | None:
        """Return the first team, by name, that has one of these people among its members.

        Raises StoreUnavailable.
        """
        if self._database is None or not self._database.exists:
            return None
        return await (await self.teams()).team_of(people)

    def sync(self) -> KeySync:
        """Return what reads the database. Raises StoreUnavailable if there is none."""
        if (database := self._database) is None:
            raise StoreUnavailable(
                "Keys are kept in a database, and this proxy has none (database_url: off). "
                "Name one, or add general_settings.callers."
            )
        if self._sync is None:
            self._sync = KeySync(self.known, database, place=place_of_copy(database))
        return self._sync


class _Jobs:
    """The background work of the keys, which begins when there is a database to read."""

    def __init__(self, keys: Keys, database: Database) -> None:
        self._keys = keys
        self._database = database

    async def keep_reading(self) -> None:
        """Read what changes, until cancelled."""
        await (await self._sync()).keep_reading()

    async def keep_copying(self) -> None:
        """Write the copy when something has changed, until cancelled."""
        await (await self._sync()).keep_copying()

    async def keep_noting_use(self) -> None:
        """Note when keys were used last, until cancelled."""
        await (await self._sync()).keep_noting_use()

    async def _sync(self) -> KeySync:
        while not self._database.exists:
            self._keys.known.has_read_all()
            await asyncio.sleep(POLL_S)
        return self._keys.sync()


def place_of_copy(database: Database) -> Path | None:
    """Return where the last known keys are kept: beside the store; None: there is no place."""
    spool = database.address.spool
    return None if spool is None else spool.with_name(spool.name.replace("spool", "keys"))

"""Keeps the keys in memory as they are in the database: polls for changes, and writes the copy.

A change of a key gives it the next number of one counter, in the same transaction. So the number is
all that has to be polled, and what is newer than the last one known is all that has to be read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from llmproxy.batteries.keys.copy import FORMAT, CopyHead, write_copy
from llmproxy.batteries.keys.known import KnownKeys
from llmproxy.batteries.keys.rows import (
    ALL_TEAMS,
    NAME,
    PAGE,
    PAGE_OF_ALL,
    PAGE_OF_CHANGES,
    changes_of,
    team_of,
)
from llmproxy.batteries.keys.table import KeyTable
from llmproxy.batteries.store import Database, StoreEmptied, StoreUnavailable, Transaction

logger = logging.getLogger("llmproxy")

POLL_S = 0.3
RETRY_S = 1.0
APPLIED_AT_ONCE = 200  # keys; a call waits no longer than these take, some 10 ms
COPY_EVERY_S = 5.0
USED_EVERY_S = 60.0
USED_AT_ONCE = 200


class KeySync:
    """Reads the database of one process. `place`: of the copy; None: there is none."""

    def __init__(self, known: KnownKeys, database: Database, *, place: Path | None) -> None:
        self.database = database
        self._known = known
        self._place = place
        self._database_name = str(database.address)  # without a password
        self._version = self._copied = known.copied.version
        # the digests that were replaced last, by id
        self._earlier: dict[str, str] = dict(known.copied.earlier)
        self._reading = asyncio.Lock()

    async def keep_reading(self) -> None:
        """Read what changes, until cancelled."""
        warned = False
        while True:
            try:
                await self.read_changes()
                warned = False
                await asyncio.sleep(POLL_S)
            except StoreUnavailable as error:
                if not warned:
                    logger.warning(
                        "Keys cannot be read: %s Calls go on with the %d that are known.",
                        *(error, self._known.table.count),
                    )
                warned = True
                await asyncio.sleep(RETRY_S)

    async def read_changes(self) -> None:
        """Read what has changed since the last time. Raises StoreUnavailable."""
        async with self._reading:
            version = (await self.database.counters()).get(NAME, 0)
            if not version and self._version:
                raise StoreEmptied("keys")
            if version < self._version:  # it was restored from a backup
                self._version = 0
            if version != self._version or self._known.read_at is None:
                teams = await self.database.read_plain(ALL_TEAMS)
                self._known.serve_teams(map(team_of, teams))
                if self._version == 0:
                    await self._read_all()
                else:
                    await self._read_since(self._version)
                self._version = version
            self._known.has_read_all()

    async def _read_all(self) -> None:
        """Read all keys beside those that are known, so that no call misses one meanwhile."""
        table, after = KeyTable(), ""
        self._earlier.clear()
        while True:
            rows = await self.database.read_plain(PAGE_OF_ALL, after)
            await self._apply(rows, table)
            if len(rows) < PAGE:
                break
            after = rows[-1].digest
        self._known.table = table

    async def _read_since(self, version: int) -> None:
        while True:
            rows = await self.database.read_plain(PAGE_OF_CHANGES, version)
            await self._apply(rows, self._known.table)
            if len(rows) < PAGE:
                return
            version = rows[-1].version

    async def _apply(self, rows: Any, table: KeyTable) -> None:
        for start in range(0, len(rows), APPLIED_AT_ONCE):
            some = rows[start : start + APPLIED_AT_ONCE]
            gone = dict.fromkeys(filter(None, map(self._gone, some)))
            table.change(gone | dict(changes_of(some)))
            await asyncio.sleep(0)

    def _gone(self, row: Any) -> bytes | None:
        """Return the digest that the row of a key had and has no more, and note its new one."""
        before = self._earlier.pop(row.id, None)
        if row.second_digest and row.deleted_at is None:
            self._earlier[row.id] = row.second_digest
        return bytes.fromhex(before) if before not in (None, row.second_digest) else None

    async def keep_copying(self) -> None:
        """Write the copy when something has changed, until cancelled."""
        if self._place is None:
            return await _for_ever()
        while True:
            await asyncio.sleep(COPY_EVERY_S)
            began = monotonic()
            await self.write_copy()
            await asyncio.sleep(10 * (monotonic() - began))  # a large one is written less often

    async def write_copy(self) -> None:
        """Write the copy if something has changed since the last one."""
        known, version = self._known, self._version
        if self._place is None or known.read_at is None or version == self._copied:
            return
        teams, parts = tuple(known.teams().values()), known.table.parts()
        head = CopyHead(FORMAT, self._database_name, version, len(parts), teams, self._earlier)
        try:
            await asyncio.to_thread(write_copy, self._place, head, parts)
        except OSError as error:
            logger.warning("The copy of the keys was not written to %s: %s", self._place, error)
        self._copied = version

    async def keep_noting_use(self) -> None:
        """Note in the database when keys were used last, until cancelled."""
        while True:
            await asyncio.sleep(USED_EVERY_S)
            await self.note_use()

    async def note_use(self) -> None:
        """Write down when keys were used last. What cannot be written now is written later."""
        used, self._known.used = self._known.used, {}
        noted = list(used.items())
        for start in range(0, len(noted), USED_AT_ONCE):
            some = [(at, id) for id, at in noted[start : start + USED_AT_ONCE]]
            try:
                await self.database.change_plain(partial(_write_use, some))
            except StoreUnavailable:
                self._known.used = {**dict(noted[start:]), **self._known.used}
                return


async def _write_use(used: Sequence[tuple[float, str]], on: Transaction) -> None:
    await on.execute_many("UPDATE keys SET last_used_at = ? WHERE id = ?", used)


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()

"""Opens the keys of a process: reads them at the start, and keeps them as they are in the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from llmproxy.batteries.background import background
from llmproxy.batteries.keys.known import KnownKeys

if TYPE_CHECKING:
    from llmproxy.batteries.keys.key_administration import KeyAdministration
    from llmproxy.batteries.keys.team_administration import TeamAdministration
    from llmproxy.batteries.store import Database

# The start waits so long for the store; then calls with keys that are not known get a 503.
FIRST_READ_S = 2.0


class KeyService:
    """What the operator works with, while the keys are open."""

    def __init__(self, keys: KeyAdministration, teams: TeamAdministration) -> None:
        self.keys = keys
        self.teams = teams


@asynccontextmanager
async def open_keys(
    known: KnownKeys, database: Database, *, place: Path | None, database_name: str
) -> AsyncIterator[KeyService]:
    """Read the keys, and keep them up to date until the block ends.

    `place`: of the copy that is read if the database is away; None: there is none.
    `database_name`: which one it is, without a password.
    """
    from llmproxy.batteries.keys.key_administration import KeyAdministration  # noqa: PLC0415
    from llmproxy.batteries.keys.sync import KeySync  # noqa: PLC0415 - imports SQLAlchemy
    from llmproxy.batteries.keys.team_administration import TeamAdministration  # noqa: PLC0415

    known.expect_keys()
    sync = KeySync(known, database, place=place, database_name=database_name)
    await sync.recall()
    changed = sync.read_changes
    async with background(sync.keep_reading, sync.keep_copying, sync.keep_noting_use):
        with suppress(TimeoutError):
            await asyncio.wait_for(sync.first_read.wait(), FIRST_READ_S)
        yield KeyService(
            KeyAdministration(database, changed), TeamAdministration(database, changed)
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_READ_S):
                await sync.note_use()
                await sync.write_copy()

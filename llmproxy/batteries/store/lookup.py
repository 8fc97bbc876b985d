"""Finds calls in the store."""

from __future__ import annotations

import asyncio
from importlib import import_module

from llmproxy.batteries.store.calls import CallFilter, Position
from llmproxy.batteries.store.database import Database
from llmproxy.events import CallFinished


async def read_calls(
    database: Database, wanted: CallFilter, *, limit: int, before: Position | None = None
) -> list[CallFinished]:
    """Return the calls of the store that a filter takes, newest first. `before`: only those that
    come after this position. Raises StoreUnavailable."""
    if not database.exists:
        return []
    # It imports SQLAlchemy, which takes half a second: so a thread does that, once.
    await asyncio.to_thread(import_module, "llmproxy.batteries.store.reading")
    from llmproxy.batteries.store.reading import call_from, statement  # noqa: PLC0415

    rows = await database.fetch(statement(wanted, limit=limit, before=before))
    return [call_from(row) for row in rows]

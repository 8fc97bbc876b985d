"""Answers questions about spend from the store."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from llmproxy.batteries.spend.answers import SpendReport
from llmproxy.batteries.spend.questions import SpendQuery

if TYPE_CHECKING:
    from llmproxy.batteries.store import Database

ROWS = 1000


async def read_spend(
    database: Database, query: SpendQuery, *, limit: int = ROWS, offset: int = 0
) -> SpendReport:
    """Return the answer to a question, with at most `limit` rows. Raises StoreUnavailable."""
    # It imports SQLAlchemy, which takes half a second: so a thread does that, once.
    await asyncio.to_thread(import_module, "llmproxy.batteries.spend.reading")
    from llmproxy.batteries.spend.reading import report  # noqa: PLC0415

    return await report(database, query, limit=limit, offset=offset)

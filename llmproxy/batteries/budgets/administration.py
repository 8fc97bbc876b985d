"""Makes, changes and deletes budgets in the database. Instances know of it within a second."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from time import time
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from llmproxy.batteries.budgets.budget import Budget, NoSuchBudgetError, from_mapping, order_of
from llmproxy.batteries.budgets.rows import budget_of
from llmproxy.batteries.store import Database
from llmproxy.batteries.store.tables import budgets, versions


class BudgetAdministration:
    """Changes the database. `changed`: awaited after each change. Raises StoreUnavailable."""

    def __init__(self, database: Database, changed: Callable[[], Awaitable[object]]) -> None:
        self._database = database
        self._changed = changed

    async def create(self, order: Mapping[str, Any]) -> str:
        """Make a budget and return its id. Raises BudgetError."""
        budget = from_mapping(order)
        id = f"budget_{token_hex(8)}"

        async def work(on: AsyncConnection) -> None:
            await on.execute(insert(budgets).values(id=id, **_columns(budget)))
            await _count_change(on)

        await self._database.change(work)
        await self._changed()
        return id

    async def change(self, id: str, order: Mapping[str, Any]) -> None:
        """Change what an order names. Raises BudgetError, NoSuchBudgetError."""

        async def work(on: AsyncConnection) -> None:
            row = (await on.execute(select(budgets).where(budgets.c.id == id))).first()
            if row is None:
                raise NoSuchBudgetError
            before = order_of(budget_of(row))
            if {"usd", "tokens"} & order.keys():
                before = {key: it for key, it in before.items() if key not in ("usd", "tokens")}
            columns = _columns(from_mapping({**before, **order}))
            await on.execute(update(budgets).where(budgets.c.id == id).values(**columns))
            await _count_change(on)

        await self._database.change(work)
        await self._changed()

    async def delete(self, id: str) -> None:
        """Delete a budget. Raises NoSuchBudgetError."""

        async def work(on: AsyncConnection) -> None:
            if not (await on.execute(delete(budgets).where(budgets.c.id == id))).rowcount:
                raise NoSuchBudgetError
            await _count_change(on)

        await self._database.change(work)
        await self._changed()


def _columns(budget: Budget) -> dict[str, Any]:
    return {
        **{"subject_kind": budget.kind, "subject": budget.subject, "unit": budget.unit},
        **{"amount": budget.amount, "per": budget.per, "time_zone": budget.time_zone},
        **{"hard": budget.hard, "notify_at": json.dumps(budget.notify_at), "changed_at": time()},
    }


async def _count_change(on: AsyncConnection) -> None:
    named = versions.c.name == "budgets"
    count = update(versions).where(named).values(version=versions.c.version + 1)
    if (await on.execute(count)).rowcount == 0:
        await on.execute(insert(versions).values(name="budgets", version=1))

"""Writes keys, teams and their budgets: the statements of one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from secrets import token_hex
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from llmproxy.batteries.keys.orders import BudgetOrder, OrderError
from llmproxy.batteries.keys.rows import NAME
from llmproxy.batteries.money import dollars
from llmproxy.batteries.store import Database
from llmproxy.batteries.store.tables import budgets, keys, members, teams, versions

Order = Mapping[str, Any]


class Administration:
    """Base class of what changes the database. `changed`: awaited after each change."""

    def __init__(self, database: Database, changed: Callable[[], Awaitable[None]]) -> None:
        self._database = database
        self._told = changed

    async def _write(
        self, work: Callable[[AsyncConnection], Awaitable[None]], taken: str = ""
    ) -> None:
        try:
            await self._database.change(work)
        except IntegrityError as error:
            raise OrderError(taken or "That exists already.", status=409) from error
        await self._told()

    async def _budgets(self, kind: str, subjects: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        if subjects:
            statement = select(budgets).where(
                budgets.c.subject_kind == kind, budgets.c.subject.in_(subjects)
            )
            for row in await self._database.fetch(statement):
                amount = dollars(row.amount) if row.unit == "usd" else str(row.amount)
                view = {"id": row.id, "unit": row.unit, "amount": amount, "per": row.per}
                found.setdefault(row.subject, []).append({**view, "hard": bool(row.hard)})
        return found


async def next_version(on: AsyncConnection) -> int:
    """Return the number of this change. Others that change keys wait until it is committed."""
    count = update(versions).where(versions.c.name == NAME).values(version=versions.c.version + 1)
    if (await on.execute(count)).rowcount == 0:
        await on.execute(insert(versions).values(name=NAME, version=1))
        return 1
    now = select(versions.c.version).where(versions.c.name == NAME)
    return int((await on.execute(now)).scalar_one())


async def update_key(on: AsyncConnection, id: str, fields: Order, now: float) -> None:
    """Change the columns of a key. Raises OrderError (404)."""
    version = await next_version(on)
    wanted = keys.c.id == id, keys.c.deleted_at.is_(None)
    changed = await on.execute(
        update(keys).where(*wanted).values(**fields, changed_at=now, version=version)
    )
    if not changed.rowcount:
        raise no_key(id)


async def update_team(on: AsyncConnection, name: str, fields: Order, now: float) -> None:
    """Change the columns of a team. Raises OrderError (404)."""
    version = await next_version(on)
    changed = await on.execute(
        update(teams).where(teams.c.name == name).values(**fields, changed_at=now, version=version)
    )
    if not changed.rowcount:
        raise OrderError(f"There is no team {name!r}.", status=404)


async def add_team(on: AsyncConnection, name: str, now: float) -> None:
    """Make a team that is named for the first time."""
    found = (await on.execute(select(teams.c.name).where(teams.c.name == name))).first()
    if found is None:
        row = {"name": name, "blocked": False, "created_at": now, "changed_at": now}
        await on.execute(insert(teams).values(**row, version=await next_version(on)))


async def set_members(on: AsyncConnection, team: str, people: list[dict[str, str]]) -> None:
    """Replace the members of a team."""
    await on.execute(delete(members).where(members.c.team == team))
    if people:
        await on.execute(insert(members), [{"team": team, **person} for person in people])


async def add_budget(
    on: AsyncConnection, kind: str, subject: str, budget: BudgetOrder, now: float
) -> None:
    """Add a budget of a key or a team."""
    row = {"subject_kind": kind, "subject": subject, "unit": budget.unit, "amount": budget.amount}
    await on.execute(
        insert(budgets).values(
            **{"id": f"budget_{token_hex(8)}", **row, "per": budget.per, "time_zone": "UTC"},
            **{"hard": True, "notify_at": "[0.8, 1.0]", "changed_at": now},
        )
    )


async def replace_budget(
    on: AsyncConnection, kind: str, subject: str, budget: BudgetOrder | None, now: float
) -> None:
    """Replace the budget of a key or a team; None: it has none any more."""
    wanted = budgets.c.subject_kind == kind, budgets.c.subject == subject
    await on.execute(delete(budgets).where(*wanted))
    if budget is not None:
        await add_budget(on, kind, subject, budget, now)


def limits(row: Row[Any]) -> dict[str, int | None]:
    """Return the limits of a key or a team as the API shows them."""
    return {"rpm": row.rpm, "tpm": row.tpm, "concurrent": row.concurrent}


def no_key(id: str) -> OrderError:
    """Return the error for an id that no key has."""
    return OrderError(f"There is no key {id!r}.", status=404)


def escaped(text: str) -> str:
    """Return a text as LIKE finds it."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")

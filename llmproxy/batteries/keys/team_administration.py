"""What an operator does with teams: make, change, block, delete, list."""

from __future__ import annotations

from collections.abc import Sequence
from time import time
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmproxy.batteries.keys import orders
from llmproxy.batteries.keys.orders import OrderError
from llmproxy.batteries.keys.rows import decoded, encoded
from llmproxy.batteries.keys.writing import (
    Administration,
    Order,
    add_budget,
    escaped,
    limits,
    next_version,
    replace_budget,
    set_members,
    update_team,
)
from llmproxy.batteries.store.tables import keys, members, teams

TAKEN = "There is a team named {!r} already; a team is made with its first key. Change that one."


class TeamAdministration(Administration):
    """Makes, changes and lists teams."""

    async def create(self, order: Order, *, taken: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Make a team. `taken`: the names of configured teams. Raises OrderError."""
        now = time()
        fields = orders.team_fields(order)
        people = orders.member_fields(order) or []
        budget = orders.budget_order(order.get("budget"))
        if "name" not in fields:
            raise OrderError("name: a team needs one.")
        name = fields["name"]
        if name in taken:
            raise OrderError(f"The config has a team named {name!r}; change it there.", status=409)

        async def work(on: AsyncConnection) -> None:
            version = await next_version(on)
            row = {**encoded(fields), "blocked": False, "created_at": now, "changed_at": now}
            await on.execute(insert(teams).values(**row, version=version))
            await set_members(on, name, people)
            if budget is not None:
                await add_budget(on, "team", name, budget, now)

        await self._write(work, TAKEN.format(name))
        return await self.team(name)

    async def change(self, name: str, order: Order) -> dict[str, Any]:
        """Change what an order names of a team. Raises OrderError, StoreUnavailable."""
        now = time()
        fields = orders.team_fields(order)
        if fields.get("name", name) != name:
            raise OrderError("name: a team keeps its name, because spend is summed by it.")
        people = orders.member_fields(order)
        budget = orders.budget_order(order.get("budget"))

        async def work(on: AsyncConnection) -> None:
            await update_team(on, name, encoded(fields), now)
            if people is not None:
                await set_members(on, name, people)
            if "budget" in order:
                await replace_budget(on, "team", name, budget, now)

        await self._write(work)
        return await self.team(name)

    async def block(self, name: str, *, blocked: bool) -> dict[str, Any]:
        """Take all keys of a team out of use, or put them back."""
        await self._write(lambda on: update_team(on, name, {"blocked": blocked}, time()))
        return await self.team(name)

    async def delete(self, name: str) -> None:
        """Delete a team that has no keys. Raises OrderError (409) if it has some."""

        async def work(on: AsyncConnection) -> None:
            of_team = select(func.count()).where(keys.c.team == name, keys.c.deleted_at.is_(None))
            if count := (await on.execute(of_team)).scalar_one():
                raise OrderError(
                    f"The team {name!r} has {count} key{'s' * (count != 1)}. First delete them or "
                    "give them another team; or block the team.",
                    status=409,
                )
            await update_team(on, name, {}, time())
            await on.execute(delete(teams).where(teams.c.name == name))
            await set_members(on, name, [])
            await replace_budget(on, "team", name, None, time())

        await self._write(work)

    async def team(self, name: str) -> dict[str, Any]:
        """Return the view of a team. Raises OrderError (404)."""
        rows = await self._database.fetch(select(teams).where(teams.c.name == name))
        if not rows:
            raise OrderError(f"There is no team {name!r}.", status=404)
        return (await self._team_views(rows))[0]

    async def team_of(self, people: Sequence[str]) -> str | None:
        """Return the first team, by name, that has one of these people among its members.

        `people`: subjects, and e-mail addresses in small letters.
        """
        named = or_(
            members.c.person.in_(people),
            members.c.person.contains("@") & func.lower(members.c.person).in_(people),
        )
        found = select(members.c.team).where(named).order_by(members.c.team).limit(1)
        rows = await self._database.fetch(found)
        return rows[0].team if rows else None

    async def page(
        self, *, search: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> dict[str, Any]:
        """Return a page of teams by name, the cursor of the next, and their number."""
        wanted: list[ColumnElement[bool]] = []
        if search:
            text = f"%{escaped(search.lower())}%"
            wanted.append(func.lower(teams.c.name).like(text, escape="\\"))
        counted = select(func.count()).select_from(teams).where(*wanted)
        total = (await self._database.fetch(counted))[0][0]
        if cursor:
            wanted.append(teams.c.name > cursor)
        rows = await self._database.fetch(
            select(teams).where(*wanted).order_by(teams.c.name).limit(limit + 1)
        )
        more = len(rows) > limit
        return {
            "teams": await self._team_views(rows[:limit]),
            "next": rows[limit - 1].name if more else None,
            "total": total,
        }

    async def _team_views(self, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        names = [row.name for row in rows]
        people: dict[str, list[dict[str, str]]] = {}
        counts: dict[str, int] = {}
        if names:
            for row in await self._database.fetch(select(members).where(members.c.team.in_(names))):
                people.setdefault(row.team, []).append({"person": row.person, "role": row.role})
            counted = (
                select(keys.c.team, func.count().label("number"))
                .where(keys.c.team.in_(names), keys.c.deleted_at.is_(None))
                .group_by(keys.c.team)
            )
            of_keys: Sequence[Row[Any]] = await self._database.fetch(counted)
            counts = {row.team: row.number for row in of_keys}
        of_teams = await self._budgets("team", names)
        return [
            {
                **{"name": row.name, "owner": row.owner, "note": row.note},
                **{"models": decoded(row.models), "limits": limits(row)},
                **{"members": people.get(row.name, []), "keys": counts.get(row.name, 0)},
                **{"budgets": of_teams.get(row.name, []), "source": "store"},
                "state": "blocked" if row.blocked else "active",
                **{"created_at": row.created_at, "left_usd": None},
            }
            for row in rows
        ]

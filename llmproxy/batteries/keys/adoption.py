"""Takes over keys and teams that another gateway has made: their digests, never the keys.

What is here already stays as it is, so that the same keys can be taken over again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any, Protocol

from sqlalchemy import Row, Select, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmproxy.batteries.keys import orders
from llmproxy.batteries.keys.key import new_id
from llmproxy.batteries.keys.orders import BudgetOrder
from llmproxy.batteries.keys.rows import encoded
from llmproxy.batteries.keys.writing import add_budget, next_version
from llmproxy.batteries.store import Database
from llmproxy.batteries.store.tables import keys, teams

AT_ONCE = 200
Changes = Mapping[str, Any]


class ForeignTeam(Protocol):
    """A team of another gateway. `fields`: as of an order for a new team."""

    @property
    def fields(self) -> Changes: ...  # noqa: D102
    @property
    def blocked(self) -> bool: ...  # noqa: D102


class ForeignKey(ForeignTeam, Protocol):
    """A key of another gateway. `digest`: its SHA-256, in hex. `prefix`: what is shown of it."""

    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def prefix(self) -> str: ...  # noqa: D102
    @property
    def expires_at(self) -> float | None: ...  # noqa: D102
    @property
    def created_at(self) -> float | None: ...  # noqa: D102


@dataclass(slots=True)
class Adopted:
    """How many were taken over, were here already, or got another name."""

    added: int = 0
    known: int = 0
    renamed: int = 0


class Adoption:
    """Writes into one database. `taken`: names that callers of the config have.

    `dry`: count what would be done, and write nothing.
    """

    def __init__(
        self, database: Database, *, taken: frozenset[str] = frozenset(), dry: bool = False
    ) -> None:
        self._database = database
        self._taken = set(taken)
        self._dry = dry

    async def adopt_teams(self, given: Sequence[ForeignTeam]) -> Adopted:
        """Take over teams. Raises OrderError, StoreUnavailable."""
        found = Adopted()
        known = {row.name for row in await self._rows(select(teams.c.name))}
        new = [team for team in given if team.fields["name"] not in known]
        found.known, found.added = len(given) - len(new), len(new)
        now = time()
        rows = [(_team_row(team, now), _budget_of(team)) for team in new]
        if rows and not self._dry:
            await self._database.change(lambda on: _write(on, "team", rows, now), within_s=600)
        return found

    async def adopt_keys(self, given: Sequence[ForeignKey]) -> Adopted:
        """Take over at most `AT_ONCE` keys. Raises OrderError, StoreUnavailable."""
        digests = [key.digest for key in given]
        wanted = or_(keys.c.digest.in_(digests), keys.c.second_digest.in_(digests))
        here = await self._rows(select(keys.c.digest, keys.c.second_digest).where(wanted))
        known = {digest for row in here for digest in row}
        new = [key for key in given if key.digest not in known]
        names = [key.fields["name"] for key in new]
        stored = await self._rows(select(keys.c.name).where(keys.c.name.in_(names)))
        taken = self._taken | {row.name for row in stored}
        found = Adopted(added=len(new), known=len(given) - len(new))
        now, rows = time(), []
        for key in new:
            row = _key_row(key, now)
            if row["name"] in taken:
                row["name"] = f"{row['name']}-{key.digest[:8]}"
                found.renamed += 1
            rows.append((row, _budget_of(key)))
        if rows and not self._dry:
            await self._database.change(lambda on: _write(on, "key", rows, now), within_s=600)
        return found

    async def _rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        return await self._database.fetch(statement) if self._database.exists else ()


async def _write(
    on: AsyncConnection,
    kind: str,
    rows: Sequence[tuple[dict[str, Any], BudgetOrder | None]],
    now: float,
) -> None:
    """Insert keys or teams with their budgets, as one change."""
    version = await next_version(on)
    table, name = (keys, "id") if kind == "key" else (teams, "name")
    for row, budget in rows:
        await on.execute(insert(table).values(**row, version=version))
        if budget is not None:
            await add_budget(on, kind, row[name], budget, now)


def _team_row(team: ForeignTeam, now: float) -> dict[str, Any]:
    fields = encoded(orders.team_fields(_without_budget(team)))
    return {**fields, "blocked": team.blocked, "created_at": now, "changed_at": now}


def _key_row(key: ForeignKey, now: float) -> dict[str, Any]:
    fields = orders.key_fields(_without_budget(key), now)
    fields.setdefault("tags", [])
    return {
        **encoded(fields),
        **{"id": new_id(), "prefix": key.prefix, "digest": key.digest, "blocked": key.blocked},
        **{"created_at": key.created_at or now, "created_by": "import", "changed_at": now},
        "expires_at": key.expires_at,
    }


def _without_budget(given: ForeignTeam) -> dict[str, Any]:
    return {name: value for name, value in given.fields.items() if name != "budget"}


def _budget_of(given: ForeignTeam) -> BudgetOrder | None:
    return orders.budget_order(given.fields.get("budget"))

"""What an operator does with keys: make, change, rotate, block, delete, list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from time import time
from typing import Any

from sqlalchemy import ColumnElement, Row, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmproxy.batteries.keys import orders
from llmproxy.batteries.keys.key import digest_of, new_id, new_secret, shown_prefix
from llmproxy.batteries.keys.orders import OrderError
from llmproxy.batteries.keys.rows import decoded, encoded
from llmproxy.batteries.keys.writing import (
    Administration,
    Order,
    add_budget,
    add_team,
    escaped,
    limits,
    next_version,
    no_key,
    replace_budget,
    update_key,
)
from llmproxy.batteries.money import dollars
from llmproxy.batteries.store.tables import keys, spend

TAKEN = "There is a key or caller named {!r} already. Names tell whose calls they are."


class KeyAdministration(Administration):
    """Makes, changes and lists keys."""

    async def create(
        self, order: Order, *, by: str | None = None, taken: frozenset[str] = frozenset()
    ) -> tuple[dict[str, Any], str]:
        """Make a key; return its view and the key itself. `taken`: the names of configured callers.

        Raises OrderError, StoreUnavailable.
        """
        now, id, secret = time(), new_id(), new_secret()
        fields = orders.key_fields(order, now)
        budget = orders.budget_order(order.get("budget"))
        name = fields.setdefault("name", f"{fields.get('team') or 'key'}-{id[-6:].lower()}")
        if name in taken:
            raise OrderError(TAKEN.format(name), status=409)
        fields.setdefault("tags", [])
        row = {
            **encoded(fields),
            **{"id": id, "prefix": shown_prefix(secret), "digest": _hex(secret)},
            **{"blocked": False, "created_at": now, "created_by": by, "changed_at": now},
        }

        async def work(on: AsyncConnection) -> None:
            if team := fields.get("team"):
                await add_team(on, team, now)
            version = await next_version(on)
            await on.execute(insert(keys).values(**row, version=version))
            if budget is not None:
                await add_budget(on, "key", id, budget, now)

        await self._write(work, TAKEN.format(name))
        return await self.key(id), secret

    async def change(
        self, id: str, order: Order, *, taken: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Change what an order names of a key. Raises OrderError, StoreUnavailable."""
        now = time()
        fields = orders.key_fields(order, now)
        name = fields.get("name")
        if name in taken:
            raise OrderError(TAKEN.format(name), status=409)
        replaces_budget = "budget" in order
        budget = orders.budget_order(order.get("budget"))

        async def work(on: AsyncConnection) -> None:
            if team := fields.get("team"):
                await add_team(on, team, now)
            await update_key(on, id, encoded(fields), now)
            if replaces_budget:
                await replace_budget(on, "key", id, budget, now)

        await self._write(work, TAKEN.format(name))
        return await self.key(id)

    async def block(self, id: str, *, blocked: bool) -> dict[str, Any]:
        """Take a key out of use, or put it back."""
        await self._write(lambda on: update_key(on, id, {"blocked": blocked}, time()))
        return await self.key(id)

    async def rotate(self, id: str, order: Order) -> tuple[dict[str, Any], str]:
        """Give a key a new secret. The one before stays valid for `overlap` (24h)."""
        orders.only_rotation(order)
        now, secret = time(), new_secret()
        overlap_s = orders.seconds("overlap", order.get("overlap", "24h"))

        async def work(on: AsyncConnection) -> None:
            row = (await on.execute(select(keys.c.digest).where(keys.c.id == id))).first()
            if row is None:
                raise no_key(id)
            fields = {
                **{"digest": _hex(secret), "prefix": shown_prefix(secret)},
                **{"second_digest": row.digest, "second_until": now + overlap_s},
            }
            await update_key(on, id, fields, now)

        await self._write(work)
        return await self.key(id), secret

    async def delete(self, id: str) -> None:
        """Delete a key. Its row stays, for what it has spent; its name is free."""
        now = time()

        async def work(on: AsyncConnection) -> None:
            row = (await on.execute(select(keys.c.name).where(keys.c.id == id))).first()
            name = "" if row is None else f"{row.name} ({id})"
            await update_key(on, id, {"deleted_at": now, "name": name}, now)
            await replace_budget(on, "key", id, None, now)

        await self._write(work)

    async def key(self, id: str) -> dict[str, Any]:
        """Return the view of a key. Raises OrderError (404)."""
        statement = select(keys).where(keys.c.id == id, keys.c.deleted_at.is_(None))
        rows = await self._database.fetch(statement)
        if not rows:
            raise no_key(id)
        return (await self._views(rows))[0]

    async def page(
        self,
        *,
        search: str | None = None,
        team: str | None = None,
        state: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        """Return a page of keys, the newest first, the cursor of the next, and their number."""
        now = time()
        wanted: list[ColumnElement[bool]] = [keys.c.deleted_at.is_(None)]
        if search:
            text = f"%{escaped(search.lower())}%"
            columns = keys.c.name, keys.c.owner, keys.c.note, keys.c.prefix, keys.c.id
            wanted.append(or_(*(func.lower(c).like(text, escape="\\") for c in columns)))
        if team:
            wanted.append(keys.c.team == team)
        expired = func.coalesce(keys.c.expires_at, now + 1) <= now
        match state:
            case "blocked":
                wanted.append(keys.c.blocked)
            case "expired":
                wanted += [expired, ~keys.c.blocked]
            case "active":
                wanted += [~expired, ~keys.c.blocked]
        total = (await self._database.fetch(select(func.count()).where(*wanted)))[0][0]
        if cursor:
            at, id = _place_of(cursor)
            later = (keys.c.created_at == at) & (keys.c.id > id)
            wanted.append((keys.c.created_at < at) | later)
        order = keys.c.created_at.desc(), keys.c.id
        rows = await self._database.fetch(
            select(keys).where(*wanted).order_by(*order).limit(limit + 1)
        )
        last = rows[limit - 1] if len(rows) > limit else None
        return {
            "keys": await self._views(rows[:limit]),
            "next": None if last is None else json.dumps([last.created_at, last.id]),
            "total": total,
        }

    async def _views(self, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        ids = [row.id for row in rows]
        spent = await self._spent(keys_in=ids)
        of_keys = await self._budgets("key", ids)
        return [_key_view(row, spent.get(row.id, 0), of_keys.get(row.id, [])) for row in rows]

    async def _spent(self, keys_in: list[str]) -> dict[str, int]:
        """Return the nano-dollars that keys have spent in all."""
        if not keys_in:
            return {}
        statement = (
            select(spend.c.key_id, func.sum(spend.c.nano_usd).label("nano"))
            .where(spend.c.period == "day", spend.c.key_id.in_(keys_in))
            .group_by(spend.c.key_id)
        )
        rows: Sequence[Row[Any]] = await self._database.fetch(statement)
        return {row.key_id: int(row.nano or 0) for row in rows}


def _key_view(row: Row[Any], spent: int, of_key: list[dict[str, Any]]) -> dict[str, Any]:
    expired = row.expires_at is not None and row.expires_at <= time()
    return {
        **{"id": row.id, "name": row.name, "prefix": row.prefix, "team": row.team},
        **{"owner": row.owner, "note": row.note, "tags": decoded(row.tags) or []},
        **{"models": decoded(row.models), "limits": limits(row), "budgets": of_key},
        "state": "blocked" if row.blocked else "expired" if expired else "active",
        **{"source": "store", "created_at": row.created_at, "created_by": row.created_by},
        **{"expires_at": row.expires_at, "last_used_at": row.last_used_at},
        "earlier_key_until": row.second_until if (row.second_until or 0) > time() else None,
        **{"spent_usd": dollars(spent), "left_usd": None},
    }


def _hex(secret: str) -> str:
    return digest_of(secret.encode()).hex()


def _place_of(cursor: str) -> tuple[float, str]:
    try:
        at, id = json.loads(cursor)
        return float(at), str(id)
    except (ValueError, TypeError, RecursionError) as error:
        raise OrderError("cursor: expected `next` of the page before.") from error

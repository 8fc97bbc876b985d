"""The statements that read sums of calls, for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Select, Table, and_, case, func, literal_column, or_, select, text
from sqlalchemy.sql import ColumnElement

from llmproxy.batteries.spend.answers import SpendReport, Sums, sums_of
from llmproxy.batteries.spend.questions import DAY_S, HOUR_S, OTHER, TIMES, SpendQuery
from llmproxy.batteries.store import Database
from llmproxy.batteries.store.tables import keys, spend, spend_by_label

COLUMNS = {"key": "key_id", "group": "group_name", "tag": "label", "end_user": "label"}
LENGTHS = {"hour": HOUR_S, "day": DAY_S}
IDS_AT_ONCE = 500
SUMS = tuple(one.name for one in fields(Sums))


async def report(database: Database, query: SpendQuery, *, limit: int, offset: int) -> SpendReport:
    """Return the answer to a question. Raises StoreUnavailable."""
    query = await _with_id_of_key(database, query)
    series = await database.fetch(_series(query.whole))
    before = await database.fetch(_sums(query.before.whole))
    found: Sequence[Any] = []
    if query.by:
        rows_of = _rows(query, await _dearest(database, query))
        found = await database.fetch(rows_of.limit(limit + 1).offset(offset))
    rows = [(tuple(row[: len(query.by)]), sums_of(dict(row._mapping))) for row in found[:limit]]
    return SpendReport(
        query,
        rows=rows,
        series=[(int(row[0]), sums_of(dict(row._mapping))) for row in series],
        before=sums_of(dict(before[0]._mapping)),
        more=len(found) > limit,
        key_names=await _key_names(database, query, [values for values, _ in rows]),
    )


async def _with_id_of_key(database: Database, query: SpendQuery) -> SpendQuery:
    """Return a question about a key by its name as one about its id."""
    if not (name := query.where.get("key")):
        return query
    rows = await database.fetch(select(keys.c.id).where(keys.c.name == name))
    return replace(query, where={**query.where, "key": rows[0].id}) if rows else query


async def _key_names(
    database: Database, query: SpendQuery, rows: Sequence[tuple[Any, ...]]
) -> dict[str, str]:
    """Return the names of the keys in rows, by their ids."""
    if "key" not in query.by:
        return {}
    place = query.by.index("key")
    ids = sorted({values[place] for values in rows} - {""})
    names: dict[str, str] = {}
    for start in range(0, len(ids), IDS_AT_ONCE):
        some = keys.c.id.in_(ids[start : start + IDS_AT_ONCE])
        found = await database.fetch(select(keys.c.id, keys.c.name).where(some))
        names |= {row.id: row.name for row in found}
    return names


async def _dearest(database: Database, query: SpendQuery) -> list[str] | None:
    """Return the values of the first dimension that have rows of their own; None = all have."""
    first = _first(query)
    if query.top is None or first is None:
        return None
    alone = replace(query, by=(first,))
    return [row[0] for row in await database.fetch(_rows(alone, None).limit(query.top))]


def _first(query: SpendQuery) -> str | None:
    return next((name for name in query.by if name not in TIMES), None)


def _rows(query: SpendQuery, dearest: list[str] | None) -> Select[Any]:
    """Return what reads the rows, in the order of time and then the dearest first.

    `dearest`: values of the first dimension; what has others is summed as OTHER.
    """
    table, first = _table(query), _first(query)
    names = [_dimension(table, name) for name in query.by]
    if dearest is not None and first is not None:
        shown = table.c[COLUMNS.get(first, first)].in_(dearest)
        names = [
            column if name in TIMES else case((shown, column), else_=OTHER)
            for name, column in zip(query.by, names, strict=True)
        ]
    places = [str(place) for place in range(1, len(names) + 1)]
    times = [place for place, name in zip(places, query.by, strict=True) if name in TIMES]
    order = ", ".join([*times, "nano_usd DESC", "calls DESC", *places])
    statement = select(*names, *_added(table)).where(_where(table, query))
    return statement.group_by(text(", ".join(places))).order_by(text(order))


def _series(query: SpendQuery) -> Select[Any]:
    table = _table(query)
    at = _dimension(table, query.step)
    statement = select(at, *_added(table)).where(_where(table, query))
    return statement.group_by(text("1")).order_by(text("1"))


def _sums(query: SpendQuery) -> Select[Any]:
    table = _table(query)
    return select(*_added(table)).where(_where(table, query))


def _table(query: SpendQuery) -> Table:
    return spend if query.label is None else spend_by_label


def _dimension(table: Table, name: str) -> ColumnElement[Any]:
    if name in TIMES:
        # Without parameters: PostgreSQL must see that it is what rows are grouped by.
        length = LENGTHS[name]
        return literal_column(f"{table.name}.start / {length} * {length}").label(f"by_{name}")
    return table.c[COLUMNS.get(name, name)].label(f"by_{name}")


def _added(table: Table) -> list[ColumnElement[Any]]:
    return [func.coalesce(func.sum(table.c[name]), 0).label(name) for name in SUMS]


def _where(table: Table, query: SpendQuery) -> ColumnElement[bool]:
    parts = [
        and_(table.c.period == part.period, table.c.start >= part.start, table.c.start < part.end)
        for part in query.slices()
    ]
    chosen = [or_(*parts)]
    if table is spend_by_label:
        chosen.append(table.c.kind == query.label)
    for name, value in query.where.items():
        chosen.append(table.c[COLUMNS.get(name, name)] == value)
    return and_(*chosen)

"""History from the store's sums of hours: for weeks, and from before this process started."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, func, literal_column, select, text
from sqlalchemy.sql import ColumnElement

from llmproxy.batteries.admin.stats.history import HistoryPoint
from llmproxy.batteries.admin.stats.marks import KEPT, Kind, Mark
from llmproxy.batteries.money import NANO
from llmproxy.batteries.store.tables import audit, spend

if TYPE_CHECKING:
    from llmproxy.batteries.store import Database

# Actions of the audit that are marks.
ACTIONS: dict[str, Kind] = {
    "config.reload": "reload",
    "endpoint.drain": "drain",
    "endpoint.enable": "enable",
}


async def stored_points(
    database: Database, step_s: int, number: int, now: float, group: str | None
) -> list[HistoryPoint]:
    """Return the last `number` steps, the one that is under way included, oldest first.

    `step_s`: whole hours. What the store does not sum up is None. Raises StoreUnavailable.
    """
    last = int(now // step_s) * step_s
    first = last - (number - 1) * step_s
    rows = await database.fetch(_sums(step_s, first, group))
    found = {int(row[0]): dict(row._mapping) for row in rows}
    return [_point(at, found.get(at, {})) for at in range(first, last + 1, step_s)]


def _sums(step_s: int, first: int, group: str | None) -> Select[Any]:
    columns = spend.c
    names = (
        *("calls", "errors", "input_tokens", "output_tokens", "nano_usd"),
        *("saved_nano_usd", "total_ms"),
    )
    # Without parameters: PostgreSQL must see that it is what rows are grouped by.
    at: ColumnElement[Any] = literal_column(f"spend.start / {step_s} * {step_s}")
    sums = [func.sum(columns[name]).label(name) for name in names]
    chosen = select(at, *sums).where(columns.period == "hour", columns.start >= first)
    if group is not None:
        chosen = chosen.where(columns.group_name == group)
    return chosen.group_by(text("1"))


def _point(at: int, sums: Mapping[str, Any]) -> HistoryPoint:
    calls = int(sums.get("calls") or 0)
    return HistoryPoint(
        at=at,
        calls=calls,
        errors=int(sums.get("errors") or 0),
        retries=None,
        input_tokens=int(sums.get("input_tokens") or 0),
        output_tokens=int(sums.get("output_tokens") or 0),
        cost_usd=int(sums.get("nano_usd") or 0) / NANO,
        saved_usd=int(sums.get("saved_nano_usd") or 0) / NANO,
        cache_hits=None,
        cache_misses=None,
        total_mean_ms=round(float(sums["total_ms"]) / calls, 3) if calls else None,
    )


async def earlier_marks(database: Database, start: float, end: float) -> Sequence[Mark]:
    """Return what operators did from `start` to `end`. Raises StoreUnavailable."""
    rows = await database.fetch(_actions(start, end))
    marks = [
        Mark(
            at=row.at,
            what=ACTIONS[row.action],
            subject=None if row.action == "config.reload" else row.subject,
        )
        for row in rows
        if not json.loads(row.after or "{}").get("error")  # a config that was refused
    ]
    return marks[::-1]


def _actions(start: float, end: float) -> Select[Any]:
    columns = audit.c
    chosen = select(columns.at, columns.action, columns.subject, columns.after)
    chosen = chosen.where(columns.at >= start, columns.at < end, columns.action.in_(ACTIONS))
    return chosen.order_by(columns.at.desc()).limit(KEPT)

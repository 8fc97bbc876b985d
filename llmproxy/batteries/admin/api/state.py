"""`/admin/state` and `/admin/history`: the present and the past."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel

from llmproxy.batteries.admin.stats.history import HistoryPoint
from llmproxy.batteries.admin.stats.marks import Mark
from llmproxy.batteries.admin.stats.sampler import Sampler
from llmproxy.batteries.admin.stats.state import ProxyView, StateCache
from llmproxy.batteries.store import StoreUnavailable

if TYPE_CHECKING:
    from llmproxy.batteries.store import Database, Store

HOUR_S, DAY_S = 3600, 86_400
Range = Literal["15m", "24h", "7d", "30d"]
# Seconds of a step from the store, and how many steps.
STORED: dict[Range, tuple[int, int]] = {
    "24h": (HOUR_S, 24),
    "7d": (HOUR_S, 168),
    "30d": (4 * HOUR_S, 180),
}


class HistoryPoints(BaseModel):
    """Steps of `step_s` seconds, oldest first, and what happened meanwhile.

    `source`: memory has all figures of 24 hours, in all workers; the store has sums of hours, of
    all instances. `since`: since when (Unix seconds) memory has any. `note`: why it is less than
    what was asked for.
    """

    step_s: int
    source: Literal["memory", "store"]
    since: float
    note: str | None
    marks: list[Mark]
    points: list[HistoryPoint]


def state_routes(
    sampler: Sampler, state_cache: StateCache, store: Store | None = None
) -> APIRouter:
    """Return the routes of `/admin/state` and `/admin/history`."""
    router = APIRouter()

    @router.get("/state", response_model=ProxyView)
    async def state() -> Response:
        """Return the whole state, of all workers together."""
        return Response(await state_cache.json(), media_type="application/json")

    @router.get("/history")
    async def history(
        span: Literal["15m", "24h"] = "15m",
        range: Annotated[Range | None, Query(description="from the store, if it is long")] = None,
        group: Annotated[str | None, Query(description="only this model group's")] = None,
    ) -> HistoryPoints:
        """Return the last minutes, hours or days in steps.

        `span` reads memory only. `range` reads the store where it has more: for weeks, and for the
        time before the start.
        """
        if group is not None and group not in sampler.groups:
            raise HTTPException(404, f"There is no model group {group!r}.")
        asked: Range = range or span
        young = sampler.wall() - sampler.started_at < DAY_S
        if range is None or range == "15m" or (range == "24h" and not young):
            return _in_memory(sampler, asked, group)
        database = None if store is None else store.database
        if database is None:
            note = (
                None
                if range == "24h"
                else "Only memory is kept: 24 hours. database_url keeps more."
            )
            return _in_memory(sampler, "24h", group, note)
        try:
            return await _stored(sampler, database, range, group)
        except StoreUnavailable:
            return _in_memory(
                sampler, "24h", group, "The database is away: this is what memory has."
            )

    return router


def _in_memory(
    sampler: Sampler, asked: Range, group: str | None, note: str | None = None
) -> HistoryPoints:
    series = sampler.minutes if asked == "15m" else sampler.hours
    points = series.points(sampler.wall(), group)
    return HistoryPoints(
        step_s=series.step_s,
        source="memory",
        since=sampler.started_at,
        note=note,
        marks=sampler.marks.since(points[0].at),
        points=points,
    )


async def _stored(
    sampler: Sampler, database: Database, asked: Range, group: str | None
) -> HistoryPoints:
    # It imports SQLAlchemy, which takes half a second: so a thread does that, once.
    await asyncio.to_thread(import_module, "llmproxy.batteries.admin.stats.stored_history")
    from llmproxy.batteries.admin.stats.stored_history import (  # noqa: PLC0415
        earlier_marks,
        stored_points,
    )

    step_s, number = STORED[asked]
    points = await stored_points(database, step_s, number, sampler.wall(), group)
    earlier = await earlier_marks(database, points[0].at, sampler.started_at)
    return HistoryPoints(
        step_s=step_s,
        source="store",
        since=sampler.started_at,
        note=None,
        marks=[*earlier, *sampler.marks.since(points[0].at)],
        points=points,
    )

"""`/admin/state` and `/admin/history`: the present and the recent past."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel

from llmproxy.batteries.admin.stats.history import HistoryPoint
from llmproxy.batteries.admin.stats.sampler import Sampler
from llmproxy.batteries.admin.stats.state import ProxyView, StateCache


class HistoryPoints(BaseModel):
    """Steps of `step_s` seconds, oldest first."""

    step_s: int
    points: list[HistoryPoint]


def state_routes(sampler: Sampler, state_cache: StateCache) -> APIRouter:
    """Return the routes of `/admin/state` and `/admin/history`."""
    router = APIRouter()

    @router.get("/state")
    async def state() -> ProxyView:
        """Return the whole state, of all workers together."""
        return state_cache.state()

    @router.get("/history")
    async def history(
        span: Literal["15m", "24h"] = "15m",
        group: Annotated[str | None, Query(description="only this model group's")] = None,
    ) -> HistoryPoints:
        """Return the last 15 minutes or 24 hours in steps."""
        if group is not None and group not in sampler.groups:
            raise HTTPException(404, f"There is no model group {group!r}.")
        series = sampler.minutes if span == "15m" else sampler.hours
        return HistoryPoints(step_s=series.step_s, points=series.points(sampler.wall(), group))

    return router

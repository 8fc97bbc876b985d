"""`/admin/state` and `/admin/history`: how it is, and how it has been."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel

from llmproxy.admin.stats.history import HistoryPoint
from llmproxy.admin.stats.sampler import Sampler
from llmproxy.admin.stats.state import ProxyView, StateCache


class HistoryPoints(BaseModel):
    """Steps of so many seconds, oldest first."""

    step_s: int
    points: list[HistoryPoint]


def watching_routes(watch: Sampler, glance: StateCache) -> APIRouter:
    """`/admin/state` and `/admin/history`."""
    router = APIRouter()

    @router.get("/state")
    async def state() -> ProxyView:
        """Everything at a glance, of all workers together."""
        return glance.now()

    @router.get("/history")
    async def history(
        span: Literal["15m", "24h"] = "15m",
        group: Annotated[str | None, Query(description="only this model group's")] = None,
    ) -> HistoryPoints:
        """The last minutes or hours."""
        if group is not None and group not in watch.groups:
            raise HTTPException(404, f"There is no model group {group!r}.")
        kept = watch.minutes if span == "15m" else watch.hours
        return HistoryPoints(step_s=kept.step_s, points=kept.points(watch.wall(), group))

    return router

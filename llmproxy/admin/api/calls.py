"""`/admin/calls`: the latest calls, and why each went where it went. Content-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, HTTPException, Query

from llmproxy.admin.stats.collector import StatsCollector

if TYPE_CHECKING:
    from llmproxy.telemetry.call_file import CallFile
from llmproxy.admin.stats.traces import CallTrace, CallTraces, trace_of

LATEST_ONLY = (
    "Only the latest are; the access log has them all, and general_settings.call_file keeps them."
)


def trace_routes(overview: StatsCollector, kept: CallFile | None) -> APIRouter:
    """`/admin/calls`. `kept`: the file of earlier calls, if there is one."""
    router = APIRouter()

    @router.get("/calls")
    async def calls(
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        notable: Annotated[
            bool, Query(description="only errors, and calls that were retried or fell back")
        ] = False,
        group: str | None = None,
    ) -> CallTraces:
        """The latest calls."""
        found = overview.calls(notable=notable)
        chosen = [call for call in found if group in (None, call.record.group)]
        return CallTraces(calls=[trace_of(call, overview) for call in chosen[:limit]])

    @router.get("/calls/{id}")
    async def call(id: str) -> CallTrace:
        """One call, by our id or by the endpoint's x-request-id."""
        found = overview.call(id)
        if found is None and kept is not None:
            found = await kept.find(id)
        if found is None:
            where = LATEST_ONLY if kept is None else "The access log may have it."
            raise HTTPException(404, f"No call {id!r} is kept. {where}")
        return trace_of(found, overview)

    return router

"""`/admin/calls`: the latest calls, and the steps of each. Content-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, HTTPException, Query

from llmproxy.batteries.admin.auth import Member, own_team
from llmproxy.batteries.admin.stats.collector import StatsCollector
from llmproxy.batteries.admin.stats.traces import CallTrace, CallTraces, trace_of
from llmproxy.events import CallFinished

if TYPE_CHECKING:
    from llmproxy.batteries.telemetry.call_file import CallFile

LATEST_ONLY = (
    "Only the latest calls are kept in memory. The access log has all of them; to look them up "
    "here, set general_settings.call_file."
)


def call_routes(collector: StatsCollector, call_file: CallFile | None) -> APIRouter:
    """Return the routes of `/admin/calls`. `call_file` holds earlier calls, if configured."""
    router = APIRouter()

    @router.get("/calls")
    async def calls(
        person: Member,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        notable: Annotated[
            bool, Query(description="only calls that failed, were retried or fell back")
        ] = False,
        group: str | None = None,
    ) -> CallTraces:
        """Return the latest calls, newest first."""
        found = collector.calls(notable=notable)
        team = own_team(person, None)
        chosen = [call for call in found if _is_of(call, group, team)]
        return CallTraces(calls=[trace_of(call) for call in chosen[:limit]])

    @router.get("/calls/{id}")
    async def call(id: str, person: Member) -> CallTrace:
        """Return one call, by our id or by the endpoint's `x-request-id`."""
        found = collector.call(id)
        if found is None and call_file is not None:
            found = await call_file.find(id)
        if found is None or not _is_of(found, None, own_team(person, None)):
            hint = LATEST_ONLY if call_file is None else "It may be in the access log."
            raise HTTPException(404, f"Call {id!r} not found. {hint}")
        return trace_of(found)

    return router


def _is_of(call: CallFinished, group: str | None, team: str | None) -> bool:
    """Return whether a call is of a group and a team; None = any."""
    record = call.record
    return group in (None, record.group) and team in (None, record.request.team)

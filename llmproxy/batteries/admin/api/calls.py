"""`/admin/calls`: finished calls and the steps of each, as JSON and CSV. Content-free.

The newest calls are in memory, all are in the store. A list merges both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import StreamingResponse
from msgspec.structs import replace

from llmproxy.batteries.admin.api.call_filter import call_filter, cursor_of, position_of
from llmproxy.batteries.admin.auth import Member, own_team
from llmproxy.batteries.admin.people import Person
from llmproxy.batteries.admin.stats.collector import StatsCollector
from llmproxy.batteries.admin.stats.traces import CallPage, CallTrace, csv_lines, trace_of
from llmproxy.batteries.store import (
    CallFilter,
    Position,
    Store,
    StoreUnavailable,
    position,
    read_calls,
)
from llmproxy.events import CallFinished

CSV_PAGE = 500  # calls that are read at once: a pause of milliseconds
LATEST_ONLY = (
    "Only the latest calls are in memory. The access log has all of them; to look them up here, "
    "set general_settings.database_url."
)
STILL_WRITING = "Some calls are still being written to the database. Ask again in a moment."
Wanted = Annotated[CallFilter, Depends(call_filter)]
BAD = {400: {"description": "unknown parameter, time, status or cursor"}}


def call_routes(collector: StatsCollector, store: Store | None) -> APIRouter:
    """Return the routes of `/admin/calls`. `store` has earlier calls; None = not installed."""
    router = APIRouter()
    found = FoundCalls(collector, store)

    @router.get("/calls", responses=BAD)  # type: ignore[arg-type]
    async def calls(
        person: Member,
        wanted: Wanted,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
    ) -> CallPage:
        """Return calls, newest first."""
        wanted = _seen_by(person, wanted)
        page, more, missing = await found.page(wanted, limit, position_of(cursor))
        following = cursor_of(page[-1]) if more else None
        return CallPage(calls=[trace_of(call) for call in page], next=following, missing=missing)

    @router.get("/calls.csv", response_class=StreamingResponse, responses=BAD)  # type: ignore[arg-type]
    async def calls_csv(person: Member, wanted: Wanted) -> StreamingResponse:
        """Return all calls as CSV, newest first."""
        wanted = _seen_by(person, wanted)
        page, more, missing = await found.page(wanted, CSV_PAGE, None)
        if missing is not None:
            raise HTTPException(503, missing)
        text = found.csv(wanted, page, more=more)
        name = {"content-disposition": 'attachment; filename="calls.csv"'}
        return StreamingResponse(text, media_type="text/csv", headers=name)

    @router.get("/calls/{id}")
    async def call(id: str, person: Member) -> CallTrace:
        """Return one call, by our id or by the endpoint's `x-request-id`."""
        team = own_team(person, None)
        known = collector.call(id)
        if known is not None and team in (None, known.record.request.team):
            return trace_of(known)
        page, _, missing = await found.page(CallFilter(id=id, team=team), 1, None)
        if page:
            return trace_of(page[0])
        if missing is not None:
            raise HTTPException(503, f"Call {id!r} is not in memory. {missing}")
        hint = LATEST_ONLY if found.in_memory_only else "It may be in the access log."
        raise HTTPException(404, f"Call {id!r} not found. {hint}")

    return router


def _seen_by(person: Person, wanted: CallFilter) -> CallFilter:
    return replace(wanted, team=own_team(person, wanted.team))


class FoundCalls:
    """Finds calls in memory and in the store."""

    def __init__(self, collector: StatsCollector, store: Store | None) -> None:
        self._collector = collector
        self._store = store

    @property
    def in_memory_only(self) -> bool:
        """Whether there is no store."""
        return self._store is None or self._store.database is None

    async def page(
        self, wanted: CallFilter, limit: int, before: Position | None
    ) -> tuple[list[CallFinished], bool, str | None]:
        """Return calls, newest first; whether there are more; and why earlier calls are missing."""
        stored, missing = await self._stored(wanted, limit + 1, before)
        # Afterwards: what ends meanwhile is in memory first.
        found = {position(call): call for call in stored}
        for notable in (False, True):
            for call in self._collector.calls(notable=notable):
                if (before is None or position(call) < before) and wanted.takes(call):
                    found[position(call)] = call
        newest = [found[key] for key in sorted(found, reverse=True)]
        return newest[:limit], len(newest) > limit, missing

    async def csv(
        self, wanted: CallFilter, page: list[CallFinished], *, more: bool
    ) -> AsyncIterator[str]:
        """Yield CSV of a first page, and of those after it. Raises StoreUnavailable."""
        yield csv_lines(page, head=True)
        while more:
            page, more, missing = await self.page(wanted, CSV_PAGE, position(page[-1]))
            if missing is not None:  # a broken answer is no whole one
                raise StoreUnavailable(missing)
            yield csv_lines(page)

    async def _stored(
        self, wanted: CallFilter, limit: int, before: Position | None
    ) -> tuple[list[CallFinished], str | None]:
        if self._store is None or (database := self._store.database) is None:
            return [], None
        status = self._store.status()
        if status is not None and status.connected is False:
            return [], f"Earlier calls cannot be read: {status.why}"
        written = await self._store.flush()
        try:
            stored = await read_calls(database, wanted, limit=limit, before=before)
        except StoreUnavailable as error:
            return [], f"Earlier calls cannot be read: {error}"
        return stored, None if written else STILL_WRITING

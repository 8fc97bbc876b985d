"""`/admin/events`: the state each second, new calls and new points as they come, as server-sent
events. Ends when the proxy is going down, so that no dashboard keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from llmproxy.admin.stats.history import HistoryPoint
from llmproxy.admin.stats.sampler import STEP_S, Sampler
from llmproxy.admin.stats.state import StateCache
from llmproxy.admin.stats.traces import CallTraces, trace_of
from llmproxy.events import CallFinished

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig

EVERY_S = 1.0
MAX_NEW_CALLS = 20


Mark = tuple[str, float]  # tells a call from all others


class HistoryEvent(BaseModel):
    """A step that has just ended."""

    point: HistoryPoint
    step_s: int


def event_routes(live: LiveConfig, watch: Sampler, glance: StateCache) -> APIRouter:
    """`/admin/events`."""
    router = APIRouter()

    @router.get("/events", response_class=StreamingResponse)
    async def events() -> StreamingResponse:
        """`state` at once and then each second, `calls`, `point`."""
        return StreamingResponse(
            _events(live, watch, glance),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    return router


async def _events(live: LiveConfig, watch: Sampler, glance: StateCache) -> AsyncIterator[bytes]:
    told_calls, told_point = _marks(watch.overview.calls()), watch.last_point
    while not live.draining:
        yield _event("state", glance.now())
        # Not by their time alone: what another worker ended earlier may be seen later.
        calls = watch.overview.calls()
        new = [call for call in calls if _mark(call) not in told_calls][:MAX_NEW_CALLS]
        told_calls = _marks(calls)
        if new:
            traces = [trace_of(call, watch.overview) for call in new]
            yield _event("calls", CallTraces(calls=traces))
        if watch.last_point is not told_point and watch.last_point is not None:
            told_point = watch.last_point
            yield _event("point", HistoryEvent(point=told_point, step_s=STEP_S))
        await asyncio.sleep(EVERY_S)
    glance.forget()
    yield _event("state", glance.now())  # that it is draining


def _marks(calls: list[CallFinished]) -> set[Mark]:
    return {_mark(call) for call in calls}


def _mark(call: CallFinished) -> Mark:
    return call.record.request.id, call.ended_at


def _event(name: str, content: BaseModel) -> bytes:
    return f"event: {name}\ndata: {content.model_dump_json()}\n\n".encode()

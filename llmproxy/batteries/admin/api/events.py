"""`/admin/events`: a stream of server-sent events with the state, new calls and new chart points.

The stream ends when the proxy shuts down, so that no dashboard delays the shutdown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from llmproxy.batteries.admin.stats.history import HistoryPoint
from llmproxy.batteries.admin.stats.sampler import STEP_S, Sampler
from llmproxy.batteries.admin.stats.state import StateCache
from llmproxy.batteries.admin.stats.traces import CallTraces, trace_of
from llmproxy.events import CallFinished

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig

SEND_EVERY_S = 1.0
MAX_NEW_CALLS = 20


class HistoryEvent(BaseModel):
    """A step that has just ended."""

    point: HistoryPoint
    step_s: int


def event_routes(live: LiveConfig, sampler: Sampler, state_cache: StateCache) -> APIRouter:
    """Return the route of `/admin/events`."""
    router = APIRouter()

    @router.get("/events", response_class=StreamingResponse)
    async def events() -> StreamingResponse:
        """Send `state` each second, and `calls` and `point` when there are new ones."""
        return StreamingResponse(
            _events(live, sampler, state_cache),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    return router


async def _events(
    live: LiveConfig, sampler: Sampler, state_cache: StateCache
) -> AsyncIterator[bytes]:
    collector = sampler.collector
    sent_calls = {_key(call) for call in collector.calls()}
    sent_point = sampler.last_point
    while not live.draining:
        yield _event("state", await state_cache.json())
        # Compared by key, not by time: a call of another worker may appear late.
        calls = collector.calls()
        new = [call for call in calls if _key(call) not in sent_calls][:MAX_NEW_CALLS]
        sent_calls = {_key(call) for call in calls}
        if new:
            traces = CallTraces(calls=[trace_of(call) for call in new])
            yield _event("calls", traces.model_dump_json().encode())
        if sampler.last_point is not sent_point and sampler.last_point is not None:
            sent_point = sampler.last_point
            ended = HistoryEvent(point=sent_point, step_s=STEP_S)
            yield _event("point", ended.model_dump_json().encode())
        await asyncio.sleep(SEND_EVERY_S)
    state_cache.invalidate()
    yield _event("state", await state_cache.json())  # says that the proxy is draining


def _key(call: CallFinished) -> tuple[str, float]:
    return call.record.request.id, call.ended_at


def _event(name: str, content: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), content)

"""Health checks: `/livez` (the process runs), `/readyz` (it accepts traffic) and `/health` (the
state of every endpoint). None of them calls an endpoint, so none can hang.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

import llmproxy
from llmproxy.batteries.admin.probes import ALIVE, readiness
from llmproxy.batteries.admin.stats import finite
from llmproxy.batteries.admin.stats.certificate import TlsView, tls_view
from llmproxy.batteries.admin.stats.collector import StatsCollector
from llmproxy.batteries.admin.stats.database import DatabaseView, database_view
from llmproxy.batteries.admin.stats.slices import in_slices
from llmproxy.batteries.admin.stats.state import LostView, lost_view
from llmproxy.batteries.admin.stats.status import (
    AVAILABLE,
    EndpointStatus,
    ProxyStatus,
    SharedStateView,
    endpoint_status,
    proxy_status,
    shared_state_view,
    why_out,
    worst_of,
)
from llmproxy.routing import EndpointState, Group
from llmproxy.runtime import LiveConfig

if TYPE_CHECKING:
    from llmproxy.batteries.reload import Reloader


class CapacityLeft(BaseModel):
    """Limits per minute and what is left of them; null: no limit is known."""

    rpm: float | None
    tpm: float | None
    requests_left: float | None
    tokens_left: float | None


class EndpointHealth(BaseModel):
    """One endpoint of one group. `room_in_s`: seconds until it has capacity for a call; null: not
    by itself."""

    group: str
    endpoint: str
    available: bool
    breaker: Literal["closed", "open", "half-open"]
    why_not: str | None = None
    ready_in_s: float | None
    room_in_s: float | None
    capacity: CapacityLeft
    in_flight: int
    tier: int
    weight: int


class Estimate(BaseModel):
    """How accurately the input tokens of one kind of call are estimated."""

    calls: int
    median_error: float


class GroupHealth(BaseModel):
    """One model group: calls that wait for capacity, and the accuracy of its token estimates."""

    group: str
    waiting: int
    estimates: dict[str, Estimate]


class Health(BaseModel):
    """The proxy and its endpoints. `degraded`: a group has an endpoint out; `down`: all of them.
    `config_error`: why the config file as it is now is not served; the last good one is."""

    status: ProxyStatus
    version: str
    config_error: str | None
    in_flight: int
    lost: LostView
    shared: SharedStateView | None
    database: DatabaseView | None
    tls: TlsView | None
    groups: list[GroupHealth]
    endpoints: list[EndpointHealth]


class Probe(BaseModel):
    """The answer to a liveness or readiness probe."""

    status: str


def health_routes(
    live: LiveConfig, reloader: Reloader | None, collector: StatsCollector
) -> APIRouter:
    """Return the routes of `/livez`, `/readyz` and `/health`."""
    router = APIRouter()

    # `Probes` answers both before this application is made. The routes describe them, and say
    # which methods they have.

    @router.get("/livez")
    async def livez() -> Probe:
        """Return 200 while the process runs."""
        return Probe(status=ALIVE.status)

    @router.get("/readyz")
    async def readyz(response: Response) -> Probe:
        """Return 200 if the proxy accepts traffic, 503 while it drains."""
        answer = readiness(live)
        response.status_code = answer.code
        return Probe(status=answer.status)

    @router.get("/health", response_model=Health)
    async def health() -> Response:
        """Return the state of every endpoint."""
        found = await _health(live, reloader, collector)
        return Response(found.model_dump_json(), media_type="application/json")

    return router


async def _health(live: LiveConfig, reloader: Reloader | None, collector: StatsCollector) -> Health:
    runtime, now = live.runtime, monotonic()
    stats = await collector.stats()
    groups, statuses = runtime.pool.groups.values(), []
    endpoints: list[EndpointHealth] = []
    for group in groups:
        found = await in_slices(_endpoint_health(group.name, state, now) for state in group.states)
        statuses.append(worst_of(status for status, _ in found))
        endpoints += [endpoint for _, endpoint in found]
    return Health(
        status=proxy_status(live, statuses),
        version=llmproxy.__version__,
        config_error=None if reloader is None else reloader.loaded.error,
        in_flight=runtime.in_flight,
        lost=lost_view(stats.counters.calls.lost),
        shared=shared_state_view(runtime),
        database=database_view(collector, stats),
        tls=tls_view(collector),
        groups=[_group_health(group) for group in groups],
        endpoints=endpoints,
    )


def _group_health(group: Group) -> GroupHealth:
    return GroupHealth(
        group=group.name,
        waiting=len(group.queue),
        estimates={
            kind: Estimate(calls=accuracy.calls, median_error=accuracy.median_error)
            for kind, accuracy in group.estimates.errors().items()
        },
    )


def _endpoint_health(
    group: str, state: EndpointState, now: float
) -> tuple[EndpointStatus, EndpointHealth]:
    status = endpoint_status(state, now)
    available = status in AVAILABLE
    return status, EndpointHealth(
        group=group,
        endpoint=state.endpoint.name,
        available=available,
        breaker=state.breaker.state(now).value,
        why_not=None if available else why_out(state, now)[0],
        ready_in_s=finite(state.ready_at(now) - now),
        room_in_s=finite(state.available_in_s(0, now)),
        capacity=_left(state, now),
        in_flight=state.in_flight,
        tier=state.endpoint.tier,
        weight=state.endpoint.weight,
    )


def _left(state: EndpointState, now: float) -> CapacityLeft:
    rpm, tpm = state.capacity.limits
    requests, tokens = state.capacity.left(now)
    return CapacityLeft(rpm=rpm, tpm=tpm, requests_left=requests, tokens_left=tokens)

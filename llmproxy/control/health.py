"""The operator's app: liveness, readiness, and health endpoint by endpoint. FastAPI.

`/livez` says that the process runs, `/readyz` that it wants traffic, `/health` what it knows of
its endpoints. None of them asks an endpoint anything, so none can hang.
"""

from __future__ import annotations

from time import monotonic
from typing import Literal

from fastapi import FastAPI, Response
from pydantic import BaseModel

import llmproxy
from llmproxy.pool import EndpointState
from llmproxy.runtime import Runtime


class EndpointHealth(BaseModel):
    """One endpoint of one group, as it is now."""

    group: str
    endpoint: str
    available: bool
    breaker: Literal["closed", "open", "half-open"]
    why_not: str | None = None
    ready_in_s: float
    in_flight: int
    tier: int
    weight: int


class Health(BaseModel):
    """The proxy and its endpoints. `degraded`: a group has an endpoint out; `down`: all of them."""

    status: Literal["ok", "degraded", "down", "draining"]
    version: str
    in_flight: int
    endpoints: list[EndpointHealth]


class Probe(BaseModel):
    """The answer to a liveness or readiness probe."""

    status: str


def make_control(runtime: Runtime) -> FastAPI:
    """The operator's app for one Runtime."""
    documented = runtime.config.general_settings.expose_docs
    app = FastAPI(
        title="LLMProxy",
        version=llmproxy.__version__,
        openapi_url="/openapi.json" if documented else None,
        redoc_url=None,
    )

    @app.get("/livez")
    async def livez() -> Probe:
        """The process runs."""
        return Probe(status="alive")

    @app.get("/readyz")
    async def readyz(response: Response) -> Probe:
        """The proxy wants traffic (503 while it drains)."""
        if runtime.draining:
            response.status_code = 503
            return Probe(status="draining")
        return Probe(status="ready")

    @app.get("/health")
    async def health() -> Health:
        """What the proxy knows of its endpoints."""
        return health_of(runtime, monotonic())

    @app.get("/", include_in_schema=False)
    async def root() -> dict[str, str]:
        return {
            "name": "LLMProxy",
            "version": llmproxy.__version__,
            "api": "/v1",
            "health": "/health",
            "docs": "/docs",
        }

    return app


def health_of(runtime: Runtime, now: float) -> Health:
    """The state of every endpoint at a moment of the monotonic clock."""
    endpoints = [
        _endpoint_health(group.name, state, now)
        for group in runtime.pool.groups.values()
        for state in group.states
    ]
    out = {
        group.name: [not state.available(now) for state in group.states]
        for group in runtime.pool.groups.values()
    }
    status: Literal["ok", "degraded", "down", "draining"] = "ok"
    if runtime.draining:
        status = "draining"
    elif any(all(states) for states in out.values()):
        status = "down"
    elif any(any(states) for states in out.values()):
        status = "degraded"
    return Health(
        status=status,
        version=llmproxy.__version__,
        in_flight=runtime.admission.in_flight,
        endpoints=endpoints,
    )


def _endpoint_health(group: str, state: EndpointState, now: float) -> EndpointHealth:
    available = state.available(now)
    return EndpointHealth(
        group=group,
        endpoint=state.endpoint.name,
        available=available,
        breaker=state.breaker.state(now).value,
        why_not=None if available else state.why_not(0, now),
        ready_in_s=round(state.ready_at(now) - now, 3),
        in_flight=state.in_flight,
        tier=state.endpoint.tier,
        weight=state.endpoint.weight,
    )

"""The words of `/admin/state`: the proxy at one moment, for whoever shows it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from llmproxy.admin.conditions import Condition
from llmproxy.admin.figures import Recent, Totals
from llmproxy.admin.levels import Levels
from llmproxy.admin.standing import Shared, Standing, Status


class EndpointNow(BaseModel):
    """One endpoint of one group. `ready_in_s`: until it takes calls again; null: not by itself."""

    endpoint: str
    state: Condition
    why: str | None
    ready_in_s: float | None
    since: float
    tier: int
    weight: int
    breaker: Literal["closed", "open", "half-open"]
    drained: bool
    in_flight: int
    capacity: Levels
    recent: Recent


class GroupNow(BaseModel):
    """One model group. `degraded`: an endpoint is out; `down`: all are."""

    group: str
    status: Standing
    waiting: int
    in_flight: int
    recent: Recent
    endpoints: list[EndpointNow]


class ConfigNow(BaseModel):
    """The config that is served. `error`: why a newer one was refused."""

    source: str | None
    loaded_at: float
    reloads: int
    failed_reloads: int
    error: str | None
    error_at: float | None


class StoreNow(BaseModel):
    """The store behind the cache's memory."""

    connected: bool
    why: str | None


class CacheNow(BaseModel):
    """The cache: answers and bytes in memory."""

    entries: int
    bytes: int
    store: StoreNow | None


class Now(BaseModel):
    """The proxy, at this moment. Moments are Unix seconds."""

    version: str
    status: Status
    now: float
    started_at: float
    workers: int
    config: ConfigNow
    shared: Shared | None
    in_flight: int
    recent: Recent
    totals: Totals
    groups: list[GroupNow]
    cache: CacheNow | None

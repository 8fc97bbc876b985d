"""The content of `/admin/state`: the whole proxy at a moment, all workers together."""

from __future__ import annotations

from asyncio import Lock
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Literal

from msgspec.structs import asdict
from pydantic import BaseModel

import llmproxy
from llmproxy.batteries.admin.stats import finite
from llmproxy.batteries.admin.stats.certificate import TlsView, tls_view
from llmproxy.batteries.admin.stats.collector import CacheGauges, GroupGauges, cache_of
from llmproxy.batteries.admin.stats.database import DatabaseView, database_view
from llmproxy.batteries.admin.stats.levels import EndpointGauges, LimitsView, limits_view
from llmproxy.batteries.admin.stats.sampler import Sampler
from llmproxy.batteries.admin.stats.slices import in_slices, pause_s
from llmproxy.batteries.admin.stats.slowness import SlowView
from llmproxy.batteries.admin.stats.status import (
    EndpointStatus,
    GroupStatus,
    ProxyStatus,
    SharedStateView,
    endpoint_status,
    proxy_status,
    shared_state_view,
    why_out,
    worst_of,
)
from llmproxy.batteries.admin.stats.summary import (
    RecentStats,
    TotalStats,
    recent_of_endpoint,
    recent_of_groups,
    totals_of,
)
from llmproxy.batteries.settings import full
from llmproxy.batteries.telemetry.counters import EndpointCounters, GroupCounters
from llmproxy.routing import EndpointState, Group

if TYPE_CHECKING:
    from llmproxy.batteries.reload import Reloader
    from llmproxy.runtime import LiveConfig


class EndpointView(BaseModel):
    """One endpoint of one group.

    `why` is a sentence; `reason` is the failure behind it, such as `throttled`. `probing`: a
    half-open breaker waits for the outcome of a probe; no other call is let through.
    `ready_in_s`: seconds until it takes calls again; null: not by itself. `slow`: it answers, but
    far more slowly than it usually does; null otherwise.
    """

    endpoint: str
    state: EndpointStatus
    why: str | None
    reason: str | None
    probing: bool
    ready_in_s: float | None
    since: float
    tier: int
    weight: int
    breaker: Literal["closed", "open", "half-open"]
    drained: bool
    slow: SlowView | None
    in_flight: int
    capacity: LimitsView
    recent: RecentStats


class GroupView(BaseModel):
    """One model group. `degraded`: an endpoint is out; `down`: all endpoints are out."""

    group: str
    status: GroupStatus
    waiting: int
    in_flight: int
    recent: RecentStats
    endpoints: list[EndpointView]


class ConfigView(BaseModel):
    """The config in use. `source`: the file that is read again when it changes. `error`: why a
    newer one was refused."""

    source: str | None
    loaded_at: float
    reloads: int
    failed_reloads: int
    error: str | None
    error_at: float | None


class StoreView(BaseModel):
    """The store behind the cache's memory."""

    connected: bool
    why: str | None


class CacheView(BaseModel):
    """The answer cache. `entries` and `bytes` are in memory."""

    entries: int
    bytes: int
    store: StoreView | None


class LostView(BaseModel):
    """Calls since the start that are missing in a log or in the traces: its reader was too slow."""

    access_log: int
    traces: int


class ProxyView(BaseModel):
    """The proxy at a moment. Times are Unix seconds."""

    version: str
    status: ProxyStatus
    now: float
    started_at: float
    workers: int
    config: ConfigView
    shared: SharedStateView | None
    in_flight: int
    recent: RecentStats
    totals: TotalStats
    groups: list[GroupView]
    cache: CacheView | None
    database: DatabaseView | None
    tls: TlsView | None
    failed_connections: dict[str, int]
    lost: LostView


class StateCache:
    """Computes the state at most twice a second, for everything that asks for it.

    With many endpoints it does so less often, so that it takes some 1 % of a core.
    """

    def __init__(self, live: LiveConfig, sampler: Sampler, reloader: Reloader | None) -> None:
        self._live = live
        self._reloader = reloader
        self._sampler = sampler
        self._cached: tuple[ProxyView, bytes] | None = None
        self._due_at = 0.0
        self._one_at_a_time = Lock()

    async def state(self) -> ProxyView:
        """Return the state, at most half a second old, or some seconds with many endpoints."""
        return (await self._both())[0]

    async def json(self) -> bytes:
        """Return the same as JSON."""
        return (await self._both())[1]

    async def _both(self) -> tuple[ProxyView, bytes]:
        async with self._one_at_a_time:
            if self._cached is None or monotonic() >= self._due_at:
                self._due_at = monotonic() + pause_s(self._live.runtime.pool.groups.values())
                view = await _proxy_view(self._live, self._sampler, self._reloader)
                self._cached = view, view.model_dump_json().encode()
            return self._cached

    def invalidate(self) -> None:
        """Compute the state anew next time, because an operator changed something."""
        self._due_at = 0.0


async def _proxy_view(live: LiveConfig, sampler: Sampler, reloader: Reloader | None) -> ProxyView:
    runtime, stats = live.runtime, await sampler.collector.stats()
    step, seconds = sampler.recent(stats.counters)
    recent = step.calls.groups
    groups = [
        await _group_view(
            group,
            sampler,
            recent.get(group.name, GroupCounters()),
            stats.gauges.groups.get(group.name, GroupGauges()),
            seconds,
        )
        for group in runtime.pool.groups.values()
    ]
    return ProxyView(
        version=llmproxy.__version__,
        status=proxy_status(live, [group.status for group in groups]),
        now=sampler.wall(),
        started_at=sampler.started_at,
        workers=sampler.collector.workers,
        config=_config_view(reloader, sampler.started_at),
        shared=shared_state_view(runtime),
        in_flight=stats.gauges.in_flight,
        recent=recent_of_groups(recent.values(), seconds),
        totals=totals_of(stats.counters),
        groups=groups,
        cache=_cache_view(live, stats.gauges.cache),
        database=database_view(sampler.collector, stats),
        tls=tls_view(sampler.collector),
        failed_connections=stats.counters.failed_connections,
        lost=lost_view(stats.counters.calls.lost),
    )


def lost_view(lost: dict[str, int]) -> LostView:
    """Return what the logs of all workers have lost."""
    return LostView(access_log=lost.get("access_log", 0), traces=lost.get("traces", 0))


async def _group_view(
    group: Group, sampler: Sampler, recent: GroupCounters, gauges: GroupGauges, seconds: float
) -> GroupView:
    quiet = recent_of_endpoint(EndpointCounters(), seconds)

    def views() -> Iterator[EndpointView]:
        for state in group.states:
            name = state.endpoint.name
            attempts = recent.endpoints.get(name)
            unknown_costs = recent.unknown_costs.get(name, 0)
            yield _endpoint_view(
                state,
                sampler,
                group.name,
                gauges.endpoints.get(name, EndpointGauges()),
                quiet if attempts is None else recent_of_endpoint(attempts, seconds, unknown_costs),
            )

    endpoints = await in_slices(views())
    return GroupView(
        group=group.name,
        status=worst_of(endpoint.state for endpoint in endpoints),
        waiting=gauges.waiting,
        in_flight=gauges.in_flight,
        recent=recent_of_groups([recent], seconds),
        endpoints=endpoints,
    )


def _endpoint_view(
    state: EndpointState, sampler: Sampler, group: str, gauges: EndpointGauges, recent: RecentStats
) -> EndpointView:
    now, name = monotonic(), state.endpoint.name
    status, (why, reason) = endpoint_status(state, now), why_out(state, now)
    ready_in_s = max(state.ready_at(now) - now, state.available_in_s(0, now))
    return EndpointView(
        endpoint=name,
        state=status,
        why=None if status is EndpointStatus.OK else why,
        reason=reason,
        probing=status is EndpointStatus.HALF_OPEN and not state.available(now),
        ready_in_s=finite(ready_in_s),
        since=sampler.since(group, name),
        tier=state.endpoint.tier,
        weight=state.endpoint.weight,
        breaker=state.breaker.state(now).value,
        drained=state.drained,
        slow=sampler.slowness.of(group, name),
        in_flight=gauges.in_flight,
        capacity=limits_view(state.endpoint.limits, gauges),
        recent=recent,
    )


def _config_view(reloader: Reloader | None, started_at: float) -> ConfigView:
    if reloader is not None:
        return ConfigView(source=str(reloader.file.path), **asdict(reloader.loaded))
    return ConfigView(
        source=None,
        loaded_at=started_at,
        reloads=0,
        failed_reloads=0,
        error=None,
        error_at=None,
    )


def _cache_view(live: LiveConfig, gauges: CacheGauges) -> CacheView | None:
    if not full(live.runtime.config.general_settings).cache:
        return None
    l2 = cache_of(live.runtime).l2
    store = None if l2 is None else StoreView(connected=l2.connected, why=l2.why)
    return CacheView(entries=gauges.answers, bytes=gauges.bytes, store=store)

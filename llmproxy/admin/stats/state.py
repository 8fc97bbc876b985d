"""`/admin/state`: everything that an operator wants to see at a glance, of all workers together."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from msgspec.structs import asdict

import llmproxy
from llmproxy.admin.stats import finite
from llmproxy.admin.stats.levels import limits_view
from llmproxy.admin.stats.sampler import Sampler
from llmproxy.admin.stats.status import (
    endpoint_status,
    group_status,
    proxy_status,
    reason_of,
    shared_state_view,
)
from llmproxy.admin.stats.summary import RecentStats, recent_at, recent_of_all, totals_of
from llmproxy.routing import EndpointState, Group
from llmproxy.telemetry.counters import Tree

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig


from typing import Literal

from pydantic import BaseModel

from llmproxy.admin.stats.levels import LimitsView
from llmproxy.admin.stats.status import EndpointStatus, GroupStatus, ProxyStatus, SharedStateView
from llmproxy.admin.stats.summary import TotalStats


class EndpointView(BaseModel):
    """One endpoint of one group.

    `why` is a sentence; `reason` is the failure behind it, such as `throttled`. `probing`: a
    half-open breaker waits for the outcome of a probe; no other call is let through.
    `ready_in_s`: seconds until it takes calls again; null: not by itself.
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
    in_flight: int
    capacity: LimitsView
    recent: RecentStats


class GroupView(BaseModel):
    """One model group. `degraded`: an endpoint is out; `down`: all are."""

    group: str
    status: GroupStatus
    waiting: int
    in_flight: int
    recent: RecentStats
    endpoints: list[EndpointView]


class ConfigView(BaseModel):
    """The config that is served. `error`: why a newer one was refused."""

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
    """The cache: answers and bytes in memory."""

    entries: int
    bytes: int
    store: StoreView | None


class ProxyView(BaseModel):
    """The proxy, at this moment. Moments are Unix seconds."""

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


class StateCache:
    """Looks once for all who ask within half a second."""

    def __init__(self, live: LiveConfig, watch: Sampler) -> None:
        self._live = live
        self._watch = watch
        self._seen: ProxyView | None = None
        self._seen_at = 0.0

    def now(self) -> ProxyView:
        """How it is."""
        moment = monotonic()
        if self._seen is None or moment - self._seen_at > 0.5:
            self._seen, self._seen_at = _look(self._live, self._watch), moment
        return self._seen

    def forget(self) -> None:
        """Something was changed on purpose: look again."""
        self._seen = None


def _look(live: LiveConfig, watch: Sampler) -> ProxyView:
    runtime, numbers = live.runtime, watch.overview.numbers()
    step, seconds = watch.recent(numbers.counters)
    groups = [
        _group_now(group, watch, step["calls"]["groups"], numbers.gauges, seconds)
        for group in runtime.pool.groups.values()
    ]
    return ProxyView(
        version=llmproxy.__version__,
        status=proxy_status(live, [each.status for each in groups]),
        now=watch.wall(),
        started_at=watch.started_at,
        workers=watch.overview.workers,
        config=_config_now(live),
        shared=shared_state_view(runtime),
        in_flight=numbers.gauges["in_flight"],
        recent=recent_of_all(step["calls"]["groups"], seconds),
        totals=totals_of(numbers.counters),
        groups=groups,
        cache=_cache_now(live, numbers.gauges["cache"]),
    )


def _group_now(
    group: Group, watch: Sampler, recent: Tree, gauges: Tree, seconds: float
) -> GroupView:
    now = monotonic()
    mine, gauge = recent.get(group.name, {}), gauges["groups"].get(group.name, {})
    attempts, gauges_at = mine.get("endpoints", {}), gauge.get("endpoints", {})
    endpoints = [
        _endpoint_now(
            state,
            watch.since(group.name, state.endpoint.name),
            gauges_at.get(state.endpoint.name, {}),
            recent_at(attempts.get(state.endpoint.name), seconds),
            now,
        )
        for state in group.states
    ]
    return GroupView(
        group=group.name,
        status=group_status(group, now),
        waiting=gauge.get("waiting", 0),
        in_flight=gauge.get("in_flight", 0),
        recent=recent_of_all({group.name: mine} if mine else {}, seconds),
        endpoints=endpoints,
    )


def _endpoint_now(
    state: EndpointState, since: float, gauges: Tree, recent: RecentStats, now: float
) -> EndpointView:
    condition = endpoint_status(state, now)
    ready_in_s = max(state.ready_at(now) - now, state.available_in_s(0, now))
    return EndpointView(
        endpoint=state.endpoint.name,
        state=condition,
        why=None if condition == "ok" else state.why_not(0, now),
        reason=reason_of(state, now),
        probing=condition == "half-open" and not state.available(now),
        ready_in_s=finite(ready_in_s),
        since=since,
        tier=state.endpoint.tier,
        weight=state.endpoint.weight,
        breaker=state.breaker.state(now).value,
        drained=state.drained,
        in_flight=gauges.get("in_flight", 0),
        capacity=limits_view(state.endpoint.limits, gauges),
        recent=recent,
    )


def _config_now(live: LiveConfig) -> ConfigView:
    source = None if live.file is None else str(live.file.path)
    return ConfigView(source=source, **asdict(live.loaded))


def _cache_now(live: LiveConfig, gauges: Tree) -> CacheView | None:
    if not live.runtime.config.general_settings.cache:
        return None
    second = live.runtime.cache.l2
    store = None if second is None else StoreView(connected=second.connected, why=second.why)
    return CacheView(entries=gauges["answers"], bytes=gauges["bytes"], store=store)

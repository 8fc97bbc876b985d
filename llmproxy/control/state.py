"""`/admin/state`: everything that an operator wants to see at a glance, of all workers together."""

from __future__ import annotations

from math import isinf
from time import monotonic
from typing import TYPE_CHECKING, Literal

from msgspec.structs import asdict
from pydantic import BaseModel

import llmproxy
from llmproxy.control.conditions import Condition, condition_of
from llmproxy.control.history import in_ms
from llmproxy.control.watch import Watch
from llmproxy.pool import EndpointState, Group
from llmproxy.rules.tally import SECONDS, Tree, plus, quantile

if TYPE_CHECKING:
    from llmproxy.runtime import Live

Health = Literal["ok", "degraded", "down"]


class Recent(BaseModel):
    """The last 60 s. Of an endpoint: `calls` are attempts that ended there, `errors` those that
    failed."""

    calls: int
    errors: int
    error_rate: float
    calls_per_s: float
    input_tokens: int
    output_tokens: int
    cost_usd: float
    first_byte_p50_ms: float | None
    first_byte_p99_ms: float | None


class Level(BaseModel):
    """One limit: all of it as it is now, what is left of it, and what the config says.

    Per minute for requests and tokens.
    """

    limit: float
    left: float
    configured: int | None


class Levels(BaseModel):
    """Null: no limit is known."""

    requests: Level | None
    tokens: Level | None
    concurrent: Level | None


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
    status: Health
    waiting: int
    in_flight: int
    recent: Recent
    endpoints: list[EndpointNow]


class Totals(BaseModel):
    """Since the start."""

    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float
    cache_hits: int
    cache_misses: int
    saved_tokens: int
    saved_usd: float
    retries: int
    failovers: int
    streams_interrupted: int


class ConfigNow(BaseModel):
    """The config that is served. `error`: why a newer one was refused."""

    source: str | None
    loaded_at: float
    reloads: int
    failed_reloads: int
    error: str | None
    error_at: float | None


class SharedNow(BaseModel):
    """What is known together with other instances."""

    connected: bool
    instances: int
    why: str | None
    since_s: float


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
    status: Literal["ok", "degraded", "down", "draining"]
    now: float
    started_at: float
    workers: int
    config: ConfigNow
    shared: SharedNow | None
    in_flight: int
    recent: Recent
    totals: Totals
    groups: list[GroupNow]
    cache: CacheNow | None


class Glance:
    """Looks once for all who ask within half a second."""

    def __init__(self, live: Live, watch: Watch) -> None:
        self._live = live
        self._watch = watch
        self._seen: Now | None = None
        self._seen_at = 0.0

    def now(self) -> Now:
        """How it is."""
        moment = monotonic()
        if self._seen is None or moment - self._seen_at > 0.5:
            self._seen, self._seen_at = _look(self._live, self._watch), moment
        return self._seen

    def forget(self) -> None:
        """Something was changed on purpose: look again."""
        self._seen = None


def _look(live: Live, watch: Watch) -> Now:
    runtime, numbers = live.runtime, watch.overview.numbers()
    step, seconds = watch.recent(numbers.counters)
    groups = [
        _group_now(group, watch, step["tally"]["groups"], numbers.gauges, seconds)
        for group in runtime.pool.groups.values()
    ]
    return Now(
        version=llmproxy.__version__,
        status="draining" if live.draining else worst([each.status for each in groups]),
        now=watch.wall(),
        started_at=watch.started_at,
        workers=watch.overview.workers,
        config=_config_now(live),
        shared=_shared_now(live),
        in_flight=numbers.gauges["in_flight"],
        recent=_recent_of_all(step["tally"]["groups"], seconds),
        totals=_totals(numbers.counters),
        groups=groups,
        cache=_cache_now(live, numbers.gauges["cache"]),
    )


def worst(each: list[Health]) -> Health:
    """Of the groups."""
    if "down" in each:
        return "down"
    return "degraded" if "degraded" in each else "ok"


def _group_now(group: Group, watch: Watch, recent: Tree, gauges: Tree, seconds: float) -> GroupNow:
    now = monotonic()
    mine, gauge = recent.get(group.name, {}), gauges["groups"].get(group.name, {})
    attempts, under_way = mine.get("endpoints", {}), gauge.get("endpoints", {})
    endpoints = [
        _endpoint_now(
            state,
            watch.since(group.name, state.endpoint.name),
            under_way.get(state.endpoint.name, 0),
            _recent_at(attempts.get(state.endpoint.name), seconds),
            now,
        )
        for state in group.states
    ]
    out = [not state.available(now) for state in group.states]
    return GroupNow(
        group=group.name,
        status="down" if all(out) else "degraded" if any(out) else "ok",
        waiting=gauge.get("waiting", 0),
        in_flight=gauge.get("in_flight", 0),
        recent=_recent_of_all({group.name: mine} if mine else {}, seconds),
        endpoints=endpoints,
    )


def _endpoint_now(
    state: EndpointState, since: float, in_flight: int, recent: Recent, now: float
) -> EndpointNow:
    condition = condition_of(state, now)
    ready_in_s = max(state.ready_at(now) - now, state.room_in_s(0, now))
    return EndpointNow(
        endpoint=state.endpoint.name,
        state=condition,
        why=None if condition == "ok" else state.why_not(0, now),
        ready_in_s=None if isinf(ready_in_s) else round(ready_in_s, 3),
        since=since,
        tier=state.endpoint.tier,
        weight=state.endpoint.weight,
        breaker=state.breaker.state(now).value,
        drained=state.drained,
        in_flight=in_flight,
        capacity=_levels(state, in_flight, now),
        recent=recent,
    )


def _levels(state: EndpointState, in_flight: int, now: float) -> Levels:
    configured = state.endpoint.limits
    (rpm, tpm), (requests, tokens) = state.capacity.limits, state.capacity.left(now)
    places = configured.concurrent
    return Levels(
        requests=_level(rpm, requests, configured.rpm),
        tokens=_level(tpm, tokens, configured.tpm),
        concurrent=_level(places, None if places is None else places - in_flight, places),
    )


def _level(limit: float | None, left: float | None, configured: int | None) -> Level | None:
    if limit is None or left is None:
        return None
    return Level(limit=limit, left=round(min(max(0.0, left), limit), 1), configured=configured)


def _recent_at(attempts: Tree | None, seconds: float) -> Recent:
    """Of an endpoint's attempts."""
    if attempts is None:
        return _recent(0, 0, [], seconds, {})
    failed = sum(attempts["failed"].values())
    ended = attempts["answered"] + failed
    errors = failed + attempts["interrupted"]
    return _recent(ended, errors, attempts["first_byte"]["counts"], seconds, attempts)


def _recent_of_all(groups: Tree, seconds: float) -> Recent:
    """Of the calls for some groups."""
    calls = errors = 0
    waits: Tree = {"counts": []}
    spent: Tree = {}
    for group in groups.values():
        calls += calls_in(group)
        errors += group["errors"]
        waits = plus(waits, {"counts": group["first_byte"]["counts"]})
        for each in group["endpoints"].values():
            spent = plus(spent, {name: each[name] for name in SPENT})
    return _recent(calls, errors, waits["counts"], seconds, spent)


SPENT = ("input_tokens", "output_tokens", "cached_tokens", "cost_usd", "interrupted")


def calls_in(group: Tree) -> int:
    """All calls for a group, however they ended."""
    return sum(sum(kinds.values()) for kinds in group["calls"].values())


def _recent(calls: int, errors: int, waits: list[int], seconds: float, spent: Tree) -> Recent:
    return Recent(
        calls=calls,
        errors=errors,
        error_rate=round(errors / calls, 4) if calls else 0.0,
        calls_per_s=round(calls / seconds, 2),
        input_tokens=spent.get("input_tokens", 0),
        output_tokens=spent.get("output_tokens", 0),
        cost_usd=round(spent.get("cost_usd", 0.0), 6),
        first_byte_p50_ms=in_ms(quantile(waits, 0.5, SECONDS)) if waits else None,
        first_byte_p99_ms=in_ms(quantile(waits, 0.99, SECONDS)) if waits else None,
    )


def _totals(counters: Tree) -> Totals:
    groups, cache = counters["tally"]["groups"].values(), counters["cache"]
    endpoints = [each for group in groups for each in group["endpoints"].values()]

    def spent(name: str) -> int:
        return sum(each[name] for each in endpoints)

    return Totals(
        calls=sum(map(calls_in, groups)),
        errors=sum(group["errors"] for group in groups),
        input_tokens=spent("input_tokens"),
        output_tokens=spent("output_tokens"),
        cached_tokens=spent("cached_tokens"),
        cost_usd=round(spent("cost_usd"), 6),
        cache_hits=cache["hits"] + cache["stale"] + cache["coalesced"],
        cache_misses=cache["misses"],
        saved_tokens=cache["saved_input_tokens"] + cache["saved_output_tokens"],
        saved_usd=round(cache["saved_usd"], 6),
        retries=sum(sum(each["retried"].values()) for each in endpoints),
        failovers=sum(sum(each["moved"].values()) for each in endpoints),
        streams_interrupted=spent("interrupted"),
    )


def _config_now(live: Live) -> ConfigNow:
    source = None if live.file is None else str(live.file.path)
    return ConfigNow(source=source, **asdict(live.loaded))


def _shared_now(live: Live) -> SharedNow | None:
    shared = live.runtime.shared
    if shared is None:
        return None
    status = shared.status(monotonic())
    return SharedNow(
        connected=status.connected,
        instances=status.instances,
        why=status.why,
        since_s=round(status.since_s, 3),
    )


def _cache_now(live: Live, gauges: Tree) -> CacheNow | None:
    if not live.runtime.config.general_settings.cache:
        return None
    second = live.runtime.cache.second
    store = None if second is None else StoreNow(connected=second.connected, why=second.why)
    return CacheNow(entries=gauges["answers"], bytes=gauges["bytes"], store=store)

"""Statistics of the last minute and since the start, computed from the counters."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import reduce

from pydantic import BaseModel

from llmproxy.batteries.admin.stats import optional_ms
from llmproxy.batteries.admin.stats.collector import Counters
from llmproxy.batteries.cache import CacheCounters
from llmproxy.batteries.money import NANO
from llmproxy.batteries.telemetry.counters import (
    EndpointCounters,
    GroupCounters,
    Histogram,
    histogram,
    plus,
    quantile,
)


class RecentStats(BaseModel):
    """The last 60 s.

    For an endpoint, `calls` are attempts that ended there and `errors` the attempts that failed.
    `cached_tokens` are a part of the input tokens: what vendors had in their prompt caches.
    `cost_usd` lacks the `unknown_cost_calls`, whose tokens or price are not known.
    """

    calls: int
    errors: int
    error_rate: float
    calls_per_s: float
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float
    unknown_cost_calls: int = 0
    prompt_cache_saved_usd: float
    first_byte_p50_ms: float | None
    first_byte_p99_ms: float | None


class TotalStats(BaseModel):
    """Everything since the start."""

    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float
    unknown_cost_calls: int
    prompt_cache_saved_usd: float
    cache_hits: int
    cache_misses: int
    saved_tokens: int
    saved_usd: float
    retries: int
    failovers: int
    streams_interrupted: int


def recent_of_endpoint(
    attempts: EndpointCounters, seconds: float, unknown_costs: int = 0
) -> RecentStats:
    """Return the recent attempts at one endpoint. `unknown_costs`: calls that it answered."""
    failed = sum(attempts.failed.values())
    ended, errors = attempts.answered + failed, failed + attempts.interrupted
    recent = _recent(ended, errors, attempts.first_byte, seconds, [attempts])
    recent.unknown_cost_calls = unknown_costs
    return recent


def recent_of_groups(groups: Collection[GroupCounters], seconds: float) -> RecentStats:
    """Return the recent calls for some groups together."""
    recent = _recent(
        sum(map(count_calls, groups)),
        sum(group.errors for group in groups),
        reduce(plus, (group.first_byte for group in groups), histogram()),
        seconds,
        [endpoint for group in groups for endpoint in group.endpoints.values()],
    )
    recent.unknown_cost_calls = _count_unknown_costs(groups)
    return recent


def _recent(
    calls: int,
    errors: int,
    first_byte: Histogram,
    seconds: float,
    endpoints: Collection[EndpointCounters],
) -> RecentStats:
    return RecentStats(
        calls=calls,
        errors=errors,
        error_rate=round(errors / calls, 4) if calls else 0.0,
        calls_per_s=round(calls / seconds, 2),
        input_tokens=sum(endpoint.input_tokens for endpoint in endpoints),
        output_tokens=sum(endpoint.output_tokens for endpoint in endpoints),
        cached_tokens=sum(endpoint.prompt_cache.tokens for endpoint in endpoints),
        cost_usd=_usd(endpoint.nano_usd for endpoint in endpoints),
        prompt_cache_saved_usd=_usd(endpoint.prompt_cache.saved_nano_usd for endpoint in endpoints),
        first_byte_p50_ms=optional_ms(quantile(first_byte.counts, 0.5)),
        first_byte_p99_ms=optional_ms(quantile(first_byte.counts, 0.99)),
    )


def totals_of(counters: Counters) -> TotalStats:
    """Return the totals of all groups and of the cache."""
    groups, cache = counters.calls.groups.values(), counters.cache
    endpoints = [endpoint for group in groups for endpoint in group.endpoints.values()]
    return TotalStats(
        calls=sum(map(count_calls, groups)),
        errors=sum(group.errors for group in groups),
        input_tokens=sum(endpoint.input_tokens for endpoint in endpoints),
        output_tokens=sum(endpoint.output_tokens for endpoint in endpoints),
        cached_tokens=sum(endpoint.prompt_cache.tokens for endpoint in endpoints),
        cost_usd=_usd(endpoint.nano_usd for endpoint in endpoints),
        unknown_cost_calls=_count_unknown_costs(groups),
        prompt_cache_saved_usd=_usd(endpoint.prompt_cache.saved_nano_usd for endpoint in endpoints),
        cache_hits=count_hits(cache),
        cache_misses=cache.misses,
        saved_tokens=cache.saved_input_tokens + cache.saved_output_tokens,
        saved_usd=_usd([cache.saved_nano_usd]),
        retries=sum(sum(endpoint.retried.values()) for endpoint in endpoints),
        failovers=sum(sum(endpoint.moved.values()) for endpoint in endpoints),
        streams_interrupted=sum(endpoint.interrupted for endpoint in endpoints),
    )


def _count_unknown_costs(groups: Iterable[GroupCounters]) -> int:
    return sum(sum(group.unknown_costs.values()) for group in groups)


def _usd(amounts: Iterable[int]) -> float:
    """Return the dollars of a sum of nano-dollars."""
    return round(sum(amounts) / NANO, 6)


def count_calls(group: GroupCounters) -> int:
    """Count the calls for a group, however they ended."""
    return sum(sum(by_status.values()) for by_status in group.calls.values())


def count_hits(cache: CacheCounters) -> int:
    """Count the calls that the cache answered."""
    return cache.hits + cache.stale + cache.coalesced

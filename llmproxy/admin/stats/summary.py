"""The figures of the last minute and since the start, from what was counted."""

from __future__ import annotations

from pydantic import BaseModel

from llmproxy.admin.stats import in_ms
from llmproxy.telemetry.counters import SECONDS, Tree, plus, quantile


class RecentStats(BaseModel):
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


class TotalStats(BaseModel):
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


def recent_at(attempts: Tree | None, seconds: float) -> RecentStats:
    """Of an endpoint's attempts."""
    if attempts is None:
        return _recent(0, 0, [], seconds, {})
    failed = sum(attempts["failed"].values())
    ended = attempts["answered"] + failed
    errors = failed + attempts["interrupted"]
    return _recent(ended, errors, attempts["first_byte"]["counts"], seconds, attempts)


def recent_of_all(groups: Tree, seconds: float) -> RecentStats:
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


def _recent(calls: int, errors: int, waits: list[int], seconds: float, spent: Tree) -> RecentStats:
    return RecentStats(
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


def totals_of(counters: Tree) -> TotalStats:
    """Of all groups, and of the cache."""
    groups, cache = counters["calls"]["groups"].values(), counters["cache"]
    endpoints = [each for group in groups for each in group["endpoints"].values()]

    def spent(name: str) -> int:
        return sum(each[name] for each in endpoints)

    return TotalStats(
        calls=sum(map(calls_in, groups)),
        errors=sum(group["errors"] for group in groups),
        input_tokens=spent("input_tokens"),
        output_tokens=spent("output_tokens"),
        cached_tokens=spent("cached_tokens"),
        cost_usd=round(spent("cost_usd"), 6),
        cache_hits=hits_in(cache),
        cache_misses=cache["misses"],
        saved_tokens=cache["saved_input_tokens"] + cache["saved_output_tokens"],
        saved_usd=round(cache["saved_usd"], 6),
        retries=sum(sum(each["retried"].values()) for each in endpoints),
        failovers=sum(sum(each["moved"].values()) for each in endpoints),
        streams_interrupted=spent("interrupted"),
    )


def calls_in(group: Tree) -> int:
    """All calls for a group, however they ended."""
    return sum(sum(kinds.values()) for kinds in group["calls"].values())


def hits_in(cache: Tree) -> int:
    """All calls that the cache answered."""
    hits: int = cache["hits"] + cache["stale"] + cache["coalesced"]
    return hits

"""What happened over the last minutes and hours, in steps: the curves of the dashboard.

A step is the difference between two moments of the same counters. Of steps in which nothing
happened nothing is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec
from pydantic import BaseModel

from llmproxy.admin.stats import in_ms
from llmproxy.admin.stats.summary import calls_in, hits_in
from llmproxy.telemetry.counters import OVERHEAD_SECONDS, Tree, minus, plus, quantile


class HistoryPoint(BaseModel):
    """One step; `at` is the Unix time of its beginning."""

    at: float
    calls: int = 0
    errors: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    cache_hits: int = 0
    cache_misses: int = 0
    first_byte_p50_ms: float | None = None
    first_byte_p99_ms: float | None = None
    total_p50_ms: float | None = None
    total_p99_ms: float | None = None
    overhead_p50_ms: float | None = None


class TimeSeries:
    """The last `length` steps of `step_s` seconds. Owns the counters as of the last step.

    Kept packed: a step of a hundred groups takes some 20 kB.
    """

    def __init__(self, step_s: int, length: int, counters: Tree, now: float) -> None:
        self.step_s = step_s
        self._length = length
        self._before = counters
        self._begun_at = self._step_of(now)
        self._steps: deque[tuple[int, bytes]] = deque(maxlen=length)

    def is_due(self, now: float) -> bool:
        """Whether the step that has begun is over."""
        return self._step_of(now) > self._begun_at

    def end_step(self, counters: Tree, now: float) -> HistoryPoint:
        """The step is over; returns its point of all groups together."""
        step = minus(counters, self._before)
        groups = {
            name: point.model_dump(exclude_defaults=True)
            for name, point in _points(self._begun_at, step)
        }
        if groups:
            self._steps.append((self._begun_at, msgspec.msgpack.encode(groups)))
        at, self._before, self._begun_at = self._begun_at, counters, self._step_of(now)
        return HistoryPoint(at=at, **_without_at(groups.get("")))

    def points(self, now: float, group: str | None = None) -> list[HistoryPoint]:
        """The whole steps until now, oldest first; those in which nothing happened are zeros."""
        kept = {at: msgspec.msgpack.decode(packed) for at, packed in self._steps}
        last = self._step_of(now) - self.step_s
        first = last - (self._length - 1) * self.step_s
        return [
            HistoryPoint(at=at, **_without_at(kept.get(at, {}).get(group or "")))
            for at in range(first, last + 1, self.step_s)
        ]

    def _step_of(self, now: float) -> int:
        return int(now // self.step_s) * self.step_s


def _without_at(members: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (members or {}).items() if name != "at"}


def _points(at: float, step: Tree) -> Iterator[tuple[str, HistoryPoint]]:
    """Of each group in which something happened; "" is all of them together, with the cache."""
    everything: Tree = {}
    for name, group in step["calls"]["groups"].items():
        summed = _sums_of(group)
        everything = plus(everything, summed)
        if name and summed["calls"]:
            yield name, _point(at, summed)
    cache = step["cache"]
    whole = _point(at, everything) if everything else HistoryPoint(at=at)
    whole.cache_hits = hits_in(cache)
    whole.cache_misses = cache["misses"]
    whole.saved_usd = cache["saved_usd"]
    if whole.calls or whole.cache_misses:
        yield "", whole


def _sums_of(group: Tree) -> Tree:
    """What a curve needs of one group."""
    endpoints = group["endpoints"].values()
    return {
        "calls": calls_in(group),
        "errors": group["errors"],
        "retries": sum(
            sum(each["retried"].values()) + sum(each["moved"].values()) for each in endpoints
        ),
        "input_tokens": sum(each["input_tokens"] for each in endpoints),
        "output_tokens": sum(each["output_tokens"] for each in endpoints),
        "cost_usd": sum(each["cost_usd"] for each in endpoints),
        "first_byte": group["first_byte"]["counts"],
        "total": group["total"]["counts"],
        "overhead": group["overhead"]["counts"],
    }


def _point(at: float, sums: Tree) -> HistoryPoint:
    plain = {
        name: value
        for name, value in sums.items()
        if name not in ("first_byte", "total", "overhead")
    }
    return HistoryPoint(
        at=at,
        **plain,
        first_byte_p50_ms=in_ms(quantile(sums["first_byte"], 0.5)),
        first_byte_p99_ms=in_ms(quantile(sums["first_byte"], 0.99)),
        total_p50_ms=in_ms(quantile(sums["total"], 0.5)),
        total_p99_ms=in_ms(quantile(sums["total"], 0.99)),
        overhead_p50_ms=in_ms(quantile(sums["overhead"], 0.5, OVERHEAD_SECONDS)),
    )

"""Time series for the dashboard's charts: what happened in each step of a few seconds or minutes.

A step is the difference between the counters at two moments. Steps without traffic are not stored.
"""

from __future__ import annotations

from collections import deque
from functools import reduce

import msgspec
from pydantic import BaseModel

from llmproxy.batteries.admin.stats import optional_ms
from llmproxy.batteries.admin.stats.collector import Counters
from llmproxy.batteries.admin.stats.summary import count_calls, count_hits
from llmproxy.batteries.money import NANO
from llmproxy.batteries.telemetry.counters import (
    OVERHEAD_SECONDS,
    GroupCounters,
    minus,
    plus,
    quantile,
)

# A step's points by group; ALL_GROUPS is the sum of them, with the cache.
ALL_GROUPS = ""


class HistoryPoint(BaseModel):
    """One step; `at` is the Unix time of its beginning. None: not known, or no calls.

    `total_mean_ms` is only known of steps from the store.
    """

    at: float
    calls: int = 0
    errors: int = 0
    retries: int | None = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    cache_hits: int | None = 0
    cache_misses: int | None = 0
    first_byte_p50_ms: float | None = None
    first_byte_p99_ms: float | None = None
    total_p50_ms: float | None = None
    total_p99_ms: float | None = None
    overhead_p50_ms: float | None = None
    total_mean_ms: float | None = None


class TimeSeries:
    """The last `length` steps of `step_s` seconds. Owns the counters as of the last step.

    Steps are stored packed: one with a hundred groups takes about 20 kB.
    """

    def __init__(self, step_s: int, length: int, counters: Counters, now: float) -> None:
        self.step_s = step_s
        self._length = length
        self._before = counters
        self._begun_at = self._step_at(now)
        self._steps: deque[tuple[int, bytes]] = deque(maxlen=length)

    def is_due(self, now: float) -> bool:
        """Return whether the current step is over."""
        return self._step_at(now) > self._begun_at

    def end_step(self, counters: Counters, now: float) -> HistoryPoint:
        """End the current step and return its point of all groups together."""
        points = _points(self._begun_at, minus(counters, self._before))
        whole = points.get(ALL_GROUPS, HistoryPoint(at=self._begun_at))
        if points:
            members = {
                group: point.model_dump(exclude_defaults=True) for group, point in points.items()
            }
            self._steps.append((self._begun_at, msgspec.msgpack.encode(members)))
        self._before, self._begun_at = counters, self._step_at(now)
        return whole

    def points(self, now: float, group: str | None = None) -> list[HistoryPoint]:
        """Return the complete steps, oldest first; steps without traffic are zeros."""
        stored = {at: msgspec.msgpack.decode(packed) for at, packed in self._steps}
        last = self._step_at(now) - self.step_s
        first = last - (self._length - 1) * self.step_s
        return [
            HistoryPoint(**{**stored.get(at, {}).get(group or ALL_GROUPS, {}), "at": at})
            for at in range(first, last + 1, self.step_s)
        ]

    def _step_at(self, now: float) -> int:
        return int(now // self.step_s) * self.step_s


def _points(at: float, step: Counters) -> dict[str, HistoryPoint]:
    """Return the points of the groups in which something happened."""
    groups = step.calls.groups
    points = {name: _point(at, group) for name, group in groups.items() if name}
    points = {name: point for name, point in points.items() if point.calls}
    whole = _point(at, reduce(plus, groups.values(), GroupCounters()))
    whole.cache_hits = count_hits(step.cache)
    whole.cache_misses = step.cache.misses
    whole.saved_usd = step.cache.saved_nano_usd / NANO
    if whole.calls or whole.cache_misses:
        points[ALL_GROUPS] = whole
    return points


def _point(at: float, group: GroupCounters) -> HistoryPoint:
    endpoints = group.endpoints.values()
    first_byte, total = group.first_byte.counts, group.total.counts
    return HistoryPoint(
        at=at,
        calls=count_calls(group),
        errors=group.errors,
        retries=sum(
            sum(endpoint.retried.values()) + sum(endpoint.moved.values()) for endpoint in endpoints
        ),
        input_tokens=sum(endpoint.input_tokens for endpoint in endpoints),
        output_tokens=sum(endpoint.output_tokens for endpoint in endpoints),
        cost_usd=sum(endpoint.nano_usd for endpoint in endpoints) / NANO,
        first_byte_p50_ms=optional_ms(quantile(first_byte, 0.5)),
        first_byte_p99_ms=optional_ms(quantile(first_byte, 0.99)),
        total_p50_ms=optional_ms(quantile(total, 0.5)),
        total_p99_ms=optional_ms(quantile(total, 0.99)),
        overhead_p50_ms=optional_ms(quantile(group.overhead.counts, 0.5, OVERHEAD_SECONDS)),
    )

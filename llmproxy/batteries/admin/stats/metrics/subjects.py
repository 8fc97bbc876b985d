"""What metrics are read from: the calls of a group, the attempts at an endpoint, the cache, ...

Configured groups and endpoints have series from the start, with zeros, so that a first failure
shows as an increase. Those that are no longer configured keep theirs, because counters never fall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from llmproxy.batteries.admin.stats.collector import CacheGauges, Stats
from llmproxy.batteries.admin.stats.state import EndpointView, GroupView, ProxyView, StoreView
from llmproxy.batteries.cache import CacheCounters, StoreCounters
from llmproxy.batteries.telemetry.counters import (
    SECONDS,
    CallerCounters,
    EndpointCounters,
    GroupCounters,
    Histogram,
    SpendCounters,
)

if TYPE_CHECKING:
    from llmproxy.batteries.budgets import BudgetStatus

T = TypeVar("T")
Kind = Literal["counter", "gauge", "histogram"]
# One sample; or several, by the values of the metric's own labels; None = no sample.
Value = float | Histogram | Mapping[str, float] | Mapping[tuple[str, str], float] | None
MAX_BUDGETS = 200  # that have series


class Scrape(NamedTuple):
    """Everything that is known at the moment of a scrape."""

    state: ProxyView
    stats: Stats
    budgets: Sequence[BudgetStatus] = ()


class MetricSpec(NamedTuple):
    """One metric. `labels`: those of its subject, then its own. `bounds`: of a histogram."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    subject: Subject[Any]
    read: Callable[[Any], Value]
    bounds: Sequence[float] = ()


@dataclass(frozen=True, eq=False)
class Subject(Generic[T]):
    """A kind of thing that has metrics. `find` yields each with the values of its labels."""

    labels: tuple[str, ...]
    find: Callable[[Scrape], Iterable[tuple[tuple[str, ...], T]]]

    def counter(self, name: str, meaning: str, read: Callable[[T], Value], *own: str) -> MetricSpec:
        """Return a counter of this subject. `own`: its labels beside those of the subject."""
        return MetricSpec(name, "counter", meaning, (*self.labels, *own), self, read)

    def gauge(self, name: str, meaning: str, read: Callable[[T], Value], *own: str) -> MetricSpec:
        """Return a gauge of this subject. `own`: its labels beside those of the subject."""
        return MetricSpec(name, "gauge", meaning, (*self.labels, *own), self, read)

    def histogram(
        self,
        name: str,
        meaning: str,
        read: Callable[[T], Histogram],
        bounds: Sequence[float] = SECONDS,
    ) -> MetricSpec:
        """Return a histogram of this subject."""
        return MetricSpec(name, "histogram", meaning, self.labels, self, read, bounds)


class GroupCalls(NamedTuple):
    """The calls of a group. `endpoints`: those that are configured."""

    counters: GroupCounters
    endpoints: list[str]


class CacheStore(NamedTuple):
    """The store behind the cache's memory."""

    view: StoreView
    counters: StoreCounters
    gauges: CacheGauges


def _group_calls(scrape: Scrape) -> Iterator[tuple[tuple[str, ...], GroupCalls]]:
    """Yield every group. The group "" is for calls for which no group was found."""
    configured = {
        group.group: [endpoint.endpoint for endpoint in group.endpoints]
        for group in scrape.state.groups
    }
    groups = scrape.stats.counters.calls.groups
    for name in dict.fromkeys((*configured, "", *groups)):
        yield (name,), GroupCalls(groups.get(name, GroupCounters()), configured.get(name, []))


def _attempts(scrape: Scrape) -> Iterator[tuple[tuple[str, ...], EndpointCounters]]:
    for (group,), calls in _group_calls(scrape):
        endpoints = calls.counters.endpoints
        for endpoint in dict.fromkeys((*calls.endpoints, *endpoints)):
            yield (group, endpoint), endpoints.get(endpoint, EndpointCounters())


def _endpoints(scrape: Scrape) -> Iterator[tuple[tuple[str, ...], EndpointView]]:
    for group in scrape.state.groups:
        for endpoint in group.endpoints:
            yield (group.group, endpoint.endpoint), endpoint


def _store(scrape: Scrape) -> Iterator[tuple[tuple[str, ...], CacheStore]]:
    view, counters = scrape.state.cache, scrape.stats.counters.store
    if view is not None and view.store is not None and counters is not None:
        yield (), CacheStore(view.store, counters, scrape.stats.gauges.cache)


def _budgets(scrape: Scrape) -> Iterator[tuple[tuple[str, ...], BudgetStatus]]:
    """Yield the budgets, the fullest first; others are in `/admin/budgets`."""
    fullest = sorted(scrape.budgets, key=lambda status: -status.used / status.budget.amount)
    seen = set()
    for status in fullest[:MAX_BUDGETS]:
        budget = status.budget
        labels = (str(budget.kind), budget.subject, str(budget.unit), str(budget.per))
        if labels not in seen:  # of two alike, the fuller
            seen.add(labels)
            yield labels, status


PROXY: Subject[ProxyView] = Subject((), lambda scrape: [((), scrape.state)])
GROUP: Subject[GroupCalls] = Subject(("group",), _group_calls)
GROUP_NOW: Subject[GroupView] = Subject(
    ("group",), lambda scrape: [((group.group,), group) for group in scrape.state.groups]
)
CALLER: Subject[CallerCounters] = Subject(
    ("caller",),
    lambda scrape: [
        ((name,), found) for name, found in scrape.stats.counters.calls.callers.items()
    ],
)
SPEND: Subject[SpendCounters] = Subject(
    ("team", "caller", "group"), lambda scrape: scrape.stats.counters.calls.spend.items()
)
BUDGET: Subject[BudgetStatus] = Subject(("kind", "subject", "unit", "per"), _budgets)
ATTEMPTS: Subject[EndpointCounters] = Subject(("group", "endpoint"), _attempts)
ENDPOINT: Subject[EndpointView] = Subject(("group", "endpoint"), _endpoints)
CACHE: Subject[CacheCounters] = Subject((), lambda scrape: [((), scrape.stats.counters.cache)])
CACHE_NOW: Subject[CacheGauges] = Subject((), lambda scrape: [((), scrape.stats.gauges.cache)])
CACHE_STORE: Subject[CacheStore] = Subject((), _store)

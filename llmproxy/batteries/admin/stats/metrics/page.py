"""Reads every metric at a scrape; prometheus-client writes the text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from llmproxy.batteries.admin.stats.collector import Stats
from llmproxy.batteries.admin.stats.metrics.catalogue import METRICS
from llmproxy.batteries.admin.stats.metrics.subjects import MetricSpec, Scrape, Value
from llmproxy.batteries.admin.stats.state import ProxyView
from llmproxy.batteries.telemetry.counters import Histogram

if TYPE_CHECKING:
    from llmproxy.batteries.budgets import BudgetStatus

# Prometheus' classic text format, which every scraper reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text(state: ProxyView, stats: Stats, budgets: Sequence[BudgetStatus] = ()) -> bytes:
    """Return all metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(MetricsPage(Scrape(state, stats, budgets)))
    return generate_latest(registry)


class MetricsPage(Collector):
    """The metrics of one scrape. One without samples is left out."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    def collect(self) -> Iterator[Metric]:
        """Return the samples; prometheus-client calls this."""
        found = {
            subject: list(subject.find(self._scrape))
            for subject in {spec.subject for spec in METRICS.values()}
        }
        for spec in METRICS.values():
            family = _family_of(spec)
            for labels, subject in found[spec.subject]:
                _add(family, spec.bounds, labels, spec.read(subject))
            if family.samples:
                yield family


def _add(family: Any, bounds: Sequence[float], labels: tuple[str, ...], value: Value) -> None:
    match value:
        case None:
            pass
        case Histogram():
            family.add_metric(labels, _buckets(value, bounds), value.sum)
        case Mapping():
            for own, number in value.items():
                family.add_metric((*labels, *((own,) if isinstance(own, str) else own)), number)
        case _:
            family.add_metric(labels, value)


def _buckets(histogram: Histogram, bounds: Sequence[float]) -> list[tuple[str, int]]:
    """Return Prometheus' buckets, which are cumulative; ours are not."""
    uppers = (*map(floatToGoString, bounds), "+Inf")
    return list(zip(uppers, accumulate(histogram.counts), strict=True))


def _family_of(spec: MetricSpec) -> Metric:
    match spec.kind:
        case "counter":
            return CounterMetricFamily(spec.name, spec.help, labels=spec.labels)
        case "gauge":
            return GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
        case "histogram":
            return HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)

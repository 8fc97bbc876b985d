"""What is told to one scrape, sample by sample; prometheus-client makes text of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from llmproxy.admin.stats.metrics.catalogue import METRICS, MetricSpec
from llmproxy.telemetry.counters import Tree

# prometheus-client's text format: the one that every scraper reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsPage(Collector):
    """Owns the samples of one scrape. A name must be in the catalogue."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def add(self, name: str, value: float, *labels: str) -> None:
        """One sample of a counter or a gauge; labels in the catalogue's order."""
        self._family(name).add_metric(labels, value)  # type: ignore[attr-defined]

    def add_histogram(
        self, name: str, histogram: Tree | None, bounds: Sequence[float], *labels: str
    ) -> None:
        """One histogram, from its counts by bucket; None = nothing was measured yet."""
        counts = histogram["counts"] if histogram else [0] * (len(bounds) + 1)
        uppers, below, buckets = (*map(floatToGoString, bounds), "+Inf"), 0, []
        for upper, count in zip(uppers, counts, strict=True):
            below += count
            buckets.append((upper, below))
        total = histogram["sum"] if histogram else 0.0
        self._family(name).add_metric(labels, buckets, total)  # type: ignore[attr-defined]

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus-client."""
        yield from self._families.values()

    def text(self) -> bytes:
        """In Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def _family(self, name: str) -> Metric:
        if name not in self._families:
            self._families[name] = _family_of(METRICS[name])
        return self._families[name]


def _family_of(described: MetricSpec) -> Metric:
    match described.kind:
        case "counter":
            return CounterMetricFamily(described.name, described.told, labels=described.labels)
        case "gauge":
            return GaugeMetricFamily(described.name, described.told, labels=described.labels)
        case "histogram":
            return HistogramMetricFamily(described.name, described.told, labels=described.labels)

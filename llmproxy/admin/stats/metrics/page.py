"""Collects the samples of one scrape, from which prometheus-client writes the text."""

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
from llmproxy.telemetry.counters import Histogram

# Prometheus' classic text format, which every scraper reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsPage(Collector):
    """Owns the samples of one scrape. Every name must be in the catalogue."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def add(self, name: str, value: float, *labels: str) -> None:
        """Add one sample of a counter or a gauge; labels in the catalogue's order."""
        self._family(name).add_metric(labels, value)  # type: ignore[attr-defined]

    def add_histogram(
        self, name: str, histogram: Histogram, bounds: Sequence[float], *labels: str
    ) -> None:
        """Add one histogram. Prometheus' buckets are cumulative, ours are not."""
        uppers, below, buckets = (*map(floatToGoString, bounds), "+Inf"), 0, []
        for upper, count in zip(uppers, histogram.counts, strict=True):
            below += count
            buckets.append((upper, below))
        self._family(name).add_metric(labels, buckets, histogram.sum)  # type: ignore[attr-defined]

    def collect(self) -> Iterator[Metric]:
        """Return the samples; prometheus-client calls this."""
        yield from self._families.values()

    def text(self) -> bytes:
        """Return the page in Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def _family(self, name: str) -> Metric:
        if name not in self._families:
            self._families[name] = _family_of(METRICS[name])
        return self._families[name]


def _family_of(spec: MetricSpec) -> Metric:
    match spec.kind:
        case "counter":
            return CounterMetricFamily(spec.name, spec.help, labels=spec.labels)
        case "gauge":
            return GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
        case "histogram":
            return HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)

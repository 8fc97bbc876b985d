"""Reads every metric at a scrape, and writes it in Prometheus' text format.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, Any

from llmproxy.batteries.admin.stats.collector import Stats
from llmproxy.batteries.admin.stats.metrics.catalogue import METRICS
from llmproxy.batteries.admin.stats.metrics.subjects import MetricSpec, Scrape, Subject, Value
from llmproxy.batteries.admin.stats.slices import in_slices
from llmproxy.batteries.admin.stats.state import ProxyView
from llmproxy.batteries.telemetry.counters import Histogram

if TYPE_CHECKING:
    from llmproxy.batteries.budgets import BudgetStatus

# The classic text format, which every scraper reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# What a subject found: its labels as text, and what its metrics are read from.
Found = list[tuple[str, Any]]


async def metrics_text(
    state: ProxyView, stats: Stats, budgets: Sequence[BudgetStatus] = ()
) -> bytes:
    """Return all metrics. They are written in slices, between which calls go on."""
    return "".join(await in_slices(_pieces(Scrape(state, stats, budgets)))).encode()


def _pieces(scrape: Scrape) -> Iterator[str]:
    """Yield the text in pieces, each a sample. A metric without any is left out."""
    found: dict[Subject[Any], Found] = {}
    for spec in METRICS.values():
        things = found.get(spec.subject)
        if things is None:
            things = found[spec.subject] = []
            for values, thing in spec.subject.find(scrape):
                things.append((_labels(spec.subject.labels, values), thing))
                yield ""
        head = f"# HELP {spec.name} {_escaped(spec.help)}\n# TYPE {spec.name} {spec.kind}\n"
        own: dict[str | tuple[str, ...], str] = {}
        for labels, thing in things:
            for sample in _samples(spec, labels, spec.read(thing), own):
                yield head + sample
                head = ""


def _samples(
    spec: MetricSpec, labels: str, value: Value, own: dict[str | tuple[str, ...], str]
) -> Iterator[str]:
    """Yield the lines of one thing.

    `labels`: those of the thing. `own`: the metric's own, by their values, as far as they are
    written already: they are the same for each thing.
    """
    match value:
        case None:
            pass
        case Histogram():
            yield _buckets(spec, labels, value)
        case Mapping():
            for values in value.keys() - own.keys():
                names = spec.labels[len(spec.subject.labels) :]
                own[values] = _labels(names, (values,) if isinstance(values, str) else values)
            for values, number in value.items():
                yield _line(spec.name, _joined(labels, own[values]), number)
        case _:
            yield _line(spec.name, labels, value)


def _buckets(spec: MetricSpec, labels: str, histogram: Histogram) -> str:
    """Return the lines of a histogram. Prometheus' buckets are cumulative; ours are not."""
    begin = f"{spec.name}_bucket{{{_joined(labels, 'le=')}"
    uppers = (*map(float, spec.bounds), "+Inf")
    counts = list(accumulate(histogram.counts))
    buckets = [f'{begin}"{upper}"}} {count}\n' for upper, count in zip(uppers, counts, strict=True)]
    count = _line(f"{spec.name}_count", labels, counts[-1])
    return "".join((*buckets, count, _line(f"{spec.name}_sum", labels, histogram.sum)))


def _line(name: str, labels: str, number: float) -> str:
    written = "+Inf" if number == inf else number + 0  # True is 1
    return f"{name}{{{labels}}} {written}\n" if labels else f"{name} {written}\n"


def _joined(labels: str, more: str) -> str:
    return f"{labels},{more}" if labels else more


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    """Return labels as text, in the order of their names."""
    pairs = sorted(zip(names, values, strict=True))
    return ",".join(
        [name + '="' + _escaped(value).replace('"', '\\"') + '"' for name, value in pairs]
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")

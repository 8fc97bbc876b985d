"""`/metrics`: what the cache has done, for Prometheus; read when it is scraped, not by calls.

Of this process: with `--workers` each scrape sees one of them. No label comes from a client.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llmproxy.runtime import Runtime
from llmproxy.stages.cache import Cache

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text(runtime: Runtime) -> bytes:
    """All metrics as they are now, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_CacheCollector(runtime.cache))
    return generate_latest(registry)


class _CacheCollector(Collector):
    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def collect(self) -> Iterator[Metric]:
        """Called by the registry at every scrape."""
        yield from _of_calls(self._cache)
        yield from _of_memory(self._cache)
        yield from _of_store(self._cache)


def _of_calls(cache: Cache) -> Iterator[Metric]:
    counts = cache.counts
    calls = CounterMetricFamily(
        "llmproxy_cache_calls",
        "Calls by what the cache had for them: hit, stale, coalesced (the answer to another call "
        "that asked the same), miss.",
        labels=("result",),
    )
    for result, number in (
        ("hit", counts.hits),
        ("stale", counts.stale),
        ("coalesced", counts.coalesced),
        ("miss", counts.misses),
    ):
        calls.add_metric((result,), number)
    yield calls
    yield _counter("llmproxy_cache_kept", "Answers that were remembered.", counts.kept)
    saved = CounterMetricFamily(
        "llmproxy_cache_saved_tokens",
        "Tokens that were not paid for, as they were counted when the answer was new.",
        labels=("kind",),
    )
    saved.add_metric(("input",), counts.saved_input_tokens)
    saved.add_metric(("output",), counts.saved_output_tokens)
    yield saved
    yield _counter(
        "llmproxy_cache_saved_usd",
        "US dollars that were not paid, where the endpoint has a price.",
        counts.saved_usd,
    )


def _of_memory(cache: Cache) -> Iterator[Metric]:
    memory = cache.memory
    yield GaugeMetricFamily(
        "llmproxy_cache_memory_bytes", "Bytes of the answers in memory.", memory.bytes
    )
    yield GaugeMetricFamily("llmproxy_cache_memory_answers", "Answers in memory.", len(memory))


def _of_store(cache: Cache) -> Iterator[Metric]:
    """Of the server or the file behind the memory, if there is one."""
    second = cache.second
    if second is None:
        return
    counts = second.counts
    yield GaugeMetricFamily(
        "llmproxy_cache_store_up", "1: the store behind the memory answers.", second.connected
    )
    yield GaugeMetricFamily(
        "llmproxy_cache_store_queued_bytes", "Bytes that wait to be written.", second.queued_bytes
    )
    for name, told, number in (
        ("reads", "Answers that the store was asked for.", counts.reads),
        ("hits", "Answers that it had.", counts.hits),
        (
            "damaged",
            "Entries that were corrupt, cut off or foreign; each was a miss.",
            counts.damaged,
        ),
        ("failures", "Operations that failed or were late.", counts.failures),
        ("dropped", "Answers that were not written.", counts.dropped),
    ):
        yield _counter(f"llmproxy_cache_store_{name}", told, number)


def _counter(name: str, told: str, value: float) -> Metric:
    return CounterMetricFamily(name, told, value)

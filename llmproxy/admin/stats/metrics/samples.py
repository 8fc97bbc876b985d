"""The samples of one scrape.

Configured groups and endpoints have series from the start, with zeros, so that a first failure
shows as an increase. Those that are no longer configured keep theirs, because counters never fall.
"""

from __future__ import annotations

import platform
from math import inf

from llmproxy.admin.stats.collector import CacheGauges, Counters, Stats
from llmproxy.admin.stats.metrics.page import MetricsPage
from llmproxy.admin.stats.state import EndpointView, ProxyView
from llmproxy.admin.stats.status import EndpointStatus
from llmproxy.telemetry.counters import (
    OVERHEAD_SECONDS,
    SECONDS,
    CallCounters,
    CallerCounters,
    EndpointCounters,
    GroupCounters,
)

STATUS_CLASSES = ("2xx", "4xx", "499", "5xx")
# A call may be sent to an endpoint in these states, perhaps after waiting.
AVAILABLE = (EndpointStatus.OK, EndpointStatus.FULL, EndpointStatus.HALF_OPEN)


def metrics_text(state: ProxyView, stats: Stats) -> bytes:
    """Return all metrics in Prometheus' text format."""
    page = MetricsPage()
    configured = {
        group.group: [endpoint.endpoint for endpoint in group.endpoints] for group in state.groups
    }
    _add_calls(page, stats.counters.calls, configured)
    for group in state.groups:
        page.add("llmproxy_calls_waiting", group.waiting, group.group)
        for endpoint in group.endpoints:
            _add_endpoint(page, endpoint, group.group, endpoint.endpoint)
    _add_cache(page, state, stats.counters, stats.gauges.cache)
    _add_proxy(page, state)
    return page.text()


def _add_calls(page: MetricsPage, calls: CallCounters, configured: dict[str, list[str]]) -> None:
    """Add every group. The group "" stands for calls for which no group was found."""
    for name in dict.fromkeys((*configured, "", *calls.groups)):
        group, endpoints = calls.groups.get(name, GroupCounters()), configured.get(name, [])
        for endpoint in dict.fromkeys(("", *endpoints, *group.calls)):
            by_status = group.calls.get(endpoint, {})
            for status in dict.fromkeys((*STATUS_CLASSES, *by_status)):
                number = by_status.get(status, 0)
                page.add("llmproxy_calls_total", number, name, endpoint, status)
        page.add("llmproxy_call_errors_total", group.errors, name)
        page.add("llmproxy_call_fallbacks_total", group.fallbacks, name)
        page.add_histogram("llmproxy_call_first_byte_seconds", group.first_byte, SECONDS, name)
        page.add_histogram("llmproxy_call_duration_seconds", group.total, SECONDS, name)
        page.add_histogram("llmproxy_call_overhead_seconds", group.overhead, OVERHEAD_SECONDS, name)
        for endpoint in dict.fromkeys((*endpoints, *group.endpoints)):
            attempts = group.endpoints.get(endpoint, EndpointCounters())
            _add_attempts(page, attempts, name, endpoint)
    for name, caller in calls.callers.items():
        _add_caller(page, name, caller)


def _add_caller(page: MetricsPage, name: str, caller: CallerCounters) -> None:
    for status, number in caller.calls.items():
        page.add("llmproxy_caller_calls_total", number, name, status)
    page.add("llmproxy_caller_tokens_total", caller.input_tokens, name, "input")
    page.add("llmproxy_caller_tokens_total", caller.output_tokens, name, "output")


def _add_attempts(page: MetricsPage, attempts: EndpointCounters, *labels: str) -> None:
    for outcome, number in (
        ("answered", attempts.answered),
        ("failed", sum(attempts.failed.values())),
        ("abandoned", attempts.abandoned),
    ):
        page.add("llmproxy_attempts_total", number, *labels, outcome)
    for metric, counts in (
        ("llmproxy_attempt_failures_total", attempts.failed),
        ("llmproxy_retries_total", attempts.retried),
        ("llmproxy_failovers_total", attempts.moved),
        ("llmproxy_endpoint_changes_total", attempts.changes),
    ):
        for label, number in counts.items():
            page.add(metric, number, *labels, label)
    page.add_histogram("llmproxy_attempt_first_byte_seconds", attempts.first_byte, SECONDS, *labels)
    page.add("llmproxy_streams_interrupted_total", attempts.interrupted, *labels)
    page.add("llmproxy_tokens_total", attempts.input_tokens, *labels, "input")
    page.add("llmproxy_tokens_total", attempts.output_tokens, *labels, "output")
    page.add("llmproxy_tokens_total", attempts.cached_tokens, *labels, "cached")
    page.add("llmproxy_cost_usd_total", attempts.cost_usd, *labels)


def _add_endpoint(page: MetricsPage, endpoint: EndpointView, *labels: str) -> None:
    for status in EndpointStatus:
        page.add("llmproxy_endpoint_state", endpoint.state is status, *labels, status.value)
    page.add("llmproxy_endpoint_available", endpoint.state in AVAILABLE, *labels)
    ready_in_s = inf if endpoint.ready_in_s is None else endpoint.ready_in_s
    page.add("llmproxy_endpoint_ready_seconds", ready_in_s, *labels)
    page.add("llmproxy_endpoint_in_flight", endpoint.in_flight, *labels)
    limits = endpoint.capacity
    for kind, limit in (
        ("requests", limits.requests),
        ("tokens", limits.tokens),
        ("concurrent", limits.concurrent),
    ):
        if limit is None:
            continue
        page.add("llmproxy_endpoint_limit", limit.limit, *labels, kind)
        page.add("llmproxy_endpoint_limit_remaining", limit.left, *labels, kind)
        if limit.configured is not None:
            page.add("llmproxy_endpoint_limit_configured", limit.configured, *labels, kind)


def _add_proxy(page: MetricsPage, state: ProxyView) -> None:
    page.add("llmproxy_build_info", 1, state.version, platform.python_version())
    page.add("llmproxy_workers", state.workers)
    page.add("llmproxy_start_time_seconds", state.started_at)
    page.add("llmproxy_draining", state.status == "draining")
    page.add("llmproxy_calls_in_flight", state.in_flight)
    page.add("llmproxy_config_loaded_seconds", state.config.loaded_at)
    page.add("llmproxy_config_refused", state.config.error is not None)
    page.add("llmproxy_config_reloads_total", state.config.reloads, "ok")
    page.add("llmproxy_config_reloads_total", state.config.failed_reloads, "refused")
    if state.shared is not None:
        page.add("llmproxy_shared_up", state.shared.connected)
        page.add("llmproxy_shared_instances", state.shared.instances)


def _add_cache(
    page: MetricsPage, state: ProxyView, counters: Counters, gauges: CacheGauges
) -> None:
    cache = counters.cache
    page.add("llmproxy_cache_calls_total", cache.hits, "hit")
    page.add("llmproxy_cache_calls_total", cache.stale, "stale")
    page.add("llmproxy_cache_calls_total", cache.coalesced, "coalesced")
    page.add("llmproxy_cache_calls_total", cache.misses, "miss")
    page.add("llmproxy_cache_kept_total", cache.kept)
    page.add("llmproxy_cache_saved_tokens_total", cache.saved_input_tokens, "input")
    page.add("llmproxy_cache_saved_tokens_total", cache.saved_output_tokens, "output")
    page.add("llmproxy_cache_saved_usd_total", cache.saved_usd)
    page.add("llmproxy_cache_memory_bytes", gauges.bytes)
    page.add("llmproxy_cache_memory_answers", gauges.answers)
    view, store = state.cache, counters.store
    if view is None or view.store is None or store is None:
        return
    page.add("llmproxy_cache_store_up", view.store.connected)
    page.add("llmproxy_cache_store_queued_bytes", gauges.queued_bytes)
    page.add("llmproxy_cache_store_reads_total", store.reads)
    page.add("llmproxy_cache_store_hits_total", store.hits)
    page.add("llmproxy_cache_store_damaged_total", store.damaged)
    page.add("llmproxy_cache_store_failures_total", store.failures)
    page.add("llmproxy_cache_store_dropped_total", store.dropped)

"""Calls and attempts: from the tally.

What the config names is told from the start, with zeros, so that a first failure is seen as an
increase; what it no longer names is told on, since counters do not fall.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from math import inf

from llmproxy.admin.stats.collector import Stats
from llmproxy.admin.stats.metrics.page import MetricsPage
from llmproxy.admin.stats.state import EndpointView, ProxyView
from llmproxy.admin.stats.status import ENDPOINT_STATUSES
from llmproxy.telemetry.counters import OVERHEAD_SECONDS, SECONDS, Tree


def metrics_text(now: ProxyView, numbers: Stats) -> bytes:
    """All metrics, in Prometheus' text format."""
    page = MetricsPage()
    configured = {group.group: [each.endpoint for each in group.endpoints] for group in now.groups}
    tell_calls(page, numbers.counters["calls"], configured)
    tell_endpoints(page, now)
    tell_cache(page, now, numbers.counters["cache"], numbers.gauges["cache"])
    tell_proxy(page, now)
    return page.text()


STATUSES = ("2xx", "4xx", "499", "5xx")
Names = dict[str, list[str]]  # of the groups, and of their endpoints


def tell_calls(page: MetricsPage, tally: Tree, configured: Names) -> None:
    """Of every group, and of the calls that no group was found for."""
    groups, callers = tally["groups"], tally["callers"]
    for name in dict.fromkeys((*configured, "", *groups)):
        group = groups.get(name, {})
        names = configured.get(name, [])
        calls = group.get("calls", {})
        for endpoint in dict.fromkeys(("", *names, *calls)):
            counted = calls.get(endpoint, {})
            for status in dict.fromkeys((*STATUSES, *counted)):
                number = counted.get(status, 0)
                page.add("llmproxy_calls_total", number, name, endpoint, status)
        page.add("llmproxy_call_errors_total", group.get("errors", 0), name)
        page.add("llmproxy_call_fallbacks_total", group.get("fallbacks", 0), name)
        for metric, measured, bounds in (
            ("llmproxy_call_first_byte_seconds", "first_byte", SECONDS),
            ("llmproxy_call_duration_seconds", "total", SECONDS),
            ("llmproxy_call_overhead_seconds", "overhead", OVERHEAD_SECONDS),
        ):
            page.add_histogram(metric, group.get(measured), bounds, name)
        _tell_attempts(page, name, group.get("endpoints", {}), names)
    _tell_callers(page, callers)


def _tell_callers(page: MetricsPage, callers: Tree) -> None:
    for caller, counted in callers.items():
        for status, number in counted["calls"].items():
            page.add("llmproxy_caller_calls_total", number, caller, status)
        page.add("llmproxy_caller_tokens_total", counted["input_tokens"], caller, "input")
        page.add("llmproxy_caller_tokens_total", counted["output_tokens"], caller, "output")


def _tell_attempts(
    page: MetricsPage, group: str, endpoints: Tree, configured: Iterable[str]
) -> None:
    for endpoint in dict.fromkeys((*configured, *endpoints)):
        _tell_attempts_at(page, endpoints.get(endpoint, {}), group, endpoint)


def _tell_attempts_at(page: MetricsPage, entry: Tree, *labels: str) -> None:
    failed = entry.get("failed", {})
    for outcome, number in (
        ("answered", entry.get("answered", 0)),
        ("failed", sum(failed.values())),
        ("abandoned", entry.get("abandoned", 0)),
    ):
        page.add("llmproxy_attempts_total", number, *labels, outcome)
    for metric, counted in (
        ("llmproxy_attempt_failures_total", failed),
        ("llmproxy_retries_total", entry.get("retried", {})),
        ("llmproxy_failovers_total", entry.get("moved", {})),
        ("llmproxy_endpoint_changes_total", entry.get("changes", {})),
    ):
        for word, number in counted.items():
            page.add(metric, number, *labels, word)
    measured = entry.get("first_byte")
    page.add_histogram("llmproxy_attempt_first_byte_seconds", measured, SECONDS, *labels)
    page.add("llmproxy_streams_interrupted_total", entry.get("interrupted", 0), *labels)
    for kind in ("input", "output", "cached"):
        page.add("llmproxy_tokens_total", entry.get(f"{kind}_tokens", 0), *labels, kind)
    page.add("llmproxy_cost_usd_total", entry.get("cost_usd", 0.0), *labels)


# In these states it would be asked: perhaps not at once.
AVAILABLE = ("ok", "full", "half-open")


def tell_endpoints(page: MetricsPage, now: ProxyView) -> None:
    """Of every group and its endpoints."""
    for group in now.groups:
        page.add("llmproxy_calls_waiting", group.waiting, group.group)
        for endpoint in group.endpoints:
            _tell_endpoint(page, endpoint, group.group, endpoint.endpoint)


def _tell_endpoint(page: MetricsPage, endpoint: EndpointView, *labels: str) -> None:
    for state in ENDPOINT_STATUSES:
        page.add("llmproxy_endpoint_state", endpoint.state == state, *labels, state)
    page.add("llmproxy_endpoint_available", endpoint.state in AVAILABLE, *labels)
    ready_in_s = inf if endpoint.ready_in_s is None else endpoint.ready_in_s
    page.add("llmproxy_endpoint_ready_seconds", ready_in_s, *labels)
    page.add("llmproxy_endpoint_in_flight", endpoint.in_flight, *labels)
    levels = endpoint.capacity
    for kind, level in (
        ("requests", levels.requests),
        ("tokens", levels.tokens),
        ("concurrent", levels.concurrent),
    ):
        if level is None:
            continue
        page.add("llmproxy_endpoint_limit", level.limit, *labels, kind)
        page.add("llmproxy_endpoint_limit_remaining", level.left, *labels, kind)
        if level.configured is not None:
            page.add("llmproxy_endpoint_limit_configured", level.configured, *labels, kind)


def tell_proxy(page: MetricsPage, now: ProxyView) -> None:
    """Of the processes, the config and the other instances."""
    page.add("llmproxy_build_info", 1, now.version, platform.python_version())
    page.add("llmproxy_workers", now.workers)
    page.add("llmproxy_start_time_seconds", now.started_at)
    page.add("llmproxy_draining", now.status == "draining")
    page.add("llmproxy_calls_in_flight", now.in_flight)
    page.add("llmproxy_config_loaded_seconds", now.config.loaded_at)
    page.add("llmproxy_config_refused", now.config.error is not None)
    page.add("llmproxy_config_reloads_total", now.config.reloads, "ok")
    page.add("llmproxy_config_reloads_total", now.config.failed_reloads, "refused")
    if now.shared is not None:
        page.add("llmproxy_shared_up", now.shared.connected)
        page.add("llmproxy_shared_instances", now.shared.instances)


def tell_cache(page: MetricsPage, now: ProxyView, counters: Tree, gauges: Tree) -> None:
    """Of the memory, and of the store behind it, if there is one."""
    for result, number in (
        ("hit", counters["hits"]),
        ("stale", counters["stale"]),
        ("coalesced", counters["coalesced"]),
        ("miss", counters["misses"]),
    ):
        page.add("llmproxy_cache_calls_total", number, result)
    page.add("llmproxy_cache_kept_total", counters["kept"])
    page.add("llmproxy_cache_saved_tokens_total", counters["saved_input_tokens"], "input")
    page.add("llmproxy_cache_saved_tokens_total", counters["saved_output_tokens"], "output")
    page.add("llmproxy_cache_saved_usd_total", counters["saved_usd"])
    page.add("llmproxy_cache_memory_bytes", gauges["bytes"])
    page.add("llmproxy_cache_memory_answers", gauges["answers"])
    store = now.cache.store if now.cache else None
    if store is None:
        return
    page.add("llmproxy_cache_store_up", store.connected)
    page.add("llmproxy_cache_store_queued_bytes", gauges["queued_bytes"])
    for word in ("reads", "hits", "damaged", "failures", "dropped"):
        page.add(f"llmproxy_cache_store_{word}_total", counters["store"][word])

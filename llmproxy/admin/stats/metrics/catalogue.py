"""Every metric: its name, kind, meaning and labels. docs/metrics.md is generated from it.

Names follow Prometheus' conventions: base units, `_total` for counters.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class MetricSpec(NamedTuple):
    """One metric."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


GROUP, ENDPOINT = ("group",), ("group", "endpoint")

CALLS = (
    MetricSpec(
        "llmproxy_calls_total",
        "counter",
        "Calls by status class (2xx, 4xx, 5xx; 499: the client closed the connection first) and by "
        "the endpoint that answered or was tried last (empty: none was tried). The group is empty "
        "if no model group was found.",
        ("group", "endpoint", "status"),
    ),
    MetricSpec(
        "llmproxy_call_errors_total",
        "counter",
        "Calls that ended in a 5xx, a 429 or a broken stream.",
        GROUP,
    ),
    MetricSpec(
        "llmproxy_call_fallbacks_total",
        "counter",
        "Calls that were answered by a fallback group.",
        GROUP,
    ),
    MetricSpec(
        "llmproxy_call_first_byte_seconds",
        "histogram",
        "Time from a call's arrival to its answer's first byte, attempts and waiting included.",
        GROUP,
    ),
    MetricSpec(
        "llmproxy_call_duration_seconds",
        "histogram",
        "Time from a call's arrival to its end.",
        GROUP,
    ),
    MetricSpec(
        "llmproxy_call_overhead_seconds",
        "histogram",
        "The part of the time to the first byte that the proxy itself needed.",
        GROUP,
    ),
    MetricSpec("llmproxy_calls_in_flight", "gauge", "Calls in flight."),
    MetricSpec(
        "llmproxy_calls_waiting", "gauge", "Calls that wait for capacity at an endpoint.", GROUP
    ),
    MetricSpec(
        "llmproxy_caller_calls_total",
        "counter",
        "Calls of a configured caller, by status class.",
        ("caller", "status"),
    ),
    MetricSpec(
        "llmproxy_caller_tokens_total",
        "counter",
        "Tokens of a caller's calls, as the endpoints counted them: input, output.",
        ("caller", "kind"),
    ),
)
ATTEMPTS = (
    MetricSpec(
        "llmproxy_attempts_total",
        "counter",
        "Attempts by outcome: answered, failed, abandoned (the client disconnected).",
        (*ENDPOINT, "outcome"),
    ),
    MetricSpec(
        "llmproxy_attempt_failures_total",
        "counter",
        "Failed attempts, by reason. A series begins with its first failure.",
        (*ENDPOINT, "reason"),
    ),
    MetricSpec(
        "llmproxy_retries_total",
        "counter",
        "Failed attempts that were followed by another one at the same endpoint.",
        (*ENDPOINT, "reason"),
    ),
    MetricSpec(
        "llmproxy_failovers_total",
        "counter",
        "Failed attempts that were followed by one at another endpoint.",
        (*ENDPOINT, "reason"),
    ),
    MetricSpec(
        "llmproxy_attempt_first_byte_seconds",
        "histogram",
        "Time from the beginning of an answered attempt to its first meaningful byte.",
        ENDPOINT,
    ),
    MetricSpec(
        "llmproxy_streams_interrupted_total",
        "counter",
        "Answers that broke after their first byte had been sent to the client.",
        ENDPOINT,
    ),
    MetricSpec(
        "llmproxy_tokens_total",
        "counter",
        "Tokens as the endpoints counted them: input, output; cached is a part of input.",
        (*ENDPOINT, "kind"),
    ),
    MetricSpec(
        "llmproxy_cost_usd_total",
        "counter",
        "Cost in US dollars of endpoints whose price is configured or known.",
        ENDPOINT,
    ),
)
ENDPOINTS = (
    MetricSpec(
        "llmproxy_endpoint_state",
        "gauge",
        "1 for the endpoint's state, 0 for the others: ok, full, cooling, open, half-open, "
        "misconfigured, drained.",
        (*ENDPOINT, "state"),
    ),
    MetricSpec(
        "llmproxy_endpoint_available",
        "gauge",
        "1: the endpoint is healthy, though perhaps full.",
        ENDPOINT,
    ),
    MetricSpec(
        "llmproxy_endpoint_changes_total",
        "counter",
        "How often the endpoint entered a state, or an operator changed it.",
        (*ENDPOINT, "state"),
    ),
    MetricSpec(
        "llmproxy_endpoint_ready_seconds",
        "gauge",
        "Time until the endpoint takes calls again; +Inf: not by itself.",
        ENDPOINT,
    ),
    MetricSpec("llmproxy_endpoint_in_flight", "gauge", "Attempts in flight.", ENDPOINT),
    MetricSpec(
        "llmproxy_endpoint_limit",
        "gauge",
        "The known limits: requests and tokens per minute, concurrent attempts.",
        (*ENDPOINT, "kind"),
    ),
    MetricSpec(
        "llmproxy_endpoint_limit_remaining",
        "gauge",
        "What is left of the limit now.",
        (*ENDPOINT, "kind"),
    ),
    MetricSpec(
        "llmproxy_endpoint_limit_configured", "gauge", "The configured limit.", (*ENDPOINT, "kind")
    ),
)
CACHE = (
    MetricSpec(
        "llmproxy_cache_calls_total",
        "counter",
        "Calls by cache result: hit, stale, coalesced (answered with another call's answer), miss.",
        ("result",),
    ),
    MetricSpec("llmproxy_cache_kept_total", "counter", "Answers that were stored."),
    MetricSpec(
        "llmproxy_cache_saved_tokens_total",
        "counter",
        "Tokens saved by the cache, as they were counted when the answer was new.",
        ("kind",),
    ),
    MetricSpec(
        "llmproxy_cache_saved_usd_total",
        "counter",
        "US dollars saved by the cache, where the endpoint has a price.",
    ),
    MetricSpec("llmproxy_cache_memory_bytes", "gauge", "Size of the answers in memory."),
    MetricSpec("llmproxy_cache_memory_answers", "gauge", "Answers in memory."),
    MetricSpec("llmproxy_cache_store_up", "gauge", "1: the store behind the memory is connected."),
    MetricSpec(
        "llmproxy_cache_store_queued_bytes", "gauge", "Bytes that wait to be written to the store."
    ),
    MetricSpec("llmproxy_cache_store_reads_total", "counter", "Lookups in the store."),
    MetricSpec("llmproxy_cache_store_hits_total", "counter", "Lookups that found an answer."),
    MetricSpec(
        "llmproxy_cache_store_damaged_total",
        "counter",
        "Entries that were corrupt, truncated or foreign; each was a miss.",
    ),
    MetricSpec(
        "llmproxy_cache_store_failures_total",
        "counter",
        "Operations on the store that failed or timed out.",
    ),
    MetricSpec(
        "llmproxy_cache_store_dropped_total",
        "counter",
        "Answers that were dropped instead of written to the store.",
    ),
)
PROXY = (
    MetricSpec("llmproxy_build_info", "gauge", "Always 1.", ("version", "python")),
    MetricSpec("llmproxy_workers", "gauge", "Worker processes that serve calls."),
    MetricSpec(
        "llmproxy_start_time_seconds", "gauge", "When the proxy began to serve, in Unix seconds."
    ),
    MetricSpec(
        "llmproxy_draining", "gauge", "1: the proxy is shutting down and should get no more calls."
    ),
    MetricSpec(
        "llmproxy_config_loaded_seconds",
        "gauge",
        "When the config in use was loaded, in Unix seconds.",
    ),
    MetricSpec(
        "llmproxy_config_refused",
        "gauge",
        "1: a newer config was refused, and the previous one is still in use.",
    ),
    MetricSpec(
        "llmproxy_config_reloads_total",
        "counter",
        "Config reloads by result: ok, refused.",
        ("result",),
    ),
    MetricSpec(
        "llmproxy_shared_up",
        "gauge",
        "1: shared state is connected; 0: the instance keeps to its share of every limit.",
    ),
    MetricSpec(
        "llmproxy_shared_instances",
        "gauge",
        "Instances that share their state, including this one.",
    ),
)

SECTIONS = {
    "Calls": CALLS,
    "Attempts": ATTEMPTS,
    "Endpoints": ENDPOINTS,
    "The cache": CACHE,
    "The proxy": PROXY,
}
METRICS = {metric.name: metric for section in SECTIONS.values() for metric in section}

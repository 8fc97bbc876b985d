"""Every metric that there is: its name, kind, meaning and labels. docs/metrics.md is made of it.

Names follow Prometheus' conventions: base units, `_total` for what only grows.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class MetricSpec(NamedTuple):
    """One metric."""

    name: str
    kind: Kind
    told: str
    labels: tuple[str, ...] = ()


GROUP, ENDPOINT = ("group",), ("group", "endpoint")

CALLS = (
    MetricSpec(
        "llmproxy_calls_total",
        "counter",
        "Calls by the endpoint that answered or was tried last (empty: none was) and status: 2xx, "
        "4xx, 5xx, or 499 of a client that left first. An empty group: no model group was found.",
        ("group", "endpoint", "status"),
    ),
    MetricSpec(
        "llmproxy_call_errors_total",
        "counter",
        "Calls that failed through no fault of the client: 5xx, 429, broken streams.",
        GROUP,
    ),
    MetricSpec(
        "llmproxy_call_fallbacks_total", "counter", "Calls that another group answered.", GROUP
    ),
    MetricSpec(
        "llmproxy_call_first_byte_seconds",
        "histogram",
        "From a call's arrival to its answer's first byte, attempts and waiting included.",
        GROUP,
    ),
    MetricSpec(
        "llmproxy_call_duration_seconds", "histogram", "From a call's arrival to its end.", GROUP
    ),
    MetricSpec(
        "llmproxy_call_overhead_seconds",
        "histogram",
        "The part of the time to the first byte that this proxy took for itself.",
        GROUP,
    ),
    MetricSpec("llmproxy_calls_in_flight", "gauge", "Calls under way."),
    MetricSpec(
        "llmproxy_calls_waiting", "gauge", "Calls that wait for room at an endpoint.", GROUP
    ),
    MetricSpec(
        "llmproxy_caller_calls_total",
        "counter",
        "Calls of a configured caller by status.",
        ("caller", "status"),
    ),
    MetricSpec(
        "llmproxy_caller_tokens_total",
        "counter",
        "Tokens of a caller's answers, as the endpoints counted them: input, output.",
        ("caller", "kind"),
    ),
)
ATTEMPTS = (
    MetricSpec(
        "llmproxy_attempts_total",
        "counter",
        "Attempts by how they ended: answered, failed, abandoned (the client left).",
        (*ENDPOINT, "outcome"),
    ),
    MetricSpec(
        "llmproxy_attempt_failures_total",
        "counter",
        "Attempts that failed, by reason. A series begins with its first failure.",
        (*ENDPOINT, "reason"),
    ),
    MetricSpec(
        "llmproxy_retries_total",
        "counter",
        "Failed attempts that were made again at the same endpoint.",
        (*ENDPOINT, "reason"),
    ),
    MetricSpec(
        "llmproxy_failovers_total",
        "counter",
        "Failed attempts after which the call went to another endpoint.",
        (*ENDPOINT, "reason"),
    ),
    MetricSpec(
        "llmproxy_attempt_first_byte_seconds",
        "histogram",
        "From an answered attempt's begin to its first byte with a meaning.",
        ENDPOINT,
    ),
    MetricSpec(
        "llmproxy_streams_interrupted_total",
        "counter",
        "Answers that broke after their first byte had been passed on.",
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
        "US dollars, where the config has a price or a list price is known.",
        ENDPOINT,
    ),
)
ENDPOINTS = (
    MetricSpec(
        "llmproxy_endpoint_state",
        "gauge",
        "1 for the state that it is in, 0 for the others: ok, full, cooling, open, half-open, "
        "misconfigured, drained.",
        (*ENDPOINT, "state"),
    ),
    MetricSpec(
        "llmproxy_endpoint_available", "gauge", "1: it is healthy, though perhaps full.", ENDPOINT
    ),
    MetricSpec(
        "llmproxy_endpoint_changes_total",
        "counter",
        "How often it came into a state, or an operator did something to it.",
        (*ENDPOINT, "state"),
    ),
    MetricSpec(
        "llmproxy_endpoint_ready_seconds",
        "gauge",
        "Until it takes calls again; +Inf: not by itself.",
        ENDPOINT,
    ),
    MetricSpec("llmproxy_endpoint_in_flight", "gauge", "Attempts under way.", ENDPOINT),
    MetricSpec(
        "llmproxy_endpoint_limit",
        "gauge",
        "What it takes as far as is known: requests and tokens per minute, concurrent attempts.",
        (*ENDPOINT, "kind"),
    ),
    MetricSpec(
        "llmproxy_endpoint_limit_remaining", "gauge", "What is left of it now.", (*ENDPOINT, "kind")
    ),
    MetricSpec(
        "llmproxy_endpoint_limit_configured", "gauge", "What the config says.", (*ENDPOINT, "kind")
    ),
)
CACHE = (
    MetricSpec(
        "llmproxy_cache_calls_total",
        "counter",
        "Calls by what the cache had for them: hit, stale, coalesced (the answer to another call "
        "that asked the same), miss.",
        ("result",),
    ),
    MetricSpec("llmproxy_cache_kept_total", "counter", "Answers that were remembered."),
    MetricSpec(
        "llmproxy_cache_saved_tokens_total",
        "counter",
        "Tokens that were not paid for, as they were counted when the answer was new.",
        ("kind",),
    ),
    MetricSpec(
        "llmproxy_cache_saved_usd_total",
        "counter",
        "US dollars that were not paid, where the endpoint has a price.",
    ),
    MetricSpec("llmproxy_cache_memory_bytes", "gauge", "Bytes of the answers in memory."),
    MetricSpec("llmproxy_cache_memory_answers", "gauge", "Answers in memory."),
    MetricSpec("llmproxy_cache_store_up", "gauge", "1: the store behind the memory answers."),
    MetricSpec("llmproxy_cache_store_queued_bytes", "gauge", "Bytes that wait to be written."),
    MetricSpec("llmproxy_cache_store_reads_total", "counter", "Answers that it was asked for."),
    MetricSpec("llmproxy_cache_store_hits_total", "counter", "Answers that it had."),
    MetricSpec(
        "llmproxy_cache_store_damaged_total",
        "counter",
        "Entries that were corrupt, cut off or foreign; each was a miss.",
    ),
    MetricSpec(
        "llmproxy_cache_store_failures_total", "counter", "Operations that failed or were late."
    ),
    MetricSpec("llmproxy_cache_store_dropped_total", "counter", "Answers that were not written."),
)
PROXY = (
    MetricSpec("llmproxy_build_info", "gauge", "Always 1.", ("version", "python")),
    MetricSpec("llmproxy_workers", "gauge", "Processes that serve calls."),
    MetricSpec("llmproxy_start_time_seconds", "gauge", "When it began to serve, in Unix seconds."),
    MetricSpec("llmproxy_draining", "gauge", "1: it is going down and wants no more calls."),
    MetricSpec(
        "llmproxy_config_loaded_seconds", "gauge", "When its config was read, in Unix seconds."
    ),
    MetricSpec(
        "llmproxy_config_refused",
        "gauge",
        "1: a newer config was refused, the one before is served.",
    ),
    MetricSpec(
        "llmproxy_config_reloads_total", "counter", "Reloads by result: ok, refused.", ("result",)
    ),
    MetricSpec(
        "llmproxy_shared_up",
        "gauge",
        "1: it knows what the other instances know; 0: it keeps to its part of every limit.",
    ),
    MetricSpec("llmproxy_shared_instances", "gauge", "Instances that share a view, with this one."),
)

SECTIONS = {
    "Calls": CALLS,
    "Attempts": ATTEMPTS,
    "Endpoints": ENDPOINTS,
    "The cache": CACHE,
    "The proxy": PROXY,
}
METRICS = {each.name: each for section in SECTIONS.values() for each in section}

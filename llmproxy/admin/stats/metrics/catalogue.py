"""Every metric that there is: its name, kind, meaning and labels. docs/metrics.md is made of it.

Names follow Prometheus' conventions: base units, `_total` for what only grows.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Described(NamedTuple):
    """One metric."""

    name: str
    kind: Kind
    told: str
    labels: tuple[str, ...] = ()


GROUP, ENDPOINT = ("group",), ("group", "endpoint")

CALLS = (
    Described(
        "llmproxy_calls_total",
        "counter",
        "Calls by the endpoint that answered or was tried last (empty: none was) and status: 2xx, "
        "4xx, 5xx, or 499 of a client that left first. An empty group: no model group was found.",
        ("group", "endpoint", "status"),
    ),
    Described(
        "llmproxy_call_errors_total",
        "counter",
        "Calls that failed through no fault of the client: 5xx, 429, broken streams.",
        GROUP,
    ),
    Described(
        "llmproxy_call_fallbacks_total", "counter", "Calls that another group answered.", GROUP
    ),
    Described(
        "llmproxy_call_first_byte_seconds",
        "histogram",
        "From a call's arrival to its answer's first byte, attempts and waiting included.",
        GROUP,
    ),
    Described(
        "llmproxy_call_duration_seconds", "histogram", "From a call's arrival to its end.", GROUP
    ),
    Described(
        "llmproxy_call_overhead_seconds",
        "histogram",
        "The part of the time to the first byte that this proxy took for itself.",
        GROUP,
    ),
    Described("llmproxy_calls_in_flight", "gauge", "Calls under way."),
    Described("llmproxy_calls_waiting", "gauge", "Calls that wait for room at an endpoint.", GROUP),
    Described(
        "llmproxy_caller_calls_total",
        "counter",
        "Calls of a configured caller by status.",
        ("caller", "status"),
    ),
    Described(
        "llmproxy_caller_tokens_total",
        "counter",
        "Tokens of a caller's answers, as the endpoints counted them: input, output.",
        ("caller", "kind"),
    ),
)
ATTEMPTS = (
    Described(
        "llmproxy_attempts_total",
        "counter",
        "Attempts by how they ended: answered, failed, abandoned (the client left).",
        (*ENDPOINT, "outcome"),
    ),
    Described(
        "llmproxy_attempt_failures_total",
        "counter",
        "Attempts that failed, by reason. A series begins with its first failure.",
        (*ENDPOINT, "reason"),
    ),
    Described(
        "llmproxy_retries_total",
        "counter",
        "Failed attempts that were made again at the same endpoint.",
        (*ENDPOINT, "reason"),
    ),
    Described(
        "llmproxy_failovers_total",
        "counter",
        "Failed attempts after which the call went to another endpoint.",
        (*ENDPOINT, "reason"),
    ),
    Described(
        "llmproxy_attempt_first_byte_seconds",
        "histogram",
        "From an answered attempt's begin to its first byte with a meaning.",
        ENDPOINT,
    ),
    Described(
        "llmproxy_streams_interrupted_total",
        "counter",
        "Answers that broke after their first byte had been passed on.",
        ENDPOINT,
    ),
    Described(
        "llmproxy_tokens_total",
        "counter",
        "Tokens as the endpoints counted them: input, output; cached is a part of input.",
        (*ENDPOINT, "kind"),
    ),
    Described(
        "llmproxy_cost_usd_total",
        "counter",
        "US dollars, where the config has a price or a list price is known.",
        ENDPOINT,
    ),
)
ENDPOINTS = (
    Described(
        "llmproxy_endpoint_state",
        "gauge",
        "1 for the state that it is in, 0 for the others: ok, full, cooling, open, half-open, "
        "misconfigured, drained.",
        (*ENDPOINT, "state"),
    ),
    Described(
        "llmproxy_endpoint_available", "gauge", "1: it is healthy, though perhaps full.", ENDPOINT
    ),
    Described(
        "llmproxy_endpoint_changes_total",
        "counter",
        "How often it came into a state, or an operator did something to it.",
        (*ENDPOINT, "state"),
    ),
    Described(
        "llmproxy_endpoint_ready_seconds",
        "gauge",
        "Until it takes calls again; +Inf: not by itself.",
        ENDPOINT,
    ),
    Described("llmproxy_endpoint_in_flight", "gauge", "Attempts under way.", ENDPOINT),
    Described(
        "llmproxy_endpoint_limit",
        "gauge",
        "What it takes as far as is known: requests and tokens per minute, concurrent attempts.",
        (*ENDPOINT, "kind"),
    ),
    Described(
        "llmproxy_endpoint_limit_remaining", "gauge", "What is left of it now.", (*ENDPOINT, "kind")
    ),
    Described(
        "llmproxy_endpoint_limit_configured", "gauge", "What the config says.", (*ENDPOINT, "kind")
    ),
)
CACHE = (
    Described(
        "llmproxy_cache_calls_total",
        "counter",
        "Calls by what the cache had for them: hit, stale, coalesced (the answer to another call "
        "that asked the same), miss.",
        ("result",),
    ),
    Described("llmproxy_cache_kept_total", "counter", "Answers that were remembered."),
    Described(
        "llmproxy_cache_saved_tokens_total",
        "counter",
        "Tokens that were not paid for, as they were counted when the answer was new.",
        ("kind",),
    ),
    Described(
        "llmproxy_cache_saved_usd_total",
        "counter",
        "US dollars that were not paid, where the endpoint has a price.",
    ),
    Described("llmproxy_cache_memory_bytes", "gauge", "Bytes of the answers in memory."),
    Described("llmproxy_cache_memory_answers", "gauge", "Answers in memory."),
    Described("llmproxy_cache_store_up", "gauge", "1: the store behind the memory answers."),
    Described("llmproxy_cache_store_queued_bytes", "gauge", "Bytes that wait to be written."),
    Described("llmproxy_cache_store_reads_total", "counter", "Answers that it was asked for."),
    Described("llmproxy_cache_store_hits_total", "counter", "Answers that it had."),
    Described(
        "llmproxy_cache_store_damaged_total",
        "counter",
        "Entries that were corrupt, cut off or foreign; each was a miss.",
    ),
    Described(
        "llmproxy_cache_store_failures_total", "counter", "Operations that failed or were late."
    ),
    Described("llmproxy_cache_store_dropped_total", "counter", "Answers that were not written."),
)
PROXY = (
    Described("llmproxy_build_info", "gauge", "Always 1.", ("version", "python")),
    Described("llmproxy_workers", "gauge", "Processes that serve calls."),
    Described("llmproxy_start_time_seconds", "gauge", "When it began to serve, in Unix seconds."),
    Described("llmproxy_draining", "gauge", "1: it is going down and wants no more calls."),
    Described(
        "llmproxy_config_loaded_seconds", "gauge", "When its config was read, in Unix seconds."
    ),
    Described(
        "llmproxy_config_refused",
        "gauge",
        "1: a newer config was refused, the one before is served.",
    ),
    Described(
        "llmproxy_config_reloads_total", "counter", "Reloads by result: ok, refused.", ("result",)
    ),
    Described(
        "llmproxy_shared_up",
        "gauge",
        "1: it knows what the other instances know; 0: it keeps to its part of every limit.",
    ),
    Described("llmproxy_shared_instances", "gauge", "Instances that share a view, with this one."),
)

SECTIONS = {
    "Calls": CALLS,
    "Attempts": ATTEMPTS,
    "Endpoints": ENDPOINTS,
    "The cache": CACHE,
    "The proxy": PROXY,
}
METRICS = {each.name: each for section in SECTIONS.values() for each in section}

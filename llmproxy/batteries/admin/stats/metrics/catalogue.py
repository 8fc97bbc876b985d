"""Every metric: its name, kind, meaning and labels, and what it reads.

docs/reference/metrics.md is generated from it.
Names follow Prometheus' conventions: base units, `_total` for counters.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from math import inf

from llmproxy.batteries.admin.stats.levels import LimitView
from llmproxy.batteries.admin.stats.metrics.budgets import BUDGETS
from llmproxy.batteries.admin.stats.metrics.servers import SERVERS
from llmproxy.batteries.admin.stats.metrics.spend import SPENT
from llmproxy.batteries.admin.stats.metrics.subjects import (
    ATTEMPTS,
    CACHE,
    CACHE_NOW,
    CACHE_STORE,
    CALLER,
    ENDPOINT,
    GROUP,
    GROUP_NOW,
    PROXY,
    GroupCalls,
)
from llmproxy.batteries.admin.stats.state import EndpointView
from llmproxy.batteries.admin.stats.status import AVAILABLE, EndpointStatus
from llmproxy.batteries.cache import CacheCounters
from llmproxy.batteries.money import NANO
from llmproxy.batteries.telemetry.counters import OVERHEAD_SECONDS, EndpointCounters
from llmproxy.events import HealthCheckResult

STATUS_CLASSES = ("2xx", "4xx", "499", "5xx")


def _calls_by_endpoint(group: GroupCalls) -> dict[tuple[str, str], float]:
    calls = group.counters.calls
    return {
        (endpoint, status): calls.get(endpoint, {}).get(status, 0)
        for endpoint in dict.fromkeys(("", *group.endpoints, *calls))
        for status in dict.fromkeys((*STATUS_CLASSES, *calls.get(endpoint, {})))
    }


def _health_checks_by_endpoint(group: GroupCalls) -> dict[tuple[str, str], float]:
    checks = group.counters.health_checks
    return {
        (endpoint, result.value): checks.get(endpoint, {}).get(result, 0)
        for endpoint in dict.fromkeys((*group.endpoints, *checks))
        for result in HealthCheckResult
    }


def _hedges_by_outcome(group: GroupCalls) -> dict[str, float]:
    hedges = group.counters.hedges
    return {name: getattr(hedges, name) for name in ("won", "lost", "failed", "abandoned")}


def _attempts_by_outcome(attempts: EndpointCounters) -> dict[str, float]:
    return {
        "answered": attempts.answered,
        "failed": sum(attempts.failed.values()),
        "abandoned": attempts.abandoned,
    }


def _tokens_by_kind(attempts: EndpointCounters) -> dict[str, float]:
    return {
        "input": attempts.input_tokens,
        "output": attempts.output_tokens,
        "cached": attempts.prompt_cache.tokens,
    }


def _by_kind(
    endpoint: EndpointView, number_of: Callable[[LimitView], float | None]
) -> dict[str, float]:
    """Return a number of each limit that is known."""
    limits = endpoint.capacity
    kinds = {"requests": limits.requests, "tokens": limits.tokens, "concurrent": limits.concurrent}
    return {
        kind: number
        for kind, limit in kinds.items()
        if limit is not None and (number := number_of(limit)) is not None
    }


def _cache_results(cache: CacheCounters) -> dict[str, float]:
    return {
        "hit": cache.hits,
        "stale": cache.stale,
        "coalesced": cache.coalesced,
        "miss": cache.misses,
    }


SECTIONS = {
    "Calls": (
        GROUP.counter(
            "llmproxy_calls_total",
            "Calls by status class (2xx, which includes WebSocket sessions, 4xx, 5xx; 499: the "
            "client closed the "
            "connection first) and by the endpoint that answered or was tried last "
            "(empty: none was tried). The group is empty if no model group was "
            "found.",
            _calls_by_endpoint,
            "endpoint",
            "status",
        ),
        GROUP.counter(
            "llmproxy_call_errors_total",
            "Calls that failed, by whose trouble it was: caller_limit (the caller's own limit), "
            "client (a mistake in the request), upstream, proxy. Calls that the client gave up are "
            "not counted.",
            lambda group: group.counters.errors_by_source,
            "source",
        ),
        GROUP.counter(
            "llmproxy_call_fallbacks_total",
            "Calls that were answered by a fallback group.",
            lambda group: group.counters.fallbacks,
        ),
        GROUP.histogram(
            "llmproxy_call_first_byte_seconds",
            "Time from a call's arrival to its answer's first byte, attempts and waiting included.",
            lambda group: group.counters.first_byte,
        ),
        GROUP.histogram(
            "llmproxy_call_duration_seconds",
            "Time from a call's arrival to its end.",
            lambda group: group.counters.total,
        ),
        GROUP.histogram(
            "llmproxy_call_overhead_seconds",
            "The part of the time to the first byte that the proxy itself needed.",
            lambda group: group.counters.overhead,
            OVERHEAD_SECONDS,
        ),
        PROXY.gauge("llmproxy_calls_in_flight", "Calls in flight.", lambda proxy: proxy.in_flight),
        GROUP_NOW.gauge(
            "llmproxy_calls_waiting",
            "Calls that wait for capacity at an endpoint.",
            lambda group: group.waiting,
        ),
        CALLER.counter(
            "llmproxy_caller_calls_total",
            "Calls of a caller, by status class.",
            lambda caller: caller.calls,
            "status",
        ),
        CALLER.counter(
            "llmproxy_caller_tokens_total",
            "Tokens of a caller's calls, as the endpoints counted them: input, output.",
            lambda caller: {"input": caller.input_tokens, "output": caller.output_tokens},
            "kind",
        ),
    ),
    "Spend": SPENT,
    "Budgets": BUDGETS,
    "Attempts": (
        ATTEMPTS.counter(
            "llmproxy_attempts_total",
            "Attempts by outcome: answered, failed, abandoned (the client disconnected, or another "
            "attempt answered first).",
            _attempts_by_outcome,
            "outcome",
        ),
        ATTEMPTS.counter(
            "llmproxy_attempt_failures_total",
            "Failed attempts, by reason. A series begins with its first failure.",
            lambda attempts: attempts.failed,
            "reason",
        ),
        ATTEMPTS.counter(
            "llmproxy_retries_total",
            "Failed attempts that were followed by another one at the same endpoint.",
            lambda attempts: attempts.retried,
            "reason",
        ),
        ATTEMPTS.counter(
            "llmproxy_failovers_total",
            "Failed attempts that were followed by one at another endpoint.",
            lambda attempts: attempts.moved,
            "reason",
        ),
        GROUP.counter(
            "llmproxy_hedges_total",
            "Second attempts beside silent ones, by outcome: won (it answered first), lost, "
            "failed, abandoned (the client disconnected).",
            _hedges_by_outcome,
            "outcome",
        ),
        GROUP.counter(
            "llmproxy_hedge_input_tokens_total",
            "Input tokens that two endpoints have worked on: roughly what hedges add to "
            "`llmproxy_tokens_total` on the vendors' bills.",
            lambda group: group.counters.hedges.input_tokens,
        ),
        GROUP.counter(
            "llmproxy_hedge_cost_usd_total",
            "Their cost in US dollars at the endpoint that did not answer, if its price is known.",
            lambda group: group.counters.hedges.nano_usd / NANO,
        ),
        ATTEMPTS.histogram(
            "llmproxy_attempt_first_byte_seconds",
            "Time from the beginning of an answered attempt to its first meaningful byte.",
            lambda attempts: attempts.first_byte,
        ),
        ATTEMPTS.counter(
            "llmproxy_streams_interrupted_total",
            "Answers that broke after their first byte had been sent to the client.",
            lambda attempts: attempts.interrupted,
        ),
        ATTEMPTS.counter(
            "llmproxy_tokens_total",
            "Tokens as the endpoints counted them: input, output; cached is a part of input.",
            _tokens_by_kind,
            "kind",
        ),
        ATTEMPTS.counter(
            "llmproxy_cost_usd_total",
            "Cost in US dollars, as far as it is known. 0 may mean that it is not: "
            '`llmproxy_spend_calls_total{basis="unknown"}` counts these calls.',
            lambda attempts: attempts.nano_usd / NANO,
        ),
        ATTEMPTS.counter(
            "llmproxy_prompt_cache_saved_usd_total",
            "US dollars saved by vendors' prompt caches, where cached input has a price.",
            lambda attempts: attempts.prompt_cache.saved_nano_usd / NANO,
        ),
    ),
    "Endpoints": (
        ENDPOINT.gauge(
            "llmproxy_endpoint_state",
            "1 for the endpoint's state, 0 for the others: ok, full, cooling, open, "
            "half-open, misconfigured, drained.",
            lambda endpoint: {status.value: endpoint.state is status for status in EndpointStatus},
            "state",
        ),
        ENDPOINT.gauge(
            "llmproxy_endpoint_available",
            "1: the endpoint is known to be healthy, though perhaps full.",
            lambda endpoint: endpoint.state in AVAILABLE,
        ),
        ATTEMPTS.counter(
            "llmproxy_endpoint_changes_total",
            "How often the endpoint entered a state, or an operator changed it.",
            lambda attempts: {change.value: number for change, number in attempts.changes.items()},
            "state",
        ),
        GROUP.counter(
            "llmproxy_health_checks_total",
            "Checks of an endpoint that failed and gets no calls, by result: ok, refused (our "
            "key), failed. They are no calls and no attempts.",
            _health_checks_by_endpoint,
            "endpoint",
            "result",
        ),
        ENDPOINT.gauge(
            "llmproxy_endpoint_ready_seconds",
            "Time until the endpoint takes calls again; +Inf: not by itself.",
            lambda endpoint: inf if endpoint.ready_in_s is None else endpoint.ready_in_s,
        ),
        ENDPOINT.gauge(
            "llmproxy_endpoint_in_flight", "Attempts in flight.", lambda view: view.in_flight
        ),
        ENDPOINT.gauge(
            "llmproxy_endpoint_limit",
            "The known limits: requests and tokens per minute, concurrent attempts.",
            lambda endpoint: _by_kind(endpoint, lambda limit: limit.limit),
            "kind",
        ),
        ENDPOINT.gauge(
            "llmproxy_endpoint_limit_remaining",
            "What is left of the limit now.",
            lambda endpoint: _by_kind(endpoint, lambda limit: limit.left),
            "kind",
        ),
        ENDPOINT.gauge(
            "llmproxy_endpoint_limit_configured",
            "The configured limit.",
            lambda endpoint: _by_kind(endpoint, lambda limit: limit.configured),
            "kind",
        ),
    ),
    "The cache": (
        CACHE.counter(
            "llmproxy_cache_calls_total",
            "Calls by cache result: hit, stale, coalesced (answered with another "
            "call's answer), miss.",
            _cache_results,
            "result",
        ),
        CACHE.counter(
            "llmproxy_cache_kept_total", "Answers that were stored.", lambda cache: cache.kept
        ),
        CACHE.counter(
            "llmproxy_cache_saved_tokens_total",
            "Tokens saved by the cache, as they were counted when the answer was new.",
            lambda cache: {"input": cache.saved_input_tokens, "output": cache.saved_output_tokens},
            "kind",
        ),
        CACHE.counter(
            "llmproxy_cache_saved_usd_total",
            "US dollars saved by the cache, where the endpoint has a price.",
            lambda cache: cache.saved_nano_usd / NANO,
        ),
        CACHE_NOW.gauge(
            "llmproxy_cache_memory_bytes", "Size of the answers in memory.", lambda now: now.bytes
        ),
        CACHE_NOW.gauge(
            "llmproxy_cache_memory_answers", "Answers in memory.", lambda memory: memory.answers
        ),
        CACHE_STORE.gauge(
            "llmproxy_cache_store_up",
            "1: the store behind the memory is connected.",
            lambda store: store.view.connected,
        ),
        CACHE_STORE.gauge(
            "llmproxy_cache_store_queued_bytes",
            "Bytes that wait to be written to the store.",
            lambda store: store.gauges.queued_bytes,
        ),
        CACHE_STORE.counter(
            "llmproxy_cache_store_reads_total", "Lookups in the store.", lambda s: s.counters.reads
        ),
        CACHE_STORE.counter(
            "llmproxy_cache_store_hits_total",
            "Lookups that found an answer.",
            lambda store: store.counters.hits,
        ),
        CACHE_STORE.counter(
            "llmproxy_cache_store_damaged_total",
            "Entries that were corrupt, truncated or foreign; each was a miss.",
            lambda store: store.counters.damaged,
        ),
        CACHE_STORE.counter(
            "llmproxy_cache_store_failures_total",
            "Operations on the store that failed or timed out.",
            lambda store: store.counters.failures,
        ),
        CACHE_STORE.counter(
            "llmproxy_cache_store_dropped_total",
            "Answers that were dropped instead of written to the store.",
            lambda store: store.counters.dropped,
        ),
    ),
    "The proxy": (
        PROXY.gauge(
            "llmproxy_build_info",
            "Always 1.",
            lambda proxy: {(proxy.version, platform.python_version()): 1},
            "version",
            "python",
        ),
        PROXY.gauge(
            "llmproxy_workers", "Worker processes that serve calls.", lambda proxy: proxy.workers
        ),
        PROXY.gauge(
            "llmproxy_start_time_seconds",
            "When the proxy began to serve, in Unix seconds.",
            lambda proxy: proxy.started_at,
        ),
        PROXY.gauge(
            "llmproxy_draining",
            "1: the proxy is shutting down and should get no more calls.",
            lambda proxy: proxy.status == "draining",
        ),
        PROXY.gauge(
            "llmproxy_config_loaded_seconds",
            "When the config in use was loaded, in Unix seconds.",
            lambda proxy: proxy.config.loaded_at,
        ),
        PROXY.gauge(
            "llmproxy_config_refused",
            "1: a newer config was refused, and the previous one is still in use.",
            lambda proxy: proxy.config.error is not None,
        ),
        PROXY.counter(
            "llmproxy_config_reloads_total",
            "Config reloads by result: ok, refused.",
            lambda proxy: {"ok": proxy.config.reloads, "refused": proxy.config.failed_reloads},
            "result",
        ),
        PROXY.counter(
            "llmproxy_log_calls_lost_total",
            "Calls that are missing in a log: access_log, traces.",
            lambda proxy: proxy.lost.model_dump(),
            "log",
        ),
        *SERVERS,
    ),
}
METRICS = {metric.name: metric for section in SECTIONS.values() for metric in section}

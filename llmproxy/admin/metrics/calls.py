"""Calls and attempts: from the tally.

What the config names is told from the start, with zeros, so that a first failure is seen as an
increase; what it no longer names is told on, since counters do not fall.
"""

from __future__ import annotations

from collections.abc import Iterable

from llmproxy.admin.metrics.page import Page
from llmproxy.telemetry.tally import OVERHEAD_SECONDS, SECONDS, Tree

STATUSES = ("2xx", "4xx", "499", "5xx")
Names = dict[str, list[str]]  # of the groups, and of their endpoints


def tell_calls(page: Page, tally: Tree, configured: Names) -> None:
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


def _tell_callers(page: Page, callers: Tree) -> None:
    for caller, counted in callers.items():
        for status, number in counted["calls"].items():
            page.add("llmproxy_caller_calls_total", number, caller, status)
        page.add("llmproxy_caller_tokens_total", counted["input_tokens"], caller, "input")
        page.add("llmproxy_caller_tokens_total", counted["output_tokens"], caller, "output")


def _tell_attempts(page: Page, group: str, endpoints: Tree, configured: Iterable[str]) -> None:
    for endpoint in dict.fromkeys((*configured, *endpoints)):
        _tell_endpoint(page, endpoints.get(endpoint, {}), group, endpoint)


def _tell_endpoint(page: Page, entry: Tree, *labels: str) -> None:
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

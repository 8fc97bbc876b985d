"""Endpoints and the proxy itself, as they are now: from the state that the dashboard shows."""

from __future__ import annotations

import platform
from math import inf

from llmproxy.admin.conditions import CONDITIONS
from llmproxy.admin.metrics.page import Page
from llmproxy.admin.now import EndpointNow, Now

# In these states it would be asked: perhaps not at once.
AVAILABLE = ("ok", "full", "half-open")


def tell_endpoints(page: Page, now: Now) -> None:
    """Of every group and its endpoints."""
    for group in now.groups:
        page.add("llmproxy_calls_waiting", group.waiting, group.group)
        for endpoint in group.endpoints:
            _tell_endpoint(page, endpoint, group.group, endpoint.endpoint)


def _tell_endpoint(page: Page, endpoint: EndpointNow, *labels: str) -> None:
    for state in CONDITIONS:
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


def tell_proxy(page: Page, now: Now) -> None:
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

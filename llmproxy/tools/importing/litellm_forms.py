"""The forms that LiteLLM's settings have to have. What has another one is reported as left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmproxy.tools.importing.source import SourcePart

_WHOLE = {
    *("num_retries", "allowed_fails", "global_max_parallel_requests", "max_parallel_requests"),
    *("default_max_parallel_requests", "port", "redis_port", "db", "redis_db"),
}
_SECONDS = {"cooldown_time", "timeout", "request_timeout", "stream_timeout", "ttl"}
_COMPUTED = {"max_request_size_mb", "max_budget"}
_TEXTS = {
    *("master_key", "host", "redis_host", "password", "redis_password", "username", "url"),
    *("redis_url", "namespace", "disk_cache_dir", "service_name", "type", "mode"),
    *("routing_strategy", "maximum_spend_logs_retention_period", "budget_duration"),
}


def taken(part: SourcePart, key: str) -> Any:
    """Take a setting in the form that it has to have; None if it is none, and stays unread."""
    if key in _WHOLE:
        return part.whole(key)
    if key in _SECONDS:
        return part.reference(key) or part.number(key)
    if key.endswith("fallbacks") and key != "default_fallbacks":
        value = part.peek(key)
        is_list = isinstance(value, list) and all(isinstance(item, dict) for item in value)
        return part.take(key) if is_list or value is None else None
    if key in _COMPUTED:
        return part.number(key)
    return part.text(key) if key in _TEXTS else part.take(key)


def addresses(parts: Sequence[SourcePart], key: str) -> list[tuple[str, Any]]:
    """Take a list of servers: `[host, port]` or `{host: ..., port: ...}`."""
    for part in reversed(parts):
        given = part.peek(key)
        found = [_address(node) for node in given] if isinstance(given, list) else []
        if found and None not in found:
            part.take(key)
            return [address for address in found if address is not None]
    return []


def _address(node: Any) -> tuple[str, Any] | None:
    if isinstance(node, dict):
        node = [node.get("host"), node.get("port", 6379)]
    if not isinstance(node, list) or len(node) != 2:  # host and port
        return None
    host, port = node
    if not isinstance(host, str) or not host or not str(port).isdecimal():
        return None
    return host, int(port)

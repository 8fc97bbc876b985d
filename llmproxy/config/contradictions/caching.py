"""A cache that has no place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmproxy.config.contradictions.base import Contradiction, Path
from llmproxy.config.reading import get

if TYPE_CHECKING:
    from collections.abc import Iterator

PARAMS: Path = ("general_settings", "cache_params")


def of_caching(config: object) -> Iterator[Contradiction]:
    """A server or a file that is not named, and one that nothing is kept in."""
    settings = get(config, "general_settings")
    params = get(settings, "cache_params")
    kind, path = get(params, "type"), get(params, "path")
    addresses = ("redis_url", "redis_host", "redis_sentinels")
    if kind == "redis" and not any(get(settings, key) for key in addresses):
        yield Contradiction(
            (*PARAMS, "type"),
            "found type: redis without a server.",
            "Add redis_url (or redis_host, redis_sentinels) to general_settings.",
        )
    if kind != "redis" and get(params, "across_instances") is True:
        yield Contradiction(
            (*PARAMS, "across_instances"),
            "found across_instances without type: redis.",
            "Add type: redis, or remove it.",
        )
    if kind == "disk" and path is None:
        yield Contradiction(
            (*PARAMS, "type"),
            "found type: disk without a file.",
            "Add path: /var/cache/llmproxy/answers.sqlite3, or another one.",
        )
    if kind != "disk" and path is not None:
        yield Contradiction(
            (*PARAMS, "path"), "found a path without type: disk.", "Add type: disk, or remove it."
        )

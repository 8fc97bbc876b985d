"""Sums over what was counted, for whoever tells it."""

from __future__ import annotations

from llmproxy.telemetry.tally import Tree


def calls_in(group: Tree) -> int:
    """All calls for a group, however they ended."""
    return sum(sum(kinds.values()) for kinds in group["calls"].values())


def hits_in(cache: Tree) -> int:
    """All calls that the cache answered."""
    hits: int = cache["hits"] + cache["stale"] + cache["coalesced"]
    return hits

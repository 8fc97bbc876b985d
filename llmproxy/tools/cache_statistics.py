"""What `llmproxy cache` does: shows the statistics of a running proxy's cache, or purges it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from llmproxy.tools.admin_client import AdminApiError, ask, find_address

PATH = "/admin/cache"
TIMEOUT_S = 70  # purging a large store takes long


def run(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Send the request, print the result, and return the exit status. Raises ConfigError."""
    try:
        address = find_address(options.url, options.config, environ)
        if options.action == "stats":
            print(shown(ask(address, PATH, timeout_s=TIMEOUT_S)))  # noqa: T201
            return 0
        chosen = {"group": options.group, "older_than_s": options.older}
        query = urlencode({name: value for name, value in chosen.items() if value is not None})
        path = f"{PATH}?{query}" if query else PATH
        purged = ask(address, path, timeout_s=TIMEOUT_S, method="DELETE")
    except AdminApiError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(  # noqa: T201
        f"Deleted {_count(purged['memory'], 'answer')} in memory, "
        f"{purged['second_level']:,} in the store behind it."
    )
    return 0


def shown(stats: Mapping[str, Any]) -> str:
    """Return the response of /admin/cache as readable lines."""
    served = stats["hits"] + stats["coalesced"] + stats["stale"]
    total = served + stats["misses"]
    share = f" ({served / total:.1%} of {total:,} calls)" if total else ""
    off = ["off:       set general_settings.cache: true to use it"]
    lines = [
        *(() if stats["enabled"] else off),
        f"served:    {stats['hits']:,} hits, {stats['coalesced']:,} coalesced, "
        f"{stats['stale']:,} stale{share}",
        f"missed:    {stats['misses']:,} misses, {stats['kept']:,} of their answers are stored",
        f"saved:     {stats['saved_input_tokens']:,} input and {stats['saved_output_tokens']:,} "
        f"output tokens, {stats['saved_usd']:,.4f} US dollars",
        f"memory:    {_kept(stats['memory'])}",
    ]
    behind = stats["second_level"]
    if behind is not None:
        state = "connected" if behind["connected"] else f"not connected: {behind['why']}"
        lines.append(f"store:     {_kept(behind['kept'])}; {state}")
        lines.append(
            f"           {behind['hits']:,} of {behind['reads']:,} reads were hits, "
            f"{behind['damaged']:,} damaged; {behind['failures']:,} operations failed, "
            f"{behind['dropped']:,} writes were dropped"
        )
    return "\n".join(lines)


def _kept(kept: Mapping[str, int] | None) -> str:
    if kept is None:
        return "unknown"
    return f"{_count(kept['entries'], 'answer')}, {kept['bytes'] / 1e6:,.1f} MB"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"

"""`llmproxy explain`: where a call would go now, as the running proxy says; nothing is sent.

Where none runs, the config tells how one would decide that has just been started.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from time import monotonic
from urllib.parse import urlencode

from llmproxy.admin.api.explain import Candidate, Explanation, explained, group_of, no_such_group
from llmproxy.config import load_config
from llmproxy.runtime import pool_of
from llmproxy.tools.admin_client import AdminApiError, ask, find_address

TIMEOUT_S = 5


def run(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Ask, and print; returns the exit status: 1 = the proxy refuses, or there is no such model.
    Raises ConfigError."""
    try:
        found, source = _explanation(options, environ)
    except AdminApiError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print("\n".join([*told(found), source]))  # noqa: T201
    return 0


def _explanation(
    options: argparse.Namespace, environ: Mapping[str, str]
) -> tuple[Explanation, str]:
    address = find_address(options.url, options.file, environ)
    query = urlencode({"model": options.model, "tokens": options.tokens})
    try:
        answer = ask(address, f"/admin/explain?{query}", timeout_s=TIMEOUT_S)
        return Explanation.model_validate(answer), f"as the proxy at {address.url} says"
    except AdminApiError as error:
        if error.reached or options.url is not None:
            raise
        asked = f"{address.url}: {error.brief}"
    config = load_config(options.file, environ)
    pool = pool_of(config)
    group = group_of(options.model, pool)
    if group is None:
        raise AdminApiError(no_such_group(options.model, pool))
    wait_s = config.general_settings.queue.max_wait_s
    found = explained(options.model, group, options.tokens, monotonic(), max_wait_s=wait_s)
    return found, f"as a proxy would that has just started; none answers at {asked}"


def told(found: Explanation) -> list[str]:
    """In lines for people."""
    tokens = f", {found.tokens:,} tokens" if found.tokens else ""
    group = "" if found.group == found.model else f" (group {found.group})"
    lines = [f"{found.model}{group}{tokens}: would {found.would}"]
    width = max(len(each.endpoint) for tier in found.tiers for each in tier.endpoints)
    for tier in found.tiers:
        lines.append(f"  tier {tier.tier}")
        lines += [f"    {each.endpoint:{width}}  {_candidate(each)}" for each in tier.endpoints]
    if found.fallbacks:
        lines.append(f"  then {', '.join(found.fallbacks)}")
    return lines


def _candidate(each: Candidate) -> str:
    return f"takes {each.share:.0%} of the tier's calls" if each.takes else f"no: {each.why}"

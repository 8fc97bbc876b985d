"""What `llmproxy explain` does: shows where a call would go now. Nothing is sent to an endpoint.

It asks the running proxy. If none is running, it shows what one that starts now would do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from urllib.parse import urlencode

from llmproxy.batteries.admin.api.explain import (
    Candidate,
    Explanation,
    explained_call,
)
from llmproxy.batteries.config_file import load_config, served_file
from llmproxy.batteries.parameters import with_edits
from llmproxy.batteries.price_list import with_list_prices
from llmproxy.batteries.strategies import ALL_STRATEGIES
from llmproxy.batteries.translation import with_translators
from llmproxy.providers import endpoints_of
from llmproxy.runtime import pool_of
from llmproxy.tools.admin_client import AdminApiError, ask, find_address
from llmproxy.tools.as_caller import pool_for

TIMEOUT_S = 5


def run(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Print the explanation, and return the exit status: 1 = an API error, or no such model.

    Raises ConfigError.
    """
    try:
        found, source = _explanation(options, environ)
    except AdminApiError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print("\n".join([*lines_of(found), source]))  # noqa: T201
    return 0


def _explanation(
    options: argparse.Namespace, environ: Mapping[str, str]
) -> tuple[Explanation, str]:
    file = served_file(options.config, environ)
    address = find_address(options.url, options.config, environ)
    asked_for = {"model": options.model, "tokens": options.tokens}
    if options.caller is not None:
        asked_for["caller"] = options.caller
    query = urlencode(asked_for)
    try:
        answer = ask(address, f"/admin/explain?{query}", timeout_s=TIMEOUT_S)
        return Explanation.model_validate(answer), f"according to the proxy at {address.url}"
    except AdminApiError as error:
        if error.reached or options.url is not None or file is None:
            raise
        asked = f"{address.url}: {error.brief}"
    config = load_config(file, environ)
    endpoints = with_translators(config, with_edits(config, endpoints_of(config)))
    endpoints = with_list_prices(config, endpoints)
    pool = pool_of(config, endpoints=endpoints, strategies=ALL_STRATEGIES)
    try:
        names = pool_for(options.caller, config, pool)
        found = explained_call(options.model, options.tokens, names, config)
    except LookupError as error:
        raise AdminApiError(str(error)) from error
    return found, f"for a proxy that has just started; none answers at {asked}"


def lines_of(found: Explanation) -> list[str]:
    """Return an explanation as readable lines."""
    tokens = f", {found.tokens:,} tokens" if found.tokens else ""
    group = "" if found.group == found.model else f" (group {found.group})"
    lines = [f"{found.model}{group}{tokens}: would {found.would}"]
    width = max(len(candidate.endpoint) for tier in found.tiers for candidate in tier.endpoints)
    for tier in found.tiers:
        lines.append(f"  tier {tier.tier}")
        for candidate in tier.endpoints:
            lines.append(f"    {candidate.endpoint:{width}}  {_verdict(candidate)}")
            if found.tokens:
                lines.append(f"    {'':{width}}  {_cost(candidate)}")
            if candidate.changes is not None:
                lines.append(f"    {'':{width}}  {candidate.changes}")
    if found.fallbacks:
        lines.append(f"  then {', '.join(found.fallbacks)}")
    return lines


def _verdict(candidate: Candidate) -> str:
    if candidate.takes:
        return f"takes {candidate.share:.0%} of the tier's calls"
    return f"no: {candidate.why}"


def _cost(candidate: Candidate) -> str:
    if candidate.least_usd is None:
        return "costs are not known: it has no price"
    return f"costs ${candidate.least_usd} (all input) to ${candidate.most_usd} (all output)"

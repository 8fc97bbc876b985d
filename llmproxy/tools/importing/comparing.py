"""Compares where LiteLLM's own Router and LLMProxy send the same calls.

Both get the same config, each in its own form, with every deployment replaced by a simulated one on
loopback that answers with its name. Cooldowns and timeouts are off, so that no scenario changes the
next one, except in scenarios about them, which have a router of their own. LiteLLM runs in a Python
of its own, which need not be ours, and at the same time as LLMProxy.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmproxy.tools.importing.litellm import LiteLLM
from llmproxy.tools.importing.our_router import asked_of_us
from llmproxy.tools.importing.routing_upstream import RoutingUpstream, routing_upstream
from llmproxy.tools.importing.scenario import (
    TIMEOUT_S,
    Counts,
    Routed,
    Scenario,
    Setup,
)
from llmproxy.tools.importing.scenarios import deployment, scenarios_of, settings_of
from llmproxy.tools.importing.source import SourcePart

TOLERANCE = 0.18  # of a share: LiteLLM draws at random, and its calls are a sample
NEVER_TOLERANCE = 0.1  # where one of both never asks an endpoint
REFUSED = "refused"
WITHIN_S = 600
# What decides where a call goes; all else of a deployment is replaced.
_KEPT = ("weight", "order", "rpm", "tpm", "tags", "tag_regex", "region_name", "num_retries")
_KEPT_INFO = ("order", "team_id", "team_public_model_name")
_SETTINGS = (
    *("fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks"),
    *("model_group_alias", "routing_strategy", "num_retries", "max_fallbacks", "retry_policy"),
    *("model_group_retry_policy", "enable_tag_filtering", "tag_filtering_match_any"),
    *("enable_pre_call_checks", "enable_weighted_failover"),
)
_COOLDOWN = ("allowed_fails", "allowed_fails_policy", "disable_cooldowns")
HOW_TO_GET = (
    "LiteLLM is not installed for this Python. Install it anywhere, and name its Python:\n"
    "  python -m venv litellm && litellm/bin/pip install litellm\n"
    "  LITELLM_PYTHON=litellm/bin/python llmproxy import FILE --check"
)
_ENVIRONMENT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # no list of prices is fetched


@dataclass(frozen=True, slots=True)
class Compared:
    """A scenario with what both did."""

    scenario: Scenario
    original: Routed
    ours: Routed

    @property
    def verdict(self) -> str:
        """Return "as before", "fails less", a known reason of a difference, or "DIFFERS".

        "fails less": the same endpoints, fewer refusals or fallbacks; a status is a refusal.
        """
        one, other = _shares(self.original.counts), _shares(self.ours.counts)
        members = self.scenario.members or one.keys() - {REFUSED}
        answered = {name: share for name, share in one.items() if name in members}
        kept = sum(answered.values())
        if 0 < kept < 1 and other.keys() <= set(members):
            answered = {name: share / kept for name, share in answered.items()}
            if _alike(answered, other):
                return "fails less"
        if _alike(one, other):
            return "as before"
        return f"otherwise: {self.scenario.reason}" if self.scenario.reason else "DIFFERS"


def litellm_python(environ: Mapping[str, str]) -> str | None:
    """Return a Python that has LiteLLM: that of LITELLM_PYTHON, or our own; None: neither."""
    if named := environ.get("LITELLM_PYTHON"):
        return named
    return sys.executable if importlib.util.find_spec("litellm") else None


def compare(
    reader: LiteLLM,
    *,
    original: Callable[[RoutingUpstream, LiteLLM, Sequence[Scenario]], Sequence[Counts]],
) -> list[Compared]:
    """Return what both did in every scenario of a config that was read."""
    scenarios = scenarios_of(reader)
    with (
        routing_upstream(scenarios) as theirs,
        routing_upstream(scenarios) as ours,
        ThreadPoolExecutor(1) as beside,
    ):
        asked = beside.submit(original, theirs, reader, scenarios)
        answers = asked_of_us(ours, reader.gateway, scenarios)
        originals = asked.result()
    return [
        Compared(scenario, scenario.routed(one, tried), scenario.routed(other, tried_here))
        for scenario, one, tried, other, tried_here in zip(
            scenarios, originals, theirs.attempts, answers, ours.attempts, strict=True
        )
    ]


def asked_of_litellm(
    upstream: RoutingUpstream,
    reader: LiteLLM,
    scenarios: Sequence[Scenario],
    *,
    python: str,
) -> list[Counts]:
    """Return what LiteLLM's Router does. Raises RuntimeError if it cannot be run."""
    settings = settings_of(reader)
    task = {
        "setups": {setup: _router(reader, settings, setup, upstream.url) for setup in Setup},
        "scenarios": [
            asdict(one)
            | {
                "team": one.request.get("metadata", {}).get("user_api_key_team_id"),
                "warm_up_calls": one.warm_up_calls,
            }
            for one in scenarios
        ],
    }
    script = Path(__file__).with_name("litellm_router.py")
    done = subprocess.run(  # noqa: S603 - the Python that the user named
        [python, "-W", "ignore", str(script)],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        env={**os.environ, **_ENVIRONMENT},
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"LiteLLM's Router cannot be run: {done.stderr.strip()[-500:]}")
    found: list[Counts] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(compared: Sequence[Compared]) -> str:
    """Return the comparison as a table."""
    lines = [("calls for", "LiteLLM", "LLMProxy", "")]
    lines += [
        (one.scenario.about, _shown(one.original, one), _shown(one.ours, one), one.verdict)
        for one in compared
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    rows = [
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, [*widths, 0], strict=True)
        ).rstrip()
        for line in lines
    ]
    verdicts = Counter(one.verdict.partition(":")[0] for one in compared)
    summary = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    return "\n".join([*rows, "", f"{len(compared)} compared: {summary}."])


def _router(
    reader: LiteLLM, settings: Mapping[str, Any], setup: Setup, upstream: str
) -> dict[str, Any]:
    """Return the arguments of a Router for a kind of scenario."""
    kept = [*_SETTINGS, *(_COOLDOWN if setup is Setup.COOLDOWN else ())]
    found = {key: settings[key] for key in kept if key in settings}
    if setup is Setup.COOLDOWN:
        found["cooldown_time"] = 60
    else:
        found["disable_cooldowns"] = True
    if setup is Setup.TIMEOUT and (settings.get("timeout") or settings.get("request_timeout")):
        found["timeout"] = TIMEOUT_S
    entries = [_simulated(entry, n, upstream, setup) for n, entry in enumerate(reader.entries)]
    return {"model_list": entries, **found}


def _simulated(entry: SourcePart, number: int, upstream: str, setup: Setup) -> dict[str, Any]:
    """Return an entry of model_list whose deployment is simulated."""
    params, info = entry.peek("litellm_params") or {}, entry.peek("model_info") or {}
    name = deployment(number)
    model = "*" if "*" in str(params.get("model")) else name
    timeout = {"timeout": TIMEOUT_S} if setup is Setup.TIMEOUT and params.get("timeout") else {}
    return {
        "model_name": entry.peek("model_name"),
        "litellm_params": {
            **{key: params[key] for key in _KEPT if key in params},
            **{"model": f"openai/{model}", "api_base": f"{upstream}/{name}/v1", "api_key": "none"},
            **timeout,
            "max_retries": 0,
        },
        "model_info": {**{key: info[key] for key in _KEPT_INFO if key in info}, "id": name},
    }


def _shares(counts: Counts) -> dict[str, float]:
    merged: Counter[str] = Counter()
    for name, count in counts.items():
        merged[REFUSED if name.startswith("status") else name] += count
    return {name: count / (merged.total() or 1) for name, count in merged.items()}


def _alike(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    names = one.keys() | other.keys()
    pairs = [sorted((one.get(name, 0.0), other.get(name, 0.0))) for name in names]
    return all(most - least <= (TOLERANCE if least else NEVER_TOLERANCE) for least, most in pairs)


def _shown(routed: Routed, of: Compared) -> str:
    """Return the shares, and the attempts of a call where both made more than one."""
    whole = sum(routed.counts.values()) or 1
    most = sorted(routed.counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shares = ", ".join(f"{name} {count / whole:.0%}" for name, count in most) or "nothing"
    attempts = routed.attempts / of.scenario.calls
    if of.scenario.states and of.scenario.setup is not Setup.COOLDOWN and attempts > 1:
        shares += f" ({attempts:.2g} attempts)"
    return shares

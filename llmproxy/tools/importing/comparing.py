"""Compares where LiteLLM's own Router and LLMProxy send the same calls.

Both get the same config, each in its own form, with every deployment replaced by a simulated one on
loopback that answers with its name. Cooldowns are off on both sides, so that no scenario changes
the next one. LiteLLM runs in a Python of its own, which need not be ours.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmproxy.tools.importing.gateway import Gateway, ImportedGroup
from llmproxy.tools.importing.litellm import LiteLLM
from llmproxy.tools.importing.our_router import asked_of_us
from llmproxy.tools.importing.routing_upstream import RoutingUpstream, routing_upstream
from llmproxy.tools.importing.scenario import FEW_CALLS, Scenario
from llmproxy.tools.importing.source import SourcePart

CALLS = 100  # where several may answer
TOLERANCE = 0.15  # of a share: LiteLLM draws at random, and 100 calls are a sample
REFUSED = "refused"
UNKNOWN_MODEL = "no-such-model"
STAR = "sample"  # what the star of a wildcard stands for
WITHIN_S = 600
# What decides where a call goes; all else of a deployment is replaced.
_KEPT = ("weight", "order", "rpm", "tpm")
_SETTINGS = (
    *("fallbacks", "default_fallbacks", "model_group_alias", "routing_strategy", "num_retries"),
    *("max_fallbacks",),
)
HOW_TO_GET = (
    "LiteLLM is not installed for this Python. Install it anywhere, and name its Python:\n"
    "  python -m venv litellm && litellm/bin/pip install litellm\n"
    "  LITELLM_PYTHON=litellm/bin/python llmproxy import FILE --check"
)
# No list of prices is fetched, and no second is waited before a retry.
_ENVIRONMENT = {
    **{"LITELLM_LOCAL_MODEL_COST_MAP": "True", "INITIAL_RETRY_DELAY": "0.01"},
    **{"MAX_RETRY_DELAY": "0.01", "JITTER": "0.01"},
}
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Compared:
    """A scenario with what both did: how many calls each deployment answered."""

    scenario: Scenario
    original: Counts
    ours: Counts

    @property
    def verdict(self) -> str:
        """Return "as before", "fails less" (the same endpoints, and fewer refusals) or "DIFFERS".

        All statuses count as one refusal.
        """
        one, other = _shares(self.original), _shares(self.ours)
        refused = one.get(REFUSED, 0.0)
        if 0 < refused < 1 and REFUSED not in other:
            answered = {n: share / (1 - refused) for n, share in one.items() if n != REFUSED}
            return "fails less" if _alike(answered, other) else "DIFFERS"
        return "as before" if _alike(one, other) else "DIFFERS"


def litellm_python(environ: Mapping[str, str]) -> str | None:
    """Return a Python that has LiteLLM: that of LITELLM_PYTHON, or our own; None: neither."""
    if named := environ.get("LITELLM_PYTHON"):
        return named
    return sys.executable if importlib.util.find_spec("litellm") else None


def compare(
    reader: LiteLLM,
    *,
    original: Callable[[RoutingUpstream, LiteLLM, Sequence[Scenario]], list[Counts]],
) -> list[Compared]:
    """Return what both did in every scenario of a config that was read."""
    scenarios = list(
        scenarios_of(reader.gateway, [entry.peek("model_name") for entry in reader.entries])
    )
    with routing_upstream() as upstream:
        theirs = original(upstream, reader, scenarios)
        ours = asked_of_us(upstream, reader.gateway, scenarios)
    return [
        Compared(scenario, one, other)
        for scenario, one, other in zip(scenarios, theirs, ours, strict=True)
    ]


def scenarios_of(gateway: Gateway, names: Sequence[Any]) -> Iterator[Scenario]:
    """Yield what is asked: every name, alias and wildcard, all well and with its group down."""
    for name in dict.fromkeys([*map(str, names), *gateway.groups]):
        model = name.replace("*", STAR)
        group = gateway.groups.get(name)
        is_shared = group is not None and len(group.endpoints) > 1
        yield Scenario(model, model, (), CALLS if is_shared else FEW_CALLS)
        if group is not None:
            first = sorted(group.endpoints, key=lambda endpoint: endpoint.tier)
            if len(first) > 1:
                down = _deployment(first[0].origin)
                yield Scenario(f"{model}, {down} down", model, (down,), CALLS)
            yield Scenario(f"{model}, all down", model, _deployments(group))
            for key in ("aliases", "hidden_aliases"):
                for alias in group.extra.get(key, ()):
                    yield Scenario(f"{alias} (alias)", alias)
    yield Scenario("unknown model", UNKNOWN_MODEL)


def asked_of_litellm(
    upstream: RoutingUpstream,
    reader: LiteLLM,
    scenarios: Sequence[Scenario],
    *,
    python: str,
) -> list[Counts]:
    """Return what LiteLLM's Router does. Raises RuntimeError if it cannot be run."""
    task = {
        "upstream": upstream.url,
        "model_list": [
            _simulated(entry, n, upstream.url) for n, entry in enumerate(reader.entries)
        ],
        "settings": _settings(reader),
        "scenarios": [
            {"model": one.model, "failing": list(one.failing), "calls": one.calls}
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
        (one.scenario.about, _shown(one.original), _shown(one.ours), one.verdict)
        for one in compared
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    rows = [
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, [*widths, 0], strict=True)
        ).rstrip()
        for line in lines
    ]
    verdicts = Counter(one.verdict for one in compared)
    summary = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    return "\n".join([*rows, "", f"{len(compared)} compared: {summary}."])


def _simulated(entry: SourcePart, number: int, upstream: str) -> dict[str, Any]:
    """Return an entry of model_list whose deployment is simulated."""
    params = entry.peek("litellm_params") or {}
    name = _deployment(number)
    star = "*" if "*" in str(entry.peek("model_name")) else name
    return {
        "model_name": entry.peek("model_name"),
        "litellm_params": {
            **{key: params[key] for key in _KEPT if key in params},
            **{"model": f"openai/{star}", "api_base": f"{upstream}/{name}/v1", "api_key": "none"},
            "max_retries": 0,
        },
        "model_info": {"id": name},
    }


def _settings(reader: LiteLLM) -> dict[str, Any]:
    found: dict[str, Any] = {"disable_cooldowns": True}
    for root in {id(entry.source): entry.source.root for entry in reader.entries}.values():
        for section in ("litellm_settings", "router_settings"):
            values = root.peek(section)
            if isinstance(values, dict):
                found |= {key: values[key] for key in _SETTINGS if key in values}
    return found


def _deployment(number: int) -> str:
    return f"d{number}"


def _deployments(group: ImportedGroup) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_deployment(endpoint.origin) for endpoint in group.endpoints))


def _shares(counts: Counts) -> dict[str, float]:
    merged: Counter[str] = Counter()
    for name, count in counts.items():
        merged[REFUSED if name.startswith("status") else name] += count
    return {name: count / merged.total() for name, count in merged.items()}


def _alike(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    names = one.keys() | other.keys()
    return all(abs(one.get(name, 0.0) - other.get(name, 0.0)) <= TOLERANCE for name in names)


def _shown(counts: Counts) -> str:
    whole = sum(counts.values())
    most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {count / whole:.0%}" for name, count in most)

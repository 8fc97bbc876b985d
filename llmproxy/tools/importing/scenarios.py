"""Chooses the calls that `import --check` sends: every kind of routing that a config has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmproxy.tools.importing.gateway import ImportedEndpoint, ImportedGroup
from llmproxy.tools.importing.litellm import LiteLLM
from llmproxy.tools.importing.scenario import (
    CALLS,
    FEW_CALLS,
    SOME_CALLS,
    DeploymentState,
    Scenario,
    Setup,
)

UNKNOWN_MODEL = "no-such-model"
STAR = "sample"  # what the star of a wildcard stands for
NO_TAGS = "calls are not routed by tags"
NO_REGIONS = "endpoints are not chosen by region"
NO_TEAMS = "a team's own names are `aliases` of a caller"
NO_ORDER = "all endpoints of the group are tried before its fallbacks"
OUR_MISTAKE = "a client's mistake is answered at once"
LEFT_OUT = "the import leaves an entry out"
_TIMEOUTS = ("timeout", "request_timeout")


def scenarios_of(reader: LiteLLM) -> list[Scenario]:
    """Return what is asked of a config that was read."""
    asked = _Asked(reader)
    return [*asked.names(), *asked.failures(), *asked.cooldowns(), *asked.timeouts()]


def settings_of(reader: LiteLLM) -> dict[str, Any]:
    """Return router_settings and litellm_settings of all files; what comes later wins."""
    found: dict[str, Any] = {}
    roots = {id(entry.source): entry.source.root for entry in reader.entries}.values()
    for section in ("litellm_settings", "router_settings"):
        for root in roots:
            values = root.peek(section)
            found |= values if isinstance(values, dict) else {}
    return found


def deployment(number: int) -> str:
    """Return the name of the entry of model_list with this number."""
    return f"d{number}"


class _Asked:
    """The scenarios of one config."""

    def __init__(self, reader: LiteLLM) -> None:
        self._gateway = reader.gateway
        self._settings = settings_of(reader)
        self._entries: dict[str, list[tuple[int, Mapping[str, Any], Mapping[str, Any]]]] = {}
        for number, entry in enumerate(reader.entries):
            params, info = entry.peek("litellm_params"), entry.peek("model_info")
            found = (number, params or {}, info or {})
            self._entries.setdefault(str(entry.peek("model_name")), []).append(found)
        self._groups = [g for name, g in self._gateway.groups.items() if name in self._entries]

    def names(self) -> Iterator[Scenario]:
        """Yield every name, alias, tag, region and team, with everything up."""
        for name in self._entries:
            model = name.replace("*", STAR)
            calls = CALLS if len(self._entries[name]) > 1 else FEW_CALLS
            yield Scenario(model, model, calls=calls, reason=self._reason(name))
            yield from self._chosen(name, model)
        for alias in self._settings.get("model_group_alias") or {}:
            yield Scenario(f"{alias} (alias)", str(alias), calls=CALLS)
        yield Scenario("unknown model", UNKNOWN_MODEL)

    def failures(self) -> Iterator[Scenario]:
        """Yield every group with one endpoint down, with all down, and with refused prompts."""
        for group in self._groups:
            model, reason = group.name.replace("*", STAR), self._reason(group.name)
            everyone = [deployment(endpoint.origin) for endpoint in group.endpoints]
            if len(everyone) > 1:
                down = deployment(_first(group).origin)
                states = {down: DeploymentState.DOWN}
                why = reason or self._order_reason(group)
                calls = CALLS if len(everyone) > 2 else SOME_CALLS
                about, members = f"{model}, {down} down", tuple(everyone)
                yield Scenario(about, model, states, calls, reason=why, members=members)
            words = {
                "all down": DeploymentState.DOWN,
                "prompt too long": DeploymentState.TOO_LONG,
                "content refused": DeploymentState.FILTERED,
                "call mistaken": DeploymentState.MISTAKEN,
            }
            for word, state in words.items():
                if state is DeploymentState.DOWN or _falls_back(group):
                    states = dict.fromkeys(everyone, state)
                    why = OUR_MISTAKE if state is DeploymentState.MISTAKEN else reason
                    yield Scenario(f"{model}, {word}", model, states, reason=why)

    def cooldowns(self) -> Iterator[Scenario]:
        """Yield the first group of several, with one that goes on failing."""
        for group in [g for g in self._groups if len(g.endpoints) > 1][:1]:
            model, name = group.name.replace("*", STAR), deployment(_first(group).origin)
            for word, state in (("429", DeploymentState.BUSY), ("500", DeploymentState.DOWN)):
                yield Scenario(
                    f"{model}, tried after {name}'s {word}s",
                    model,
                    {name: state},
                    CALLS,
                    Setup.COOLDOWN,
                    reason=self._reason(group.name),
                )

    def timeouts(self) -> Iterator[Scenario]:
        """Yield the largest group with a timeout, whose first endpoint is slower."""
        everywhere = any(self._settings.get(key) for key in _TIMEOUTS)
        bounded = [g for g in self._groups if everywhere or "timeout" in _first(g).params]
        for group in sorted(bounded, key=lambda group: -len(group.endpoints))[:1]:
            model, name = group.name.replace("*", STAR), deployment(_first(group).origin)
            states = {name: DeploymentState.SLOW}
            about, reason = f"{model}, {name} too slow", self._order_reason(group)
            yield Scenario(about, model, states, FEW_CALLS, Setup.TIMEOUT, reason=reason)

    def _chosen(self, name: str, model: str) -> Iterator[Scenario]:
        """Yield calls that LiteLLM sends to some entries of a name: by tag, region or team."""
        entries = self._entries[name]
        tags = [tag for _, params, _ in entries for tag in _listed(params.get("tags"))]
        if self._settings.get("enable_tag_filtering"):
            for tag in dict.fromkeys(tags):
                request = {"metadata": {"tags": [tag]}}
                about = f"{model}, tag {tag}"
                yield Scenario(about, model, {}, SOME_CALLS, request=request, reason=NO_TAGS)
        if self._settings.get("enable_pre_call_checks") and len(entries) > 1:
            for region in dict.fromkeys(
                p["region_name"] for _, p, _ in entries if "region_name" in p
            ):
                request = {"allowed_model_region": region}
                about = f"{model}, region {region}"
                yield Scenario(about, model, {}, SOME_CALLS, request=request, reason=NO_REGIONS)
        for _, _, info in entries:
            if team := info.get("team_id"):
                public = str(info.get("team_public_model_name") or model)
                request = {"metadata": {"user_api_key_team_id": team}}
                yield Scenario(f"{public}, team {team}", public, request=request, reason=NO_TEAMS)

    def _order_reason(self, group: ImportedGroup) -> str:
        """Return why an ordered group may be left later than by LiteLLM; "": it may not.

        LiteLLM goes on to the next order, but to no entry that has none.
        """
        orders = [params.get("order") for _, params, _ in self._entries[group.name]]
        return NO_ORDER if None in orders and len(set(orders)) > 1 else ""

    def _reason(self, name: str) -> str:
        """Return why a name may be routed otherwise, as the report says; "": it may not."""
        entries = self._entries[name]
        group = self._gateway.groups.get(name)
        if group is None or len(group.endpoints) < len(entries):
            return LEFT_OUT
        if self._settings.get("enable_tag_filtering") and any(p.get("tags") for _, p, _ in entries):
            return NO_TAGS
        return NO_TEAMS if any(info.get("team_id") for *_, info in entries) else ""


def _first(group: ImportedGroup) -> ImportedEndpoint:
    return min(group.endpoints, key=lambda endpoint: endpoint.tier)


def _falls_back(group: ImportedGroup) -> bool:
    return any(key.endswith("fallbacks") for key in group.extra)


def _listed(value: object) -> Sequence[str]:
    return value if isinstance(value, list) else []

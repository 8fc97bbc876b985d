"""Reads the settings of a LiteLLM config: router_settings, litellm_settings, general_settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from llmproxy.tools.importing.gateway import Gateway, ImportedGroup
from llmproxy.tools.importing.litellm_forms import addresses, taken
from llmproxy.tools.importing.litellm_keys import Remedy, remedy
from llmproxy.tools.importing.report import ImportOutcome, ImportReport
from llmproxy.tools.importing.secrets import literal_secret
from llmproxy.tools.importing.source import SourcePart

_STRATEGIES = {
    "simple-shuffle": "weighted",
    "least-busy": "least_busy",
    "latency-based-routing": "latency",
    "cost-based-routing": "cheapest",
    "usage-based-routing": "weighted",
    "usage-based-routing-v2": "weighted",
}
_CACHES = {"local": "memory", "redis": "redis", "disk": "disk"}
_REDIS = {
    **{"host": "redis_host", "port": "redis_port", "password": "redis_password"},
    **{"username": "redis_username", "url": "redis_url", "db": "redis_db", "ssl": "redis_ssl"},
    **{"redis_host": "redis_host", "redis_port": "redis_port", "redis_url": "redis_url"},
    **{"redis_password": "redis_password", "redis_db": "redis_db"},
}
# LiteLLM's lists of fallbacks -> ours.
_FALLBACKS = {
    "fallbacks": "fallbacks",
    "context_window_fallbacks": "context_window_fallbacks",
    "content_policy_fallbacks": "content_filter_fallbacks",
}
_DURATIONS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PERIODS = {3600: "hour", 86_400: "day", 604_800: "week", 2_592_000: "month"}
_MIB = 1024 * 1024
LITELLM_HABITS = (
    "Scripts that make keys at /key/generate, and clients that read x-litellm-* headers, need "
    "`litellm_habits: true` in general_settings: see docs/reference/litellm-habits.md."
)
Written = tuple[SourcePart, str, Any]  # where a setting is, and its value


class Settings:
    """The settings of all files of a config; what a later file says wins."""

    def __init__(self, gateway: Gateway, report: ImportReport, roots: Sequence[SourcePart]) -> None:
        self._gateway = gateway
        self._report = report
        self._router = [root.part("router_settings") for root in roots]
        self._litellm = [root.part("litellm_settings") for root in roots]
        self._general = [root.part("general_settings") for root in roots]
        # What endpoints need to know before the rest is applied.
        self.drops_params = bool(self._last("drop_params", self._litellm))
        self.concurrent = self._last("default_max_parallel_requests", self._router) or self._last(
            "max_parallel_requests", self._general
        )
        found = self._routing("routing_strategy")
        strategy = None if found is None else str(found[2])
        # Whether LiteLLM chooses by weight; and whether rpm and tpm are upper bounds there, too.
        self.weighs = strategy not in _STRATEGIES or strategy == "simple-shuffle"
        self.bounds = strategy is not None and strategy.startswith("usage-based-routing")

    def apply(self) -> None:
        """Set everything that follows from the settings, once all groups are known."""
        self._set_admission()
        self._set_reliability()
        self._set_strategy()
        self._set_aliases()
        for key, ours in _FALLBACKS.items():
            self._set_fallbacks(key, ours)
        self._set_shared_state()
        self._set_cache()
        self._set_rest()

    def _written(self, key: str, parts: Sequence[SourcePart]) -> Iterator[Written]:
        for part in parts:
            if key in part and (value := taken(part, key)) is not None:
                yield part, key, value

    def _last(self, key: str, parts: Sequence[SourcePart]) -> Any:
        found = list(self._written(key, parts))
        return found[-1][2] if found else None

    def _routing(self, key: str) -> Written | None:
        """Return a setting of router_settings, or else of litellm_settings."""
        found = [*self._written(key, self._litellm), *self._written(key, self._router)]
        return found[-1] if found else None

    def _set_admission(self) -> None:
        """Carry over who may call."""
        found = list(self._written("master_key", self._general))
        if not found:
            return
        part, key, value = found[-1]
        comment = (
            "LiteLLM's master key did both: it opened the administration, and it called models."
        )
        self._report.advice.append(LITELLM_HABITS)
        self._gateway.set("admin_key", value, comment)
        self._gateway.set("callers", [{"name": "master", "key": value}])
        self._gateway.set(
            "bind_address",
            "0.0.0.0",  # noqa: S104 - as LiteLLM listens; every client needs a key
            "As LiteLLM does. Every client needs a key; restrict who reaches the port anyway.",
        )
        self._secret(part, key, value)

    def _set_reliability(self) -> None:
        for key in ("num_retries", "allowed_fails", "cooldown_time"):
            if (found := self._routing(key)) is None:
                continue
            value = found[2]
            if key == "allowed_fails" and value == 0:
                value = 1  # LiteLLM: more than so many; here: so many
            self._gateway.set(key, value)
            self._note(found, remedy("router_settings", key))
        whole = self._routing("timeout") or next(
            self._written("request_timeout", self._litellm), None
        )
        stream = self._routing("stream_timeout")
        timeouts: dict[str, Any] = {}
        if whole:
            timeouts = {"unary_first_byte_s": whole[2], "first_byte_s": whole[2]}
            self._note(whole, remedy("router_settings", "timeout"))
        if stream:
            timeouts["first_byte_s"] = stream[2]
            self._note(stream, remedy("router_settings", "stream_timeout"))
        for part in self._litellm:
            part.take("request_timeout")
        if timeouts:
            self._gateway.set("timeouts", timeouts, "Until an answer begins, for each attempt.")

    def _set_strategy(self) -> None:
        if (found := self._routing("routing_strategy")) is None:
            return
        part, key, value = found
        ours = _STRATEGIES.get(str(value))
        if ours is None:
            self._report.left_out(
                part, key, f"There is no strategy '{value}'; calls are shared by weight."
            )
            return
        if "usage" in str(value):
            text = "The strategy is `weighted`, which knows what is left of every limit."
            self._report.changed(part, key, text)
        if ours != "weighted":
            self._gateway.set("strategy", ours)

    def _set_aliases(self) -> None:
        for part in [*self._litellm, *self._router]:
            aliases = part.part("model_group_alias")
            for alias in aliases:
                value = aliases.take(alias)
                is_hidden = isinstance(value, dict) and bool(value.get("hidden"))
                target = value.get("model") if isinstance(value, dict) else value
                group = self._gateway.concrete(str(target))
                if group is None or alias in self._gateway.groups:
                    text = (
                        f"There is no model group '{target}'."
                        if group is None
                        else "A model group has this name. LiteLLM serves the alias; rename one."
                    )
                    self._report.left_out(aliases, alias, text)
                    continue
                kind = "hidden_aliases" if is_hidden else "aliases"
                group.extra.setdefault(kind, []).append(alias)

    def _set_fallbacks(self, key: str, ours: str) -> None:
        wanted: dict[str, list[str]] = {}
        places: dict[str, Written] = {}
        found = [*self._written(key, self._litellm), *self._written(key, self._router)]
        for written in found:
            for entry in written[2] if isinstance(written[2], list) else ():
                for name, targets in entry.items() if isinstance(entry, dict) else ():
                    wanted[str(name)] = self._targets(written, targets)
                    places[str(name)] = written
        if key == "fallbacks":
            for written in filter(None, [self._routing("default_fallbacks")]):
                wanted["*"] = wanted.get("*") or self._targets(written, written[2])
                places.setdefault("*", written)
        for name in wanted:
            if name != "*" and self._gateway.concrete(name) is None:
                text = f"There is no model group '{name}' that could fall back."
                self._report.left_out(places[name][0], key, text)
        for group in list(self._gateway.groups.values()):
            first = wanted.get(group.name, wanted.get("*", []))
            chain = self._chain(group, first, wanted, places) or group.extra.get("fallbacks")
            if chain:  # LiteLLM's ordinary fallbacks also follow a refused prompt
                group.extra[ours] = list(chain)

    def _targets(self, written: Written, targets: Any) -> list[str]:
        names = [target for target in _listed(targets) if isinstance(target, str)]
        if len(names) < len(_listed(targets)):
            text = "A fallback with parameters of its own has none here: only the group is tried."
            self._report.left_out(written[0], written[1], text)
        return names

    def _chain(
        self,
        group: ImportedGroup,
        first: Sequence[str],
        wanted: dict[str, list[str]],
        places: dict[str, Written],
    ) -> list[str]:
        """Return the groups to try after one: its fallbacks, each followed by its own."""
        found: list[str] = []
        waiting = list(first)
        while waiting:
            name = waiting.pop(0)
            target = self._gateway.concrete(name)
            if target is None:
                part, key, _ = places.get(group.name) or places["*"]
                text = f"There is no model group '{name}' to fall back to. Add it, and its key."
                self._report.left_out(part, key, text)
            elif target is not group and target.name not in found:
                found.append(target.name)
                waiting = [*wanted.get(target.name, []), *waiting]
        return found

    def _set_shared_state(self) -> None:
        shared = [part.part("coordination_redis") for part in self._general]
        for key, ours in _REDIS.items():
            for part, name, value in self._written(key, [*self._router, *shared]):
                self._set_redis(part, name, ours, value)

    def _set_redis(self, part: SourcePart, key: str, ours: str, value: Any) -> None:
        if ours == "redis_url" and "redis_host" in self._gateway.settings:
            self._report.left_out(part, key, "redis_host is written, too, and is used.")
            return
        if "redis_url" in self._gateway.settings and ours != "redis_url":
            self._report.left_out(part, key, "redis_url is written, too, and is used.")
            return
        self._gateway.set(ours, value)
        self._secret(part, key, value)

    def _set_cache(self) -> None:
        found = [
            *self._written("cache", self._litellm),
            *self._written("cache_responses", self._router),
        ]
        parts = [part.part("cache_params") for part in self._litellm]
        if not found or not found[-1][2]:
            for part in parts:
                for key in part:
                    self._report.unneeded(part, key, "The cache is off.")
                    part.take(key)
            return
        self._note(found[-1], remedy("litellm_settings", "cache"))
        kind = self._last("type", parts) or "local"
        ours = _CACHES.get(str(kind))
        if ours is None:
            text = f"There is no cache of the type '{kind}' here: answers are kept in memory."
            self._report.left_out(next(self._written("type", parts))[0], "type", text)
        params: dict[str, Any] = {"type": ours or "memory", "mode": "all"}
        if self._last("mode", parts) == "default_off":
            params["mode"] = "off"
        if (ttl := self._last("ttl", parts)) is not None:
            params["ttl"] = ttl
        if (namespace := self._last("namespace", parts)) is not None:
            params["namespace"] = namespace
        if ours == "disk":
            params["path"] = self._last("disk_cache_dir", parts) or ".litellm_cache/answers.sqlite3"
        if ours == "redis":
            self._set_cache_server(parts)
        self._gateway.set("cache", True)
        self._gateway.set(
            "cache_params", params, "LiteLLM keeps every answer. `mode: deterministic` is safer."
        )

    def _set_cache_server(self, parts: Sequence[SourcePart]) -> None:
        for key, ours in _REDIS.items():
            for part, name, value in self._written(key, parts):
                if self._gateway.settings.get(ours) != value:
                    self._set_redis(part, name, ours, value)
        if sentinels := addresses(parts, "sentinel_nodes"):
            for key in ("redis_host", "redis_port", "redis_url"):  # the sentinels say where
                self._gateway.settings.pop(key, None)
            self._gateway.set("redis_sentinels", [f"{host}:{port}" for host, port in sentinels])
            self._gateway.set("redis_sentinel_master", self._last("service_name", parts))
        elif nodes := addresses(parts, "redis_startup_nodes"):
            self._gateway.settings.pop("redis_url", None)
            self._gateway.set("redis_host", nodes[0][0])
            self._gateway.set("redis_port", nodes[0][1])
            self._gateway.set("redis_cluster", True)
        settings = self._gateway.settings
        if not {"redis_host", "redis_url", "redis_sentinels"} & set(settings):
            comment = "LiteLLM takes it from these variables."
            self._gateway.set("redis_host", "os.environ/REDIS_HOST", comment)
            self._gateway.set("redis_port", "${REDIS_PORT:-6379}")
            self._gateway.set("redis_password", "os.environ/REDIS_PASSWORD")

    def _set_rest(self) -> None:
        if self.drops_params:
            self._gateway.set("on_untranslatable", "drop")
        if self._last("json_logs", self._litellm):
            self._gateway.set("log_format", "json")
        if limit := self._last("global_max_parallel_requests", self._general):
            self._gateway.set("max_in_flight", limit)
        if size := self._last("max_request_size_mb", self._general):
            self._gateway.set("max_body_bytes", int(size * _MIB))
        for part, key, value in self._written("maximum_spend_logs_retention_period", self._general):
            if (kept_s := seconds(value)) is None:
                self._report.left_out(part, key, "Write call_keep_s, in seconds.")
            else:
                self._gateway.set("call_keep_s", kept_s)
        for part, key, value in self._written("alerting", self._general):
            if "slack" in _listed(value):
                url = "os.environ/SLACK_WEBHOOK_URL"
                self._gateway.set("alerts", [{"url": url, "format": "slack"}])
            if others := [name for name in _listed(value) if name != "slack"]:
                text = f"{', '.join(map(str, others))}: write a webhook in `alerts` instead."
                self._report.left_out(part, key, text)
        self._set_callbacks()
        self._set_budget()

    def _set_callbacks(self) -> None:
        for key in ("callbacks", "success_callback", "failure_callback", "service_callbacks"):
            for part, _, value in self._written(key, self._litellm):
                names = _listed(value)
                rest = [str(name) for name in names if name not in ("prometheus", "otel")]
                if "otel" in names:
                    text = "Write tracing: {endpoint: http://...} for your OpenTelemetry collector."
                    self._report.left_out(part, key, text)
                elif rest:
                    text = f"{', '.join(rest)}: {remedy('litellm_settings', 'callbacks').text}"
                    self._report.left_out(part, key, text)
                else:
                    self._report.unneeded(part, key, "/metrics is always there.")

    def _set_budget(self) -> None:
        amount = self._last("max_budget", self._litellm)
        found = next(self._written("budget_duration", self._litellm), None)
        if amount:
            per = period(found[2]) if found else "total"
            if per is None and found is not None:
                text = f"Periods are hour, day, week and month: '{found[2]}' became a month."
                self._report.changed(found[0], found[1], text)
            budget = {"for": "all", "usd": amount, "per": per or "month"}
            self._gateway.set("budgets", [budget])

    def _note(self, written: Written, found: Remedy) -> None:
        """Note a setting whose meaning has changed."""
        if found.kind is not None:
            part, key, _ = written
            self._report.add(found.kind, part.source, part.at(key), found.sentence)

    def _secret(self, part: SourcePart, key: str, value: Any) -> None:
        if literal_secret(key, value):
            text = "Write os.environ/NAME, and set the variable where the proxy is started."
            self._report.add(ImportOutcome.IN_THE_CLEAR, part.source, part.at(key), text)


def seconds(value: Any) -> int | None:
    """Return the seconds of a duration such as 30d; None if it is none."""
    match = re.fullmatch(r"(\d+)(s|m|h|d|w|mo)?", str(value).strip())
    if match is None:
        return None
    unit = match[2] or "s"
    return int(match[1]) * (2_592_000 if unit == "mo" else _DURATIONS_S[unit])


def period(value: Any) -> str | None:
    """Return the period of a budget that a duration such as 30d stands for; None if none fits."""
    found = seconds(value)
    return None if found is None else _PERIODS.get(found)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]

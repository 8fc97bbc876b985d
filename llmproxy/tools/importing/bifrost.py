"""Reads Bifrost's config.json: each provider's keys become the endpoints of `provider/*`.

Source: Bifrost's example configs and its schema (November 2026).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmproxy.tools.importing import vendors
from llmproxy.tools.importing.gateway import Gateway
from llmproxy.tools.importing.litellm_settings import seconds
from llmproxy.tools.importing.references import report_unread, value_of
from llmproxy.tools.importing.report import ImportReport
from llmproxy.tools.importing.source import SourceFile, SourcePart, as_number
from llmproxy.tools.importing.writing import whole_weights

_VENDORS = {"vertex": "vertex_ai", "nebius": "nebius", "parasail": "parasail", "sgl": "openai_like"}
_PERIODS = {"1h": "hour", "1d": "day", "1w": "week", "1M": "month", "30d": "month", "7d": "week"}
_STORE = (
    "The store here looks after itself (docs/operations/database.md); `database_url` names "
    "another database."
)
_MCP = "MCP is not proxied here. Let clients reach the MCP servers themselves."
_REMEDIES = {
    "$schema": "- It is for editors. Ours: llmproxy schema.",
    "config_store": _STORE,
    "logs_store": _STORE,
    "vector_store": "Only equal calls share an answer; there is no semantic cache.",
    "mcp": _MCP,
    "plugins": "Metrics, logs and limits are built in; other plugins have no counterpart.",
    "framework": "- List prices come with the installation; price_list names newer ones.",
    "initial_pool_size": "- Nothing is kept in pools.",
    "prometheus_labels": "/metrics has labels of its own (docs/reference/metrics.md).",
    "enable_logging": "- Each call is a row of the store, without its content.",
    "disable_content_logging": "- No content is ever logged.",
    "log_retention_days": "Write call_keep_s, in seconds.",
    "enable_litellm_fallbacks": "- docs/guides/from-litellm.md",
    "drop_excess_requests": "general_settings.queue says how calls wait.",
    "allow_direct_keys": "An endpoint without api_key passes on the client's own key.",
    "enforce_governance_header": "- With callers, every client needs a key.",
    "enforce_auth_on_inference": "- With callers, every client needs a key.",
    "concurrency_and_buffer_size": "Write limits: {concurrent: ...} at the endpoint.",
    "retry_backoff_initial": "- Retries go to another endpoint, or wait as long as it says.",
    "retry_backoff_max": "- Retries go to another endpoint, or wait as long as it says.",
    "proxy_config": "Set HTTPS_PROXY where the proxy is started.",
    "send_back_raw_response": "- Answers are passed on as they are.",
    "auth_config": "Write admin_key, or operators (docs/security/identity.md).",
    "customers": "Make a team for it: llmproxy teams create.",
    "provider_configs": "A key's models are in `groups`; calls are not weighed by key.",
    "rate_limits": "Write limits: {rpm, tpm} at the caller.",
    "custom_provider_config": "Write the endpoint's base_url and provider.",
    "models": "Models without a name for the deployment are asked by their own.",
    "id": "- The name is enough.",
}
_NO_VALUE = "Its value is not in the file. Write a caller with the key that clients send."


def read_bifrost(source: SourceFile, report: ImportReport) -> Gateway:
    """Read a config."""
    gateway, root = Gateway(), source.root
    providers = root.part("providers")
    for name in providers:
        _add_provider(providers.part(name), name, gateway, report)
    for group in gateway.groups.values():
        weights = [1.0 if e.weight is None else e.weight for e in group.endpoints]
        whole = whole_weights(weights)
        for endpoint, weight in zip(group.endpoints, whole, strict=True):
            endpoint.weight = weight if len(set(whole)) > 1 else None
    _set_client(root.part("client"), gateway)
    _set_callers(root.part("governance"), gateway, report)
    report_unread(root, report, _REMEDIES)
    return gateway


def _add_provider(part: SourcePart, name: str, gateway: Gateway, report: ImportReport) -> None:
    network = part.part("network_config")
    custom = part.part("custom_provider_config").take("base_provider_type")
    vendor = _VENDORS.get(custom or name, custom or name)
    base = value_of(network, "base_url", report)
    asked = _network(network, report)
    for key in part.parts("keys"):
        params = {**_cloud(key, report), "api_key": value_of(key, "value", report)}
        if base:
            params["api_base"] = base
        params = {k: v for k, v in params.items() if v is not None}
        if key.peek("models") == [] and part.source.root.peek("version") != 1:
            text = "A key with an empty list of models serves none."
            report.left_out(key, "models", text)
            continue
        for model, deployed in _models(key):
            found = vendors.address(vendor, deployed, params)
            if found is None:
                text = f"The provider '{name}' cannot be asked from here without a base_url."
                report.left_out(part, None, text)
                continue
            found.endpoint.name = str(key.peek("name") or "").replace(" ", "-")
            found.endpoint.weight = as_number(key.peek("weight"))
            found.endpoint.params |= asked
            gateway.group(f"{name}/{model}").endpoints.append(found.endpoint)
        for known in ("name", "weight"):
            key.take(known)
    if (retries := network.number("max_retries")) is not None:
        most = max(int(retries), gateway.settings.get("num_retries", 0))
        gateway.set("num_retries", most)
        report.changed(
            network, "max_retries", "num_retries holds for all endpoints: the largest one."
        )


def _models(key: SourcePart) -> Iterator[tuple[str, str]]:
    """Yield the models of a key, each with its name at the vendor; `*` is any."""
    deployments: dict[str, str] = {}
    for section in ("azure_key_config", "bedrock_key_config", "vertex_key_config"):
        if section in key:
            names = key.part(section).part("deployments")
            deployments = {model: text for model in names if (text := names.text(model))}
    for model in key.texts("models") or list(deployments) or ["*"]:
        yield model, deployments.get(model, model)


def _cloud(key: SourcePart, report: ImportReport) -> dict[str, Any]:
    """Return where a key of a cloud belongs, by the names that `vendors` knows."""
    found: dict[str, Any] = {}
    for section, names in _CLOUDS.items():
        if section in key:
            inner = key.part(section)
            for theirs, ours in names.items():
                found[ours] = value_of(inner, theirs, report)
    if found.get("aws_access_key_id"):
        inner = key.part("bedrock_key_config")
        text = "AWS keys come from the environment. Several accounts: credentials: aws:PROFILE."
        report.changed(inner, "access_key", text)
    if found.pop("vertex_credentials", None):
        text = "Save the service account as a file, and write credentials: google:FILE."
        report.changed(key.part("vertex_key_config"), "auth_credentials", text)
    return found


_CLOUDS = {
    "azure_key_config": {"endpoint": "api_base", "api_version": "api_version"},
    "bedrock_key_config": {
        **{"region": "aws_region_name", "access_key": "aws_access_key_id"},
        **{"secret_key": "aws_secret_access_key", "session_token": "aws_session_token"},
    },
    "vertex_key_config": {
        **{"project_id": "vertex_project", "region": "vertex_location"},
        **{"auth_credentials": "vertex_credentials"},
    },
}


def _network(network: SourcePart, report: ImportReport) -> dict[str, Any]:
    """Return what a provider's network settings say of each of its endpoints."""
    found: dict[str, Any] = {}
    if timeout := network.number("default_request_timeout_in_seconds"):
        found["timeout"] = timeout
        text = "Seconds to the first byte, not for the whole answer."
        report.changed(network, "default_request_timeout_in_seconds", text)
    headers = network.part("extra_headers")
    written = {name: value_of(headers, name, report) for name in headers}
    if written := {name: value for name, value in written.items() if value is not None}:
        found["default_headers"] = written
    return found


def _set_client(client: SourcePart, gateway: Gateway) -> None:
    if size := client.number("max_request_body_size_mb"):
        gateway.set("max_body_bytes", int(size) * 1024 * 1024)
    if origins := client.texts("allowed_origins"):
        gateway.set("allowed_origins", origins)
    if days := client.number("log_retention_days"):
        gateway.set("call_keep_s", int(days) * 86_400)


def _set_callers(governance: SourcePart, gateway: Gateway, report: ImportReport) -> None:
    budgets = {entry.text("id"): entry for entry in governance.parts("budgets")}
    limits = {entry.text("id"): entry for entry in governance.parts("rate_limits")}
    teams: dict[str | None, str] = {}
    written: list[dict[str, Any]] = []
    for entry in governance.parts("teams"):
        name = entry.text("name") or entry.text("id") or "team"
        teams[entry.text("id")] = name
        written.append({"name": name, **_budget(entry, budgets, report)})
    if written:
        gateway.set("teams", written)
    callers = []
    for entry in governance.parts("virtual_keys"):
        is_off = entry.take("is_active") is False
        key = value_of(entry, "value", report)
        if is_off or key is None:
            text = "A key that is off was left out." if is_off else _NO_VALUE
            report.left_out(entry, None, text)
            entry.source.read.add(entry.place)
            continue
        identity = entry.text("id")
        caller: dict[str, Any] = {"name": entry.text("name") or identity or "key", "key": key}
        if (team := teams.get(entry.text("team_id"))) is not None:
            caller["team"] = team
        if entry.peek("provider_configs") is not None:
            groups = _groups_of(entry, gateway)
            if not groups:
                text = "No model that was carried over is allowed to this key: it was left out."
                report.left_out(entry, None, text)
                continue
            caller["groups"] = groups
        caller |= _budget(entry, budgets, report)
        caller |= _limits(entry, limits, report)
        callers.append(caller)
    if callers:
        gateway.set("callers", callers)


def _groups_of(entry: SourcePart, gateway: Gateway) -> list[str]:
    """Return the groups that a virtual key may use."""
    found = set()
    for config in entry.parts("provider_configs"):
        provider, models = config.text("provider"), config.texts("allowed_models")
        for group in gateway.groups:
            vendor, _, model = group.partition("/")
            if vendor == provider and (not models or "*" in models or model in models):
                found.add(group)
    return [group for group in gateway.groups if group in found]


def _budget(
    entry: SourcePart, budgets: dict[str | None, SourcePart], report: ImportReport
) -> dict[str, Any]:
    budget = budgets.get(entry.text("budget_id"))
    if budget is None:
        return {}
    most, duration = budget.number("max_limit"), budget.text("reset_duration") or ""
    if most is None:
        return {}
    per = _PERIODS.get(duration)
    if per is None:
        report.changed(
            budget, "reset_duration", "Periods are hour, day, week and month: a month now."
        )
    return {"budget": f"{most}/{per or 'month'}"}


def _limits(
    entry: SourcePart, limits: dict[str | None, SourcePart], report: ImportReport
) -> dict[str, Any]:
    limit = limits.get(entry.text("rate_limit_id"))
    if limit is None:
        return {}
    found = {}
    for ours, start in (("rpm", "request"), ("tpm", "token")):
        most, duration = limit.number(f"{start}_max_limit"), limit.take(f"{start}_reset_duration")
        if most:
            span = seconds(duration) or 60
            found[ours] = max(1, int(most) * 60 // span)
            if span != 60:
                text = f"Limits hold in any 60 seconds: {found[ours]} now."
                report.changed(limit, f"{start}_max_limit", text)
    return {"limits": found} if found else {}

"""Reads agentgateway's YAML: `llm.models` with virtual models, and the AI backends of `binds`.

Source: agentgateway's examples and its page on LLM configuration (November 2026).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmproxy.tools.importing import vendors
from llmproxy.tools.importing.gateway import Gateway, ImportedEndpoint
from llmproxy.tools.importing.references import report_unread, value_of
from llmproxy.tools.importing.report import ImportReport
from llmproxy.tools.importing.source import SourceFile, SourcePart
from llmproxy.tools.importing.writing import whole_weights

_VENDORS = {
    **{"openai": "openai", "azure": "azure", "azureopenai": "azure", "vertex": "vertex_ai"},
    **{"vertexai": "vertex_ai", "custom": "openai_like", "xai": "xai", "togetherai": "together_ai"},
}
_PARAMS = {
    **{"apiKey": "api_key", "baseUrl": "api_base", "awsRegion": "aws_region_name"},
    **{"vertexProject": "vertex_project", "vertexRegion": "vertex_location"},
    **{"azureHost": "api_base", "azureApiVersion": "api_version", "hostOverride": "api_base"},
    **{"region": "aws_region_name", "projectId": "vertex_project", "host": "api_base"},
    **{"apiVersion": "api_version"},
}
_GUARD = "There are no guardrails here. Keep such a service in front, or call it in the client."
_REMEDIES = {
    "visibility": "- A model that only virtual models use has no group of its own.",
    "health": "- Endpoints that fail cool down, and are checked before they get calls.",
    "matches": "Calls are not routed by headers or paths. Make a group, or an alias, for each.",
    "requestHeaders": "default_headers of an endpoint add headers; none are removed.",
    "transformation": "Calls go through as they are; `overrides` and `defaults` set parameters.",
    "transformations": "Calls go through as they are; `overrides` and `defaults` set parameters.",
    "promptGuard": _GUARD,
    "guardrails": _GUARD,
    "jwtAuth": "Write jwt: {issuer, audience} (docs/security/identity.md).",
    "apiKey": "Write callers, each with a key.",
    "localRateLimit": "Write limits: {rpm, tpm} at callers, teams or endpoints.",
    "remoteRateLimit": "Write redis_url: limits are shared through it.",
    "mcp": "MCP is not proxied here. Let clients reach the MCP servers themselves.",
    "a2a": "A2A is not proxied here.",
    "tls": "TLS of clients: see docs/operations.",
    "cors": "Write allowed_origins.",
    "frontendPolicies": "See general_settings.timeouts and log_format.",
    "config": "See general_settings: bind_address, tracing, log_format.",
}


def read_agentgateway(source: SourceFile, report: ImportReport) -> Gateway:
    """Read a config."""
    gateway, root = Gateway(), source.root
    reader = _BackendReader(gateway, report)
    llm = root.part("llm")
    reader.providers = {entry.text("name"): entry for entry in llm.parts("providers")}
    if (port := llm.number("port")) is not None:
        gateway.set("bind_port", int(port))
    internal = [reader.add_model(model) for model in llm.parts("models")]
    for virtual in llm.parts("virtualModels"):
        reader.add_virtual(virtual)
    for name in filter(None, internal):
        gateway.groups.pop(name, None)
    for bind in root.parts("binds"):
        if (port := bind.number("port")) is not None:
            gateway.settings.setdefault("bind_port", int(port))
        for listener in bind.parts("listeners"):
            for route in listener.parts("routes"):
                reader.add_route(route)
    report_unread(root, report, _REMEDIES)
    return gateway


class _BackendReader:
    """Adds models and backends to a gateway."""

    def __init__(self, gateway: Gateway, report: ImportReport) -> None:
        self.gateway = gateway
        self.report = report
        self.providers: dict[str | None, SourcePart] = {}  # those that models refer to

    def add_model(self, model: SourcePart) -> str | None:
        """Add an entry of llm.models; return its name if only virtual models may use it."""
        name, params = model.text("name"), model.part("params")
        if name is None:
            self.report.left_out(model, None, "It has no name.")
            return None
        endpoint = self._endpoint(model, params, name)
        if endpoint is not None:
            self.gateway.group(name).endpoints.append(endpoint)
        return name if model.peek("visibility") == "internal" else None

    def add_virtual(self, virtual: SourcePart) -> None:
        """Add a model that stands for others: by priority, or by weight."""
        group = self.gateway.group(virtual.text("name") or "")
        routing = virtual.part("routing")
        weights: list[float] = []
        for kind in ("failover", "weighted"):
            for target in routing.part(kind).parts("targets") if kind in routing else []:
                name = target.text("model") or ""
                tier, weight = int(target.number("priority") or 0), target.number("weight")
                known = self.gateway.serving(name)
                if known is None:
                    self.report.left_out(target, None, f"There is no model '{name}'.")
                    continue
                for endpoint in known.endpoints:
                    named = endpoint.name or name.replace("*", "any")
                    group.endpoints.append(replace(endpoint, tier=tier, name=named))
                    weights.append(1.0 if weight is None else float(weight))
        for endpoint, whole in zip(group.endpoints, whole_weights(weights), strict=True):
            endpoint.weight = whole if len(set(weights)) > 1 else None

    def add_route(self, route: SourcePart) -> None:
        """Add the AI backends of a route. A group is tried after the one before it."""
        key = route.part("policies").part("backendAuth") if "policies" in route else None
        for backend in route.parts("backends"):
            ai = backend.part("ai") if "ai" in backend else None
            if ai is None:
                continue
            tiers = [group.parts("providers") for group in ai.parts("groups")] or [[ai]]
            for tier, providers in enumerate(tiers):
                for provider in providers:
                    self._add_backend(provider, key, tier)

    def _add_backend(self, provider: SourcePart, key: SourcePart | None, tier: int) -> None:
        own = provider.part("policies").part("backendAuth") if "policies" in provider else None
        auth = own if own is not None and "key" in own else key
        name = provider.text("name")
        endpoint = self._endpoint(provider, provider, "*")
        if endpoint is None:
            return
        if auth is not None and (value := value_of(auth, "key", self.report)) is not None:
            endpoint.params["api_key"] = value
        endpoint.tier, endpoint.name = tier, (name or "").replace(" ", "-")
        self.gateway.group("*").endpoints.append(endpoint)

    def _endpoint(
        self, part: SourcePart, params: SourcePart, group: str
    ) -> ImportedEndpoint | None:
        vendor, places = self._vendor(part)
        given: dict[str, Any] = {}
        model = None
        for place in (*places, params):
            model = place.text("model") or model
            for key, ours in _PARAMS.items():
                if key in place and (value := value_of(place, key, self.report)) is not None:
                    given[ours] = value
        if "api_base" in given and "://" not in str(given["api_base"]):
            host = str(given["api_base"])
            given["api_base"] = host if host.startswith("os.environ/") else f"https://{host}/v1"
        is_any_of_vendor = group.endswith("/*")
        own = model or ("*" if is_any_of_vendor else group)
        found = vendors.address(vendor, str(own), given)
        if found is None:
            text = f"The provider '{vendor}' cannot be asked from here without a baseUrl."
            self.report.left_out(part, "provider", text)
            return None
        if model is None and is_any_of_vendor:
            text = "The vendor is asked for what the star stands for, without what is before it."
            self.report.changed(part, None, text)
        return found.endpoint

    def _vendor(self, part: SourcePart) -> tuple[str, list[SourcePart]]:
        """Return the vendor of a provider, and the mappings that say more of it.

        It is written as a word, as a mapping with one key, or as `reference: NAME`.
        """
        value = part.peek("provider")
        if not isinstance(value, dict) or not value:
            name = part.text("provider") or "openai"
            return _VENDORS.get(name.lower(), name.lower()), []
        known = self.providers.get(part.part("provider").text("reference"))
        if known is not None and "reference" in value and known is not part:
            vendor, places = self._vendor(_without_reference(known))
            return vendor, [*places, known.part("params")]
        name = next(iter(value))
        inner = part.part("provider").part(name)
        if name == "custom":
            inner.take("formats")
        return _VENDORS.get(name.lower(), name.lower()), [inner]


def _without_reference(part: SourcePart) -> SourcePart:
    """Return a provider, or an empty one if it refers to another: references do not chain."""
    value = part.peek("provider")
    refers = isinstance(value, dict) and "reference" in value
    return SourcePart(part.source, part.place, {}) if refers else part

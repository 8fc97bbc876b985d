"""Reads a Portkey config (JSON): one tree of targets becomes one model group.

Source: Portkey's pages on configs and its gateway's schema (November 2026). Such a config names no
models: it serves whatever a client asks for, so its group is `"*"`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.tools.importing import vendors
from llmproxy.tools.importing.gateway import Gateway, ImportedGroup
from llmproxy.tools.importing.references import report_unread, value_of
from llmproxy.tools.importing.report import ImportReport
from llmproxy.tools.importing.source import SourceFile, SourcePart
from llmproxy.tools.importing.writing import whole_weights

_VENDORS = {
    **{"azure-openai": "azure", "azure-ai": "azure_ai", "vertex-ai": "vertex_ai"},
    **{"google": "gemini", "together-ai": "together_ai", "fireworks-ai": "fireworks_ai"},
    **{"mistral-ai": "mistral", "perplexity-ai": "perplexity", "x-ai": "xai"},
}
# Portkey's key -> the name that `vendors` knows it by.
_PARAMS = {
    **{"api_key": "api_key", "custom_host": "api_base", "azure_api_version": "api_version"},
    **{"aws_region": "aws_region_name", "vertex_project_id": "vertex_project"},
    **{"vertex_region": "vertex_location"},
}
_GUARD = "There are no guardrails here. Keep such a service in front, or call it in the client."
_REMEDIES = {
    "on_status_codes": "- Which failures are worth another attempt is known for each kind.",
    "use_retry_after_header": "- An endpoint's retry-after is always respected.",
    "input_guardrails": _GUARD,
    "output_guardrails": _GUARD,
    "before_request_hooks": _GUARD,
    "after_request_hooks": _GUARD,
    "conditions": "Calls are not routed by conditions. Make a group, or an alias, for each.",
    "forward_headers": "- Useful headers of clients are passed on.",
    "virtual_key": "It is kept by Portkey. Write api_key: os.environ/NAME with the vendor's key.",
    "default": "Calls are not routed by conditions. Make a group, or an alias, for each.",
    "override_params": "Write these as `overrides` of each endpoint.",
}


def read_portkey(source: SourceFile, report: ImportReport) -> Gateway:
    """Read a config."""
    gateway, root = Gateway(), source.root
    reader = _TargetReader(report)
    reader.group.comment = "A Portkey config serves any model name."
    reader.add(root, tier=0, share=1.0)
    reader.weigh()
    gateway.groups["*"] = reader.group
    _set_settings(root, gateway, report)
    report_unread(root, report, _REMEDIES)
    return gateway


class _TargetReader:
    """Puts the leaves of a tree of targets into one group."""

    def __init__(self, report: ImportReport) -> None:
        self.report = report
        self.group = ImportedGroup("*")
        self.weights: list[float] = []

    def weigh(self) -> None:
        """Set the weights of each tier, in whole numbers."""
        for tier in {endpoint.tier for endpoint in self.group.endpoints}:
            pairs = zip(self.group.endpoints, self.weights, strict=True)
            shares = [(endpoint, share) for endpoint, share in pairs if endpoint.tier == tier]
            weights = whole_weights([share for _, share in shares])
            for (endpoint, _), weight in zip(shares, weights, strict=True):
                endpoint.weight = weight if len(set(weights)) > 1 else None

    def add(self, part: SourcePart, *, tier: int, share: float) -> int:
        """Add a target and what is below it; return the first tier after it."""
        targets = part.parts("targets")
        if not targets:
            self._add_endpoint(part, tier, share)
            return tier + 1
        mode = part.part("strategy").take("mode")
        if mode not in ("loadbalance", "fallback", "single"):
            text = f"There is no strategy '{mode}': the targets are tried one after another."
            self.report.left_out(part.part("strategy"), "mode", text)
        if mode == "loadbalance":
            given = [target.number("weight") for target in targets]
            weights = [1.0 if weight is None else float(weight) for weight in given]
            whole = sum(weights) or 1.0
            ends = [
                self.add(target, tier=tier, share=share * weight / whole)
                for target, weight in zip(targets, weights, strict=True)
            ]
            if max(ends) > tier + 1:
                text = "A balanced target with fallbacks of its own: they are tiers for all now."
                self.report.changed(part, "targets", text)
            return max(ends)
        for target in targets[:1] if mode == "single" else targets:
            target.take("weight")
            tier = self.add(target, tier=tier, share=1.0)
        return tier

    def _add_endpoint(self, part: SourcePart, tier: int, share: float) -> None:
        overrides = part.part("override_params")
        model = overrides.text("model")
        named = (part.text("provider") or "openai").lstrip("@")
        vendor = _VENDORS.get(named, named.replace("-", "_"))
        params: dict[str, Any] = {
            ours: value
            for key, ours in _PARAMS.items()
            if (value := value_of(part, key, self.report)) is not None
        }
        if resource := value_of(part, "azure_resource_name", self.report):
            params["api_base"] = f"https://{resource}.openai.azure.com"
        deployment = part.text("azure_deployment_id")
        name = model or deployment or part.text("azure_model_name") or ""
        found = vendors.address(vendor, name, params)
        if found is None:
            text = f"The vendor '{named}' cannot be asked from here without a custom_host."
            self.report.left_out(part, "provider" if "provider" in part else None, text)
            return
        endpoint = found.endpoint
        if not name:
            endpoint.model = None
        if "virtual_key" in part:
            text = "It is kept by Portkey. The vendor's own key is expected in the variable now."
            self.report.left_out(part, "virtual_key", text)
        if (timeout := part.number("request_timeout")) is not None:
            endpoint.params["timeout"] = float(timeout) / 1000
            text = "Seconds to the first byte, not for the whole answer."
            self.report.changed(part, "request_timeout", text)
        if others := {key: overrides.take(key) for key in overrides if key != "model"}:
            endpoint.extra["overrides"] = others
        endpoint.tier = tier
        self.group.endpoints.append(endpoint)
        self.weights.append(share)


def _set_settings(root: SourcePart, gateway: Gateway, report: ImportReport) -> None:
    attempts = root.part("retry").number("attempts")
    if attempts is not None:
        gateway.set("num_retries", int(attempts))
    cache = root.part("cache")
    if mode := cache.take("mode"):
        gateway.set("cache", True)
        params: dict[str, Any] = {"mode": "all"}
        if (age := cache.take("max_age")) is not None:
            params["ttl"] = age
        gateway.set("cache_params", params)
        if mode == "semantic":
            report.left_out(cache, "mode", "Only equal calls share an answer.")

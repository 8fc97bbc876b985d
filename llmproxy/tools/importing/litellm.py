"""Reads a LiteLLM config: its models here, its settings in `litellm_settings`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmproxy.tools.importing import vendors
from llmproxy.tools.importing.gateway import Gateway, ImportedEndpoint, ImportedGroup
from llmproxy.tools.importing.litellm_keys import CALL_PARAMETERS, remedy, remedy_of, sections
from llmproxy.tools.importing.litellm_settings import Settings
from llmproxy.tools.importing.report import ImportOutcome, ImportReport
from llmproxy.tools.importing.secrets import literal_secret
from llmproxy.tools.importing.source import SourceFile, SourcePart, as_number
from llmproxy.tools.importing.writing import whole_weights

# LiteLLM's price of one token or unit -> our key of `price`, and what one has to multiply by.
_PRICES = {
    "input_cost_per_token": ("input", 1e6),
    "output_cost_per_token": ("output", 1e6),
    "cache_read_input_token_cost": ("cached_input", 1e6),
    "cache_creation_input_token_cost": ("cache_write", 1e6),
    "input_cost_per_audio_token": ("audio_input", 1e6),
    "output_cost_per_audio_token": ("audio_output", 1e6),
    "input_cost_per_image_token": ("image_input", 1e6),
    "input_cost_per_query": ("per_request", 1),
    "output_cost_per_image": ("per_image", 1),
    "input_cost_per_second": ("per_minute", 60),
}
_MODEL, _PARAMS = "model_list[]", "model_list[].litellm_params"
_UNITS = {"per_request", "per_image", "per_minute"}
_WITHOUT_OUTPUT = ("embedding", "rerank", "moderation", "moderations")
_HALF_A_PRICE = (
    "A price of tokens needs input and output, and this entry has only one of them. Write `price` "
    "with both; until then the list price holds, if it is known."
)
_NO_ORDER = 10**16
_IDENTITY = ("tenant_id", "client_id", "client_secret")
_WEIGHED_BY = ("weight", "rpm", "tpm")  # the first that any endpoint of a group has

_Weighed = tuple[ImportedEndpoint, SourcePart, dict[str, float]]  # its shares


class LiteLLM:
    """Reads the files of one config into a gateway. `read`: opens an included file."""

    def __init__(self, report: ImportReport, read: Callable[[Path], SourceFile]) -> None:
        self.report = report
        self.gateway = Gateway()
        self.entries: list[SourcePart] = []  # of model_list, in all files
        self._read = read
        self._sources: list[SourceFile] = []
        self._credentials: dict[str, dict[str, Any]] = {}
        self._weighing: dict[str, list[_Weighed]] = {}

    def load(self, source: SourceFile) -> Gateway:
        """Read a config and all that it includes. Raises ConfigError."""
        self._gather(source)
        roots = [source.root for source in self._sources]
        for root in roots:
            self._note_credentials(root)
        settings = Settings(self.gateway, self.report, roots)
        for root in roots:
            for entry in [*root.parts("model_list"), *root.parts("model_groups")]:
                self._add(entry, settings, len(self.entries))
                self.entries.append(entry)
        self._weigh(settings)
        settings.apply()
        for known in self._sources:
            self._report_unread(known)
        return self.gateway

    def _gather(self, source: SourceFile) -> None:
        """Note a file, and the files that it includes, each once."""
        if any(known.file == source.file for known in self._sources):
            return
        self._sources.append(source)
        for name in source.root.texts("include"):
            self._gather(self._read(Path(source.file).parent / name))

    def _note_credentials(self, root: SourcePart) -> None:
        for entry in root.parts("credential_list"):
            name, values = entry.text("credential_name") or "", entry.part("credential_values")
            entry.take("credential_info")
            self._credentials[name] = {
                key: values.mapping(key) or values.text(key) for key in values
            }
            for key, value in self._credentials[name].items():
                self._look_for_secret(values, key, value)

    def _add(self, entry: SourcePart, settings: Settings, number: int) -> None:
        """Add the endpoint of one entry of model_list to its group."""
        name, params = entry.text("model_name"), entry.part("litellm_params")
        model = params.text("model")
        if not name or not model:
            self.report.left_out(entry, None, "It has no model_name, or no litellm_params.model.")
            self._skip(entry)
            return
        given = self._given(params)
        vendor, own_name = vendors.split(model, given.pop("custom_llm_provider", None))
        if name == "*" and model == "*":
            vendor, own_name = "openai", "*"
            text = (
                'LiteLLM asks the vendor that a client\'s model name stands for. Here "*" leads to '
                "OpenAI; add a group such as anthropic/* for each other vendor."
            )
            self.report.changed(params, "model", text)
        found = vendors.address(vendor, own_name, given)
        if found is None:
            text = (
                f"The vendor '{vendor}' cannot be asked from here. If it has OpenAI's API, write "
                "openai/ before the model, and its api_base; then import again."
            )
            self.report.left_out(entry, None, text)
            self._skip(entry)
            return
        for key, text in found.notes.items():
            self.report.changed(params, key, text)
        found.endpoint.origin = number
        endpoint = self._completed(found.endpoint, entry, params, settings)
        group = self.gateway.group(name)
        numbers = {key: as_number(params.peek(key)) for key in _WEIGHED_BY}
        shares = {key: float(value) for key, value in numbers.items() if value and value > 0}
        self._weighing.setdefault(group.name, []).append((endpoint, params, shares))
        group.endpoints.append(endpoint)

    def _given(self, params: SourcePart) -> dict[str, Any]:
        """Return the parameters that say where a model is, those of its credential included."""
        named = params.text("litellm_credential_name")
        given = dict(self._credentials.get(named or "", {}))
        if named is not None and named not in self._credentials:
            text = "No credential_list of these files has it; it may be in LiteLLM's database."
            self.report.left_out(params, "litellm_credential_name", text)
        if "base_url" in params:
            given["api_base"] = params.text("base_url")
        for key in ("api_base", "api_key", "api_version", "custom_llm_provider"):
            if params.peek(key) is not None:
                given[key] = params.text(key)
        for key in params:
            known = sections()[_PARAMS].get(key)
            of_cloud = key.startswith(("aws_", "vertex_", "azure_")) or key in _IDENTITY
            if of_cloud and known is not None and known.kind is not ImportOutcome.LEFT_OUT:
                given[key] = params.text(key)
                if key == "vertex_credentials":  # a service account may be a mapping
                    given[key] = given[key] or params.mapping(key) or None
        for key, value in given.items():
            self._look_for_secret(params, key, value)
        for key in ("api_base", "api_version"):
            if isinstance(given.get(key), str):
                given[key] = given[key].strip()
        return {key: value for key, value in given.items() if value is not None}

    def _completed(
        self, endpoint: ImportedEndpoint, entry: SourcePart, params: SourcePart, settings: Settings
    ) -> ImportedEndpoint:
        """Return the endpoint with everything but its address."""
        info = entry.part("model_info")
        if (id := info.text("id")) is not None:
            endpoint.name = _name_of(id)
        orders = [as_number(part.peek("order")) for part in (params, info)]
        endpoint.tier = _order_of(orders[1] if orders[0] is None else orders[0])
        for part, order in zip((params, info), orders, strict=True):
            if order is not None:
                part.take("order")
        self._bound(endpoint, entry, params, settings)
        self._set_timeout(endpoint, params)
        if organization := params.text("organization"):
            endpoint.params["organization"] = organization
        headers = {**params.mapping("headers"), **params.mapping("extra_headers")}
        if headers:
            endpoint.params["default_headers"] = {k: str(v) for k, v in headers.items()}
            for key in ("headers", "extra_headers"):
                self._look_for_secret(params, key, params.peek(key))
        self._set_parameters(endpoint, params, settings)
        self._set_price(endpoint, params, info)
        if params.number("weight") is not None and not settings.weighs:
            self.report.unneeded(params, "weight", "LiteLLM weighs with simple-shuffle alone.")
        return endpoint

    def _bound(
        self, endpoint: ImportedEndpoint, entry: SourcePart, params: SourcePart, settings: Settings
    ) -> None:
        limits: dict[str, int | str] = {}
        for key in ("rpm", "tpm"):
            for part, section in ((params, _PARAMS), (entry, _MODEL)):
                if (value := part.whole(key)) and key not in limits:
                    limits[key] = value
                    if part is entry or not settings.bounds:
                        self.report.changed(part, key, remedy(section, key).sentence)
        if concurrent := params.whole("max_parallel_requests") or settings.concurrent:
            limits["concurrent"] = concurrent
        if limits:
            endpoint.extra["limits"] = limits

    def _set_timeout(self, endpoint: ImportedEndpoint, params: SourcePart) -> None:
        if (timeout := params.reference("timeout") or params.number("timeout")) is not None:
            endpoint.params["timeout"] = timeout
            self.report.changed(params, "timeout", remedy(_PARAMS, "timeout").sentence)

    def _set_parameters(
        self, endpoint: ImportedEndpoint, params: SourcePart, settings: Settings
    ) -> None:
        drops = params.take("drop_params")
        if settings.drops_params if drops is None else drops:
            endpoint.extra["drop_unsupported"] = True
        if dropped := params.texts("additional_drop_params"):
            endpoint.extra["drop"] = dropped
        if body := params.mapping("extra_body"):
            endpoint.extra["overrides"] = body
        named = [key for key in params if key in CALL_PARAMETERS]
        if defaults := {key: params.take(key) for key in named}:
            endpoint.extra["defaults"] = defaults

    def _set_price(self, endpoint: ImportedEndpoint, params: SourcePart, info: SourcePart) -> None:
        price: dict[str, float] = {}
        place = None
        for part in (info, params):
            for key, (ours, factor) in _PRICES.items():
                if (value := part.number(key)) is not None:
                    price[ours] = float(f"{value * factor:.12g}")
                    place = part, key
        if info.peek("mode") in _WITHOUT_OUTPUT and "input" in price:
            price.setdefault("output", 0.0)
        if place is None:
            return
        if {"input", "output"} <= set(price):
            endpoint.extra["price"] = price
        elif set(price) <= _UNITS:
            endpoint.extra["price"] = {"input": 0.0, "output": 0.0, **price}
            self.report.changed(*place, "Tokens are written as free beside it, as in LiteLLM.")
        else:
            self.report.left_out(*place, _HALF_A_PRICE)

    def _weigh(self, settings: Settings) -> None:
        """Set weights and tiers, which follow from all endpoints of a group together."""
        for group in self.gateway.groups.values():
            if settings.weighs:
                for tier in {endpoint.tier for endpoint in group.endpoints}:
                    self._weigh_tier(group, tier)
            _set_tiers(group)
            _keep_names_apart(group)

    def _weigh_tier(self, group: ImportedGroup, tier: int) -> None:
        """Weigh the endpoints of one order by the first of weight, rpm and tpm that one has.

        LiteLLM chooses so among those of the lowest order; who has none of it gets no calls.
        """
        weighing = [entry for entry in self._weighing[group.name] if entry[0].tier == tier]
        by = next(
            (key for key in _WEIGHED_BY if any(key in shares for *_, shares in weighing)), None
        )
        weights = whole_weights([shares.get(by or "", 0.0) for *_, shares in weighing])
        if by is None or len(set(weights)) == 1:
            return
        for (endpoint, params, _), weight in zip(weighing, weights, strict=True):
            endpoint.weight = weight
            if weight == 0:
                self._note_never_chosen(params, by)
        if by != "weight":
            group.comment = f"The weights follow {by}, as LiteLLM weighs by it."

    def _note_never_chosen(self, params: SourcePart, by: str) -> None:
        """Report an endpoint that LiteLLM gives no share, because others of its group have one."""
        text = (
            "`weight: 0`, the last resort. LiteLLM gives it no share: others of its order have "
            f"`{by}`, and it has none. Write a weight if it is to get its share."
        )
        self.report.changed(params, by if by in params else None, text)

    def _look_for_secret(self, part: SourcePart, key: str, value: Any) -> None:
        if literal_secret(key, value) and key in part:
            text = "Write os.environ/NAME, and set the variable where the proxy is started."
            self.report.add(ImportOutcome.IN_THE_CLEAR, part.source, part.at(key), text)

    def _skip(self, entry: SourcePart) -> None:
        entry.source.read.add(entry.place)

    def _report_unread(self, source: SourceFile) -> None:
        """Report every key that nothing above has taken."""
        for place, value in source.unread():
            found = remedy_of(place)
            text = found.sentence
            if place == ("environment_variables",) and isinstance(value, dict):
                text = f"Export these where the proxy is started: {', '.join(value)}."
            self.report.add(found.kind or ImportOutcome.LEFT_OUT, source, place, text)


def _order_of(number: float | None) -> int:
    """Return an order as LiteLLM compares it: a whole number; without one, the largest."""
    return _NO_ORDER if number is None or number != int(number) else int(number)


def _set_tiers(group: ImportedGroup) -> None:
    """Turn LiteLLM's orders into tiers from 0; who has none comes last.

    `weight: 0` comes after all tiers here, but before the next order there: it gets its own tier.
    """
    last = max((endpoint.tier for endpoint in group.endpoints), default=0)
    ranks = [(e.tier, e.weight == 0 and e.tier != last) for e in group.endpoints]
    distinct = sorted(set(ranks))
    for endpoint, rank in zip(group.endpoints, ranks, strict=True):
        endpoint.tier = distinct.index(rank)
        if rank[1]:
            endpoint.weight = None


def _keep_names_apart(group: ImportedGroup) -> None:
    """Drop names that two endpoints of a group have; each gets a made-up one then."""
    counts = Counter(endpoint.name for endpoint in group.endpoints)
    for endpoint in group.endpoints:
        if counts[endpoint.name] > 1:
            endpoint.name = ""


def _name_of(id: str) -> str:
    """Return an id as an endpoint's name: visible ASCII, without spaces."""
    return "".join(char if "!" <= char <= "~" else "-" for char in id)[:100]

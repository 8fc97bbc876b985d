"""The configuration as frozen, validated models: model groups, endpoints, and the whole file.

The models open nothing and read no environment. Keys and the values of default headers and queries
are `SecretStr`, so no representation shows them. The reference and the JSON Schema are generated
from the fields' descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, count
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic.functional_validators import AfterValidator

from llmproxy.config import checks
from llmproxy.config.base import (
    NUMBER,
    Affinity,
    Alias,
    CacheMode,
    Count,
    HeaderValues,
    OnUntranslatable,
    Pattern,
    Seconds,
    Secret,
    Section,
    Strategy,
    Text,
    TokenProvider,
    Url,
)
from llmproxy.config.general import GeneralSettings
from llmproxy.config.sections import Limits, Price

OPENAI_BASE_URL = "https://api.openai.com/v1/"
OPENAI_HOST = "api.openai.com"


class Params(Section):
    """Address and credential of an endpoint, as the parameters of the OpenAI and AzureOpenAI
    clients."""

    api_key: Secret | None = Field(
        default=None,
        description="The endpoint's credential, best as `os.environ/NAME`. Without it, "
        "`azure_ad_token_provider` and `credentials` the client's own credential is passed on, "
        "unless there are `callers`.",
    )
    base_url: Url | None = Field(
        default=None,
        description="The base URL of the endpoint's API, as in the OpenAI client. Default: that of "
        f"`provider`, or else OpenAI's, {OPENAI_BASE_URL}.",
    )
    organization: Text | None = Field(
        default=None, description="Sent to the endpoint as `OpenAI-Organization`."
    )
    project: Text | None = Field(
        default=None, description="Sent to the endpoint as `OpenAI-Project`."
    )
    timeout: Seconds | None = Field(
        default=None,
        description="Seconds to wait for this endpoint's first byte, streamed or not; then the "
        "attempt has failed. Instead of `timeouts.first_byte_s` and `timeouts.unary_first_byte_s`.",
    )
    default_headers: HeaderValues = Field(
        default_factory=dict,
        description="Headers added to every request to this endpoint. Their values are "
        "secrets and are never shown.",
    )
    default_query: Mapping[str, SecretStr] = Field(
        default_factory=dict,
        description="Query parameters added to every request to this endpoint, for example "
        "`{api-version: preview}`. Their values are secrets.",
    )
    azure_endpoint: Url | None = Field(
        default=None,
        description="An Azure OpenAI resource in the classic style (deployment in the path), for "
        "example `https://east.openai.azure.com`; instead of `base_url`. Needs `api_version`. For "
        "the newer v1 style write `base_url: https://east.openai.azure.com/openai/v1/`.",
    )
    azure_deployment: Text | None = Field(
        default=None,
        description="The name of the deployment in the classic style, if it differs from `model`.",
    )
    api_version: Text | None = Field(
        default=None, description="Azure's `api-version`, for example `2024-10-21`."
    )
    azure_ad_token_provider: TokenProvider | None = Field(
        default=None,
        description="Microsoft Entra instead of `api_key`: which identity to ask for tokens. Needs "
        "the extra `llmproxy-gateway[entra]`.",
    )
    credentials: Text | None = Field(
        default=None,
        description="An identity instead of `api_key`: `aws` or `aws:PROFILE` for Bedrock (needs "
        "the extra `llmproxy-gateway[bedrock]`), `google` or `google:KEY_FILE` for Vertex AI "
        "(needs the extra `llmproxy-gateway[vertex]`).",
    )

    @property
    def token_source(self) -> str | None:
        """The identity that requests are sent as; None: with a key, or the client's own."""
        return self.azure_ad_token_provider or self.credentials


class ModelEntry(Section):
    """One endpoint of a model group."""

    model: Pattern | None = Field(
        default=None,
        description="The endpoint's name for the model (Azure: for the deployment). `*` in it: "
        "what the star of `model_group` stands for in the client's name. Default: the client's "
        "model name is passed on.",
    )
    name: Annotated[str, AfterValidator(checks.endpoint_name)] | None = Field(
        default=None,
        description="The endpoint's name in response headers, metrics and logs; unique in its "
        "group. Default: its host, numbered where two are equal.",
    )
    weight: Annotated[int, Field(ge=0, le=1_000_000), NUMBER] = Field(
        default=1, description="Share of the calls within its tier. 0: last resort only."
    )
    tier: Annotated[int, Field(ge=0, le=1_000), NUMBER] = Field(
        default=0,
        description="Preference: a lower tier is tried first, a higher tier when the lower one is "
        "unavailable or full.",
    )
    provider: Text | None = Field(
        default=None,
        description="The endpoint's vendor, for example `openai`, `azure`, `groq`, `ollama`. "
        "Default: recognised by the base URL.",
    )
    limits: Annotated[Limits, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=Limits,
        description="Upper bounds of what is sent to the endpoint. Default: its headers decide.",
    )
    price: Price | None = Field(
        default=None,
        description="The endpoint's price, for `strategy: cheapest` and for costs. Default: the "
        "list price of its provider and model, if known.",
    )
    health_check: Text | None = Field(
        default=None,
        description="How it is checked after a failure: `free`, `off` or a path. Default: "
        "`general_settings.health_check`.",
    )
    speaks: tuple[Literal["chat", "messages", "responses"], ...] | None = Field(
        default=None,
        min_length=1,
        description="The dialects that it understands: `chat`, `responses`, `messages`. Calls in "
        "another dialect are translated. Default: those of its provider.",
    )
    rename: Mapping[Text, Text] = Field(
        default_factory=dict,
        description="Other names of parameters (top-level members of a JSON body) at this "
        "endpoint, for example `{max_tokens: max_completion_tokens}`.",
    )
    drop: tuple[Text, ...] = Field(
        default=(), description="Parameters that it does not get, by their name at the endpoint."
    )
    drop_unsupported: bool = Field(
        default=False,
        description="Drop or rename what its provider and model are known to refuse, as well.",
    )
    max_output_tokens: Count | None = Field(
        default=None,
        description="Lowers `max_tokens`, `max_completion_tokens` and `max_output_tokens` of calls "
        "to this number. A call without one gets none (add it to `defaults`), unless it is "
        "translated to `messages`, which requires one.",
    )
    overrides: Mapping[Text, Any] = Field(
        default={}, description="Parameters that it always gets, in place of the client's."
    )
    defaults: Mapping[Text, Any] = Field(
        default={}, description="Parameters that it gets if the client does not send them."
    )
    params: Annotated[Params, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=Params,
        description="Address and credential of the endpoint.",
    )

    @property
    def changes_parameters(self) -> bool:
        """Whether calls may be sent with other parameters than the client's."""
        values = (self.rename, self.drop, self.drop_unsupported, self.max_output_tokens)
        return any((*values, self.overrides, self.defaults))


def _named(models: tuple[ModelEntry, ...]) -> tuple[ModelEntry, ...]:
    """Return endpoints that all have names: by default their host, numbered where two are equal.

    A name depends only on the entries above it in its group, so appending an endpoint renames no
    other, and state survives a reload.
    """
    taken = {entry.name for entry in models}
    named = []
    for entry in models:
        name = entry.name
        if name is None:
            host = _host(entry)
            numbered = (f"{host}-{number}" for number in count(2))
            name = next(free for free in chain((host,), numbered) if free not in taken)
            taken.add(name)
        named.append(entry.model_copy(update={"name": name}))
    return tuple(named)


def _host(entry: ModelEntry) -> str:
    """Return host or host:port of an endpoint, or else its provider."""
    host = urlsplit(entry.params.azure_endpoint or entry.params.base_url or "").netloc
    provider = entry.provider or ""
    known = (host, provider if provider.isascii() and provider.isalnum() else "")
    return next((name for name in known if 0 < len(name) <= 90), OPENAI_HOST)


class ModelGroup(Section):
    """A model name that clients use, and the endpoints that serve it."""

    model_group: Pattern = Field(
        description="The name that clients put in `model`. `openai/*` or `*-mini` match names "
        "without a group of their own; the wildcard with the most characters decides. "
        '`"*"` matches every other name, and calls without a model.'
    )
    models: Annotated[tuple[ModelEntry, ...], AfterValidator(_named)] = Field(
        description="The group's endpoints, at least one.", min_length=1
    )
    aliases: tuple[Alias, ...] = Field(
        default=(),
        description="Further names of the group, listed in `GET /v1/models`. An endpoint without "
        "`model` then gets the group's name, not the client's.",
    )
    hidden_aliases: tuple[Alias, ...] = Field(
        default=(), description="The same, but not listed: old names that still work, for example."
    )
    on_untranslatable: OnUntranslatable | None = Field(
        default=None,
        description="What to do with what cannot be translated for an endpoint. Default: "
        "`general_settings.on_untranslatable`.",
    )
    strategy: Strategy | None = Field(
        default=None,
        description="How an endpoint is chosen within a tier. "
        "Default: `general_settings.strategy`.",
    )
    affinity: Affinity | None = Field(
        default=None,
        description="Which calls prefer the endpoint that served their conversation last. Default: "
        "`general_settings.affinity`.",
    )
    fallbacks: tuple[Text, ...] = Field(
        default=(),
        description="Model groups to try, in this order, if no endpoint of this group could "
        "serve a call. Their own fallbacks are not followed.",
    )
    context_window_fallbacks: tuple[Text, ...] = Field(
        default=(),
        description="Model groups to try, in this order, if a prompt is too long for this group.",
    )
    content_filter_fallbacks: tuple[Text, ...] = Field(
        default=(),
        description="Model groups to try, in this order, if a content filter refuses a prompt. "
        "Without them the refusal goes to the client, and no other endpoint is asked.",
    )
    cache: CacheMode | None = Field(
        default=None,
        description="Which of this group's answers are cached, if `cache` is on. Default: "
        "`cache_params.mode`.",
    )

    @property
    def all_aliases(self) -> tuple[str, ...]:
        """Return its further names, listed or not."""
        return self.aliases + self.hidden_aliases

    @property
    def all_fallbacks(self) -> tuple[str, ...]:
        """Return the groups to try instead of it, whatever the reason."""
        return self.fallbacks + self.context_window_fallbacks + self.content_filter_fallbacks


class Config(Section):
    """A whole configuration, checked and frozen."""

    model_groups: tuple[ModelGroup, ...] = Field(
        description="The models that clients can use: at least one group.", min_length=1
    )
    general_settings: Annotated[GeneralSettings, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=GeneralSettings,
        description="Settings of the whole proxy; may be left out.",
    )

    @model_validator(mode="after")
    def _names_are_known_once(self) -> Self:
        names = {group.model_group for group in self.model_groups}
        if len(names) < len(self.model_groups):
            checks.refuse("found two model groups of one name.", "Rename one.")
        aliases = [alias for group in self.model_groups for alias in group.all_aliases]
        if len(names.union(aliases)) < len(names) + len(aliases):
            checks.refuse("found an alias that is the name of another group.", "Rename one.")
        for group in self.model_groups:
            if group.all_aliases and "*" in group.model_group:
                checks.refuse("found aliases of a wildcard.", "Give them to a group with a name.")
            if len({entry.name for entry in group.models}) < len(group.models):
                checks.refuse("found two endpoints of one name in a group.", "Rename one.")
            if not names.issuperset(group.all_fallbacks):
                checks.refuse("found a fallback that is no model group.", "Name another one.")
        return self

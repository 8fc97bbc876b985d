"""The configuration as frozen, validated values: what an operator may write, and what it means.

The models open nothing and read no environment. No representation of them shows a secret: keys,
and whatever stands in default headers and queries, are `SecretStr`. Every field carries the
description from which the reference and the editors' schema are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic.functional_validators import AfterValidator
from pydantic_core import PydanticCustomError

from llmproxy.config import checks
from llmproxy.config.base import (
    NUMBER,
    AzureUrl,
    CacheMode,
    HeaderValues,
    Seconds,
    Secret,
    Section,
    Strategy,
    Text,
    TokenProvider,
    Url,
)
from llmproxy.config.conflicts import conflicts
from llmproxy.config.general import GeneralSettings
from llmproxy.config.names import named
from llmproxy.config.sections import Limits, Price

OPENAI_BASE_URL = "https://api.openai.com/v1/"


class Params(Section):
    """How one endpoint is reached: the parameters of the OpenAI and AzureOpenAI clients."""

    api_key: Secret | None = Field(
        default=None,
        description="The endpoint's credential, best as `os.environ/NAME`. Without it (and without "
        "`azure_ad_token_provider`) the client's own credential is passed on: bring your own key. "
        "With `callers` it is not.",
    )
    base_url: Url | None = Field(
        default=None,
        description="Where the endpoint's API begins, as the OpenAI client takes it. Without it: "
        f"the base of `provider`, and without that OpenAI's own, {OPENAI_BASE_URL}.",
    )
    organization: Text | None = Field(
        default=None, description="Sent to the endpoint as `OpenAI-Organization`."
    )
    project: Text | None = Field(
        default=None, description="Sent to the endpoint as `OpenAI-Project`."
    )
    timeout: Seconds | None = Field(
        default=None,
        description="Seconds to wait for this endpoint's first byte, streamed or not; instead of "
        "`timeouts.first_byte_s` and `timeouts.unary_first_byte_s`.",
    )
    default_headers: HeaderValues = Field(
        default_factory=dict,
        description="Headers added to every request to this endpoint. Their values count as "
        "secrets: they are never shown.",
    )
    default_query: Mapping[str, SecretStr] = Field(
        default_factory=dict,
        description="Query parameters added to every request to this endpoint, for example "
        "`{api-version: preview}`. Their values count as secrets.",
    )
    azure_endpoint: AzureUrl | None = Field(
        default=None,
        description="An Azure OpenAI resource in the classic style (deployment in the path), for "
        "example `https://east.openai.azure.com`; instead of `base_url`. Needs `api_version`. For "
        "the newer v1 style write `base_url: https://east.openai.azure.com/openai/v1/`.",
    )
    azure_deployment: Text | None = Field(
        default=None,
        description="The deployment's name in the classic style, where it differs from `model`.",
    )
    api_version: Text | None = Field(
        default=None, description="Azure's `api-version`, for example `2024-10-21`."
    )
    azure_ad_token_provider: TokenProvider | None = Field(
        default=None,
        description="Microsoft Entra instead of `api_key`: which identity to ask for tokens. Needs "
        "the extra `llmproxy[entra]`.",
    )


class ModelEntry(Section):
    """One endpoint of a model group: a place that can answer."""

    model: Text | None = Field(
        default=None,
        description="The upstream's name of the model (Azure: of the deployment). Without it the "
        "client's own name goes through.",
    )
    name: Annotated[str, AfterValidator(checks.endpoint_name)] | None = Field(
        default=None,
        description="What the endpoint is called in response headers, metrics and logs; unique in "
        "its group. Without it: its host, numbered where two are equal.",
    )
    weight: Annotated[int, Field(ge=0, le=1_000_000), NUMBER] = Field(
        default=1, description="Share of the calls within its tier. 0: last resort only."
    )
    tier: Annotated[int, Field(ge=0, le=1_000), NUMBER] = Field(
        default=0,
        description="Preference: a lower tier is tried first, a higher one when that is out or "
        "full.",
    )
    provider: Text | None = Field(
        default=None,
        description="The endpoint's dialect, for example `openai`, `azure`, `groq`, `ollama`. "
        "Without it: recognised by the base URL.",
    )
    limits: Annotated[Limits, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=Limits,
        description="What may be sent to the endpoint at most. Without it its own headers decide.",
    )
    price: Price | None = Field(
        default=None,
        description="What the endpoint costs, for `strategy: cheapest` and for costs. Without it: "
        "the list price of its provider and model, if that is known.",
    )
    params: Annotated[Params, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=Params,
        description="How the endpoint is reached.",
    )


class ModelGroup(Section):
    """A name that clients ask for, and the endpoints that keep the promise."""

    model_group: Annotated[str, AfterValidator(checks.group_name)] = Field(
        description='The name that clients put in `model`. `"*"`: every other name, and calls that '
        "carry none."
    )
    models: tuple[ModelEntry, ...] = Field(
        description="The group's endpoints, at least one.", min_length=1
    )
    strategy: Strategy | None = Field(
        default=None,
        description="How to choose within a tier; without it `general_settings.strategy`.",
    )
    fallbacks: tuple[Text, ...] = Field(
        default=(),
        description="Model groups to ask, in this order, when no endpoint of this one could serve "
        "a call. Their own fallbacks are not followed.",
    )
    context_window_fallbacks: tuple[Text, ...] = Field(
        default=(),
        description="Model groups to ask, in this order, when a prompt is too long for this one.",
    )
    cache: CacheMode | None = Field(
        default=None,
        description="What is remembered of this group's answers, if there is a cache; without it "
        "`cache_params.mode`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_endpoints(cls, written: object) -> object:
        return named(written)


class Config(Section):
    """A whole configuration, checked and frozen. Opens nothing."""

    CONFLICT: ClassVar[str] = "conflict"  # the error type of the check below

    model_groups: tuple[ModelGroup, ...] = Field(
        description="What clients can ask for, at least one group.", min_length=1
    )
    general_settings: Annotated[GeneralSettings, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=GeneralSettings,
        description="Everything that is not one model group's own; may be left out.",
    )

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        for wrong in conflicts(self):
            text = f"{wrong.found} {wrong.remedy}".replace("{value}", "like the first")
            raise PydanticCustomError("conflict", "{text}", {"text": text})
        return self

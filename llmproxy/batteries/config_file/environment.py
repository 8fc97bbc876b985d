"""Makes a config without a file, from the variables that the OpenAI clients read.

It has one group, "*", whose endpoints keep the client's model name. If both vendors have keys,
Azure is tier 0 and OpenAI tier 1. With equal shares, half of the calls would go to an endpoint that
does not have the model, because the names differ: an owner names a deployment. Azure comes first
because its pair of variables is set on purpose, while OPENAI_API_KEY is in many shells by habit. A
call that Azure cannot serve (down, full, no such deployment) goes to OpenAI.

The key of one other vendor is used if there is no key for these two. Several are refused: only a
config can say which model is whose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import ValidationError

from llmproxy.batteries.settings import FullConfig, FullSettings
from llmproxy.config.models import OPENAI_BASE_URL
from llmproxy.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

PLACE = "environment"
# Values that the v1 API accepts as api-version. Dated versions belong to the classic API; a shell
# that sets one for another program must not break this one.
V1_VERSIONS = ("preview", "latest", "v1")
# The variables of other vendors' own clients -> the provider here. Tokens that serve other programs
# first (HF_TOKEN, GITHUB_TOKEN, CLOUDFLARE_API_TOKEN) are not among them: they are in many shells.
VENDORS = {
    "ANTHROPIC_API_KEY": "anthropic",
    "AWS_BEARER_TOKEN_BEDROCK": "bedrock",
    "CEREBRAS_API_KEY": "cerebras",
    "COHERE_API_KEY": "cohere",
    "CO_API_KEY": "cohere",
    "DASHSCOPE_API_KEY": "alibaba",
    "DEEPINFRA_API_KEY": "deepinfra",
    "DEEPINFRA_TOKEN": "deepinfra",
    "DEEPSEEK_API_KEY": "deepseek",
    "FIREWORKS_API_KEY": "fireworks",
    "GEMINI_API_KEY": "gemini",
    "GOOGLE_API_KEY": "gemini",
    "GROQ_API_KEY": "groq",
    "MISTRAL_API_KEY": "mistral",
    "MOONSHOT_API_KEY": "moonshot",
    "NVIDIA_API_KEY": "nvidia",
    "OPENROUTER_API_KEY": "openrouter",
    "PERPLEXITY_API_KEY": "perplexity",
    "PPLX_API_KEY": "perplexity",
    "SAMBANOVA_API_KEY": "sambanova",
    "TOGETHER_API_KEY": "together",
    "XAI_API_KEY": "xai",
    "ZAI_API_KEY": "zai",
}


def config_from_environment(environ: Mapping[str, str]) -> FullConfig | None:
    """Return a config for the keys in `environ`; None without keys.

    Reads OPENAI_API_KEY with OPENAI_BASE_URL, OPENAI_ORG_ID and OPENAI_PROJECT_ID, and
    AZURE_OPENAI_API_KEY with AZURE_OPENAI_ENDPOINT and OPENAI_API_VERSION; without these, the key
    of one of `VENDORS`, that of Bedrock with AWS_REGION or AWS_DEFAULT_REGION. An empty one is
    unset. Raises ConfigError if half of the Azure pair is
    missing, several vendors have keys, or a value is invalid.
    """
    present = {name: value.strip() for name, value in environ.items() if value.strip()}
    problems: list[Problem] = []
    sources = [s for s in (_azure(present, problems), _openai(present, problems)) if s is not None]
    if not sources and not problems:
        sources = _other_vendor(present, problems)
    if problems:
        raise ConfigError(problems)
    if not sources:
        return None
    models = [
        {"tier": tier, "provider": source.provider, "params": source.params}
        for tier, source in enumerate(sources)
    ]
    try:
        return FullConfig.model_validate({"model_groups": [{"model_group": "*", "models": models}]})
    except ValidationError as error:
        # Errors of whole sections only follow from those of single values.
        values = [detail for detail in error.errors() if detail["loc"][-2:-1] == ("params",)]
        raise ConfigError([_refused(detail, sources) for detail in values]) from None


@dataclass(frozen=True, slots=True)
class _Source:
    """One vendor's parameters, and the variable behind each. `provider`: None = by the address."""

    params: dict[str, object] = field(repr=False)
    variables: Mapping[str, str]
    provider: str | None = None


def _azure(present: Mapping[str, str], problems: list[Problem]) -> _Source | None:
    key, endpoint = present.get("AZURE_OPENAI_API_KEY"), present.get("AZURE_OPENAI_ENDPOINT")
    if key is None and endpoint is None:
        return None
    if endpoint is None:
        problems.append(
            _problem(
                "AZURE_OPENAI_API_KEY is set, but AZURE_OPENAI_ENDPOINT is not.",
                "Set it to https://RESOURCE.openai.azure.com, or unset the key.",
            )
        )
        return None
    if key is None:
        problems.append(
            _problem(
                "AZURE_OPENAI_ENDPOINT is set, but AZURE_OPENAI_API_KEY is not.",
                "Set it, or unset the endpoint. Entra identities (azure_ad_token_provider) need "
                "a config file.",
            )
        )
        return None
    base = endpoint.rstrip("/").removesuffix("/openai/v1").removesuffix("/openai")
    params: dict[str, object] = {"api_key": key, "base_url": f"{base}/openai/v1/"}
    if (version := present.get("OPENAI_API_VERSION")) in V1_VERSIONS:
        params["default_query"] = {"api-version": version}
    return _Source(params, {"api_key": "AZURE_OPENAI_API_KEY", "base_url": "AZURE_OPENAI_ENDPOINT"})


def _openai(present: Mapping[str, str], problems: list[Problem]) -> _Source | None:
    if "OPENAI_API_KEY" not in present:
        return None
    variables = {
        "api_key": "OPENAI_API_KEY",
        "base_url": "OPENAI_BASE_URL",
        "organization": "OPENAI_ORG_ID",
        "project": "OPENAI_PROJECT_ID",
    }
    params: dict[str, object] = {key: present.get(name) for key, name in variables.items()}
    if _is_ourselves(present.get("OPENAI_BASE_URL", OPENAI_BASE_URL)):
        problems.append(
            _problem(
                "OPENAI_BASE_URL is the address of this proxy: it would call itself.",
                "Unset it where the proxy is started; set it for the clients only.",
            )
        )
        return None
    return _Source(
        {"base_url": OPENAI_BASE_URL} | {k: v for k, v in params.items() if v}, variables
    )


def _other_vendor(present: Mapping[str, str], problems: list[Problem]) -> list[_Source]:
    """Return the one vendor that has a key, or none."""
    keys = {provider: name for name, provider in VENDORS.items() if name in present}
    if len(keys) > 1:
        names = ", ".join(keys.values())
        remedy = (
            "Keep one, or write llmproxy.yaml, which says which model is whose "
            "(see llmproxy.example.yaml): provider: NAME and api_key: os.environ/NAME."
        )
        problems.append(_problem(f"there are keys of several vendors: {names}.", remedy))
        return []
    return [
        _Source(
            {"api_key": present[name], **_address(provider, present, problems)},
            {"api_key": name, "base_url": "AWS_REGION"},
            provider,
        )
        for provider, name in keys.items()
    ]


def _address(
    provider: str, present: Mapping[str, str], problems: list[Problem]
) -> dict[str, object]:
    """Return the address of a vendor that has one in each region; nothing for the others."""
    if provider != "bedrock":
        return {}
    region = present.get("AWS_REGION") or present.get("AWS_DEFAULT_REGION")
    if region is None:
        found = "AWS_BEARER_TOKEN_BEDROCK is set, but AWS_REGION is not."
        problems.append(_problem(found, "Set it, for example to us-east-1."))
        return {}
    return {"base_url": f"https://bedrock-runtime.{region}.amazonaws.com"}


def _is_ourselves(base: str) -> bool:
    try:
        parts = urlsplit(base)
        port = parts.port
    except ValueError:
        return False  # refused later, with a better message
    ours = FullSettings()
    return port == ours.bind_port and parts.hostname in (ours.bind_address, "localhost", "::1")


def _refused(detail: ErrorDetails, sources: list[_Source]) -> Problem:
    """Return the problem of an invalid value, by the name of its variable; the value is not
    shown."""
    _, _, _, index, *_, key = detail["loc"]  # model_groups, 0, models, index, params, key
    context = detail.get("ctx", {})
    variable = sources[int(index)].variables.get(str(key), str(key))
    found = context.get("found", "this value cannot be used.").replace("{value}", "this value")
    return _problem(f"{variable}: {found}", context.get("remedy", "Correct it."))


def _problem(found: str, remedy: str) -> Problem:
    return Problem(PLACE, 0, found, remedy)

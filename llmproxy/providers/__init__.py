"""From a configuration to its endpoints: the provider of each, and how it is addressed.

Pure: opens nothing. Mistakes that only show here (an unknown provider, an Azure address without its
version) are a ConfigError like any other, with every problem at once.
"""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import quote, urlsplit

from llmproxy.calls import Header
from llmproxy.config import OPENAI_BASE_URL, Config, ModelEntry, ModelGroup, Params
from llmproxy.errors import ConfigError, Problem
from llmproxy.providers.azure import AZURE, AZURE_CLASSIC
from llmproxy.providers.base import API_VERSION, NO_PRICE_LIST, Endpoint, Provider, encoded_query
from llmproxy.providers.registry import BY_NAME, by_host
from llmproxy.rules.authority import authority
from llmproxy.rules.headers import CREDENTIALS

DEFAULT_PORTS = {"http": 80, "https": 443}

__all__ = ["Endpoint", "Provider", "endpoints_of"]


def endpoints_of(config: Config, *, file: str = "config") -> dict[str, tuple[Endpoint, ...]]:
    """Return the endpoints of every model group by its name, in the order of the configuration.

    Raises ConfigError with all problems; `file` is the file that they name.
    """
    problems: list[Problem] = []
    groups: dict[str, tuple[Endpoint, ...]] = {}
    for number, group in enumerate(config.model_groups):
        endpoints = []
        for index, entry in enumerate(group.models):
            try:
                endpoints.append(_endpoint(group, entry))
            except _UnusableError as unusable:
                found = f"endpoint {entry.name!r} of {group.model_group!r}: {unusable.found}"
                path: tuple[str | int, ...] = ("model_groups", number, "models", index)
                path += unusable.key
                problems.append(Problem(file, 0, found, unusable.remedy, path))
        groups[group.model_group] = tuple(endpoints)
    if problems:
        raise ConfigError(problems)
    return groups


class _UnusableError(Exception):
    """Why an entry is not a usable endpoint. Becomes a Problem in `endpoints_of`.

    `key`: the path, within the entry, of the value that is wrong.
    """

    def __init__(self, found: str, remedy: str, key: tuple[str, ...]) -> None:
        super().__init__(found)
        self.found = found
        self.remedy = remedy
        self.key = key


def _endpoint(group: ModelGroup, entry: ModelEntry) -> Endpoint:
    params, name, pattern = entry.params, group.model_group, "*" in (entry.model or "")
    if pattern and "*" not in name:
        found = f"model {entry.model!r} in the group {name!r}, whose name has no star."
        _refuse(found, "Write the whole name.", "model")
    url = params.azure_endpoint or params.base_url
    provider = _provider(entry, url)
    url = url or provider.base_url
    if url is None:
        _refuse(f"provider {provider.name!r} without base_url.", "Add params.base_url.", "provider")
    parts = urlsplit(url)
    host, scheme = (parts.hostname or "").lower(), parts.scheme
    port = parts.port or DEFAULT_PORTS[scheme]
    shown = authority(host, None if port == DEFAULT_PORTS[scheme] else port)
    credential, extra = _headers(params, provider)
    query = _query(params, provider)
    return Endpoint(
        group=name,
        name=entry.name or host,
        provider=provider,
        model=None if pattern else entry.model or (name if group.all_aliases else None),
        model_pattern=entry.model if pattern else None,
        weight=entry.weight,
        tier=entry.tier,
        scheme=scheme,
        host=host,
        port=port,
        host_header=shown.encode("ascii"),
        prefix=_prefix(provider, parts.path),
        credential=credential,
        token_source=params.token_source,
        extra_headers=extra,
        extra_header_names=frozenset(name for name, _ in extra),
        query=query,
        first_byte_timeout_s=params.timeout,
        deployment=_deployment(entry, provider),
        limits=entry.limits,
        price=entry.price or NO_PRICE_LIST,
    )


def _provider(entry: ModelEntry, url: str | None) -> Provider:
    """Return the named provider, or the one that the address belongs to."""
    name = entry.provider
    if name is not None and name not in BY_NAME:
        known = f"Known are: {', '.join(sorted(BY_NAME))}."
        _refuse(f"unknown provider {name!r}.", known, "provider")
    if entry.params.azure_endpoint is not None:
        if name not in (None, AZURE.name, AZURE_CLASSIC.name):
            _refuse(f"azure_endpoint with provider {name!r}.", "Remove provider.", "provider")
        return AZURE_CLASSIC
    provider = BY_NAME[name] if name is not None else _recognised(url or OPENAI_BASE_URL)
    if provider is AZURE and url is not None and _is_resource(url):
        # The address names only the resource; with a version, that is the classic style.
        if entry.params.api_version is None:
            _refuse(
                "an Azure address without the API's path.",
                "End base_url in /openai/v1/, or write azure_endpoint and api_version.",
                *("params", "base_url"),
            )
        return AZURE_CLASSIC
    return provider


def _recognised(url: str) -> Provider:
    return by_host(urlsplit(url).hostname or "")


def _is_resource(url: str) -> bool:
    return urlsplit(url).path.rstrip("/") in ("", "/openai")


def _prefix(provider: Provider, path: str) -> bytes:
    """Return the base URL's path, without a trailing slash; /openai for Azure's classic style."""
    prefix = path.rstrip("/")
    if "/deployments/" in prefix and provider in (AZURE, AZURE_CLASSIC):
        _refuse(
            "a base_url with the deployment in it.",
            "Write azure_endpoint (the resource only) and api_version, and name the deployment in "
            "model.",
            *("params", "base_url"),
        )
    if provider is AZURE_CLASSIC and not prefix.endswith("/openai"):
        prefix += "/openai"
    return prefix.encode("ascii")


def _deployment(entry: ModelEntry, provider: Provider) -> bytes:
    if provider is not AZURE_CLASSIC:
        return b""
    name = entry.params.azure_deployment or entry.model
    if name is None:
        _refuse("Azure's classic style without a deployment.", "Name the deployment in model.")
    return quote(name, safe="").encode("ascii")


def _query(params: Params, provider: Provider) -> bytes:
    own = [(name, value.get_secret_value()) for name, value in params.default_query.items()]
    if all(name != API_VERSION for name, _ in own):
        if params.api_version is not None:
            own.append((API_VERSION, params.api_version))
        elif provider is AZURE_CLASSIC:
            _refuse(
                "Azure's classic style without api_version.",
                "Add params.api_version, for example 2024-10-21.",
                "params",
            )
    return encoded_query(own)


def _headers(params: Params, provider: Provider) -> tuple[tuple[Header, ...], tuple[Header, ...]]:
    """Return the credential's headers, and the others that go with every request.

    A credential among default_headers counts as one: it replaces that of api_key, as in the OpenAI
    client, and the client's own key is not sent to the endpoint.
    """
    extra: dict[bytes, bytes] = {}
    if params.organization is not None:
        extra[b"openai-organization"] = _header_value(params.organization, "organization")
    if params.project is not None:
        extra[b"openai-project"] = _header_value(params.project, "project")
    for name, value in params.default_headers.items():
        extra[name.lower().encode("ascii")] = value.get_secret_value().encode("ascii")
    credential = {name: extra.pop(name) for name in list(extra) if name in CREDENTIALS}
    if not credential and params.api_key is not None:
        credential = dict(provider.credential_headers(params.api_key.get_secret_value()))
    return tuple(credential.items()), tuple(extra.items())


def _header_value(value: str, key: str) -> bytes:
    try:
        return value.encode("ascii")
    except UnicodeEncodeError:
        remedy = "Write the id, such as org-... ."
        _refuse(f"{key} with a character outside ASCII.", remedy, "params", key)


def _refuse(found: str, remedy: str, *key: str) -> NoReturn:
    raise _UnusableError(found, remedy, key)

"""Checks the identities that a config names, and keeps their tokens from one config to the next."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from time import time
from typing import Any, TypeVar

from msgspec.structs import replace

from llmproxy.batteries.credentials.aws import MANTLE, aws_keys, region_of, service_of
from llmproxy.batteries.credentials.entra import SCOPES, entra_token
from llmproxy.batteries.credentials.google import google_token
from llmproxy.batteries.credentials.renewed import Lasting, Renewed
from llmproxy.batteries.credentials.requests import (
    AwsRequests,
    BedrockRequests,
    EntraRequests,
    GoogleRequests,
    VertexRequests,
)
from llmproxy.config import Config
from llmproxy.errors import ConfigError, Problem
from llmproxy.providers import endpoints_of
from llmproxy.providers.base import Authorize, Endpoint, Endpoints

T = TypeVar("T")

ANTHROPIC_HOST = "api.anthropic.com"  # it takes keys only
IDENTITY = re.compile(r"(aws|google)(?::(.+))?")
# Providers that accept an identity: the cloud, and Anthropic's own API there.
PROVIDERS_OF = {"aws": ("bedrock", "anthropic"), "google": ("vertex", "anthropic")}
# The extra of each kind of identity, its package, and the module that it brings.
EXTRAS = {
    "azure_ad_token_provider": ("entra", "azure-identity", "azure.identity"),
    "aws": ("bedrock", "botocore", "botocore"),
    "google": ("vertex", "google-auth", "google.auth"),
}
_VERTEX_ROOT = re.compile(rb"/v1(?:beta1)?/projects/[^/]+/locations/([^/]+)")
_VERTEX_HOST = re.compile(r"([a-z0-9-]+)-aiplatform\.googleapis\.com")
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}")

IsInstalled = Callable[[str], bool]


def is_installed(module: str) -> bool:
    """Return whether a module can be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # nor its parent
        return False


class CloudCredentials:
    """Owns the tokens and keys of a process, one for each identity.

    `sources`: what fetches them, by kind.
    """

    def __init__(
        self,
        sources: Mapping[str, Callable[..., Callable[[], Lasting[Any]]]] | None = None,
        *,
        wall: Callable[[], float] = time,
        is_installed: IsInstalled = is_installed,
    ) -> None:
        self._sources: dict[str, Callable[..., Callable[[], Lasting[Any]]]] = {
            "entra": entra_token,
            "aws": aws_keys,
            "google": google_token,
            **(sources or {}),
        }
        self._wall = wall
        self._is_installed = is_installed
        self._renewed: dict[tuple[str, ...], Renewed[Any]] = {}

    def check(self, config: Config, *, file: str) -> None:
        """Raise ConfigError, naming the file, for an identity that an endpoint cannot have."""
        problems = list(self._problems(config, file))
        if problems:
            raise ConfigError(problems)

    def authorized(self, endpoints: Endpoints) -> Endpoints:
        """Return endpoints with the `authorize` of those whose requests need it."""
        return {group: tuple(map(self._authorized, row)) for group, row in endpoints.items()}

    def _authorized(self, endpoint: Endpoint) -> Endpoint:
        authorize = self._authorize_of(endpoint)
        return endpoint if authorize is None else replace(endpoint, authorize=authorize)

    def _authorize_of(self, endpoint: Endpoint) -> Authorize | None:
        source, provider = endpoint.token_source, endpoint.provider.name
        if source is not None and provider in SCOPES:
            return EntraRequests(self._kept("Entra token", "entra", source, SCOPES[provider]))
        kind, _, detail = (source or "").partition(":")
        signed = sent = None
        if kind == "aws":
            signed = AwsRequests(
                endpoint.host_header,
                service_of(endpoint.host),
                region_of(endpoint.host),
                self._kept("AWS keys", "aws", detail or None),
            )
        elif kind == "google":
            sent = GoogleRequests(self._kept("Google token", "google", detail or None))
        if provider == "bedrock":
            openai = b"/v1" if service_of(endpoint.host) == MANTLE else b"/openai/v1"
            return BedrockRequests(endpoint.prefix, openai, signed)
        if provider == "vertex":
            root = _VERTEX_ROOT.match(endpoint.prefix)
            root_path = endpoint.prefix if root is None else root[0]
            return VertexRequests(endpoint.prefix, root_path, endpoint.query, sent)
        return signed or sent

    def _kept(self, what: str, kind: str, *details: str | None) -> Renewed[Any]:
        """Return the value of an identity, the same for every config."""
        key = (kind, *(detail or "" for detail in details))
        if key not in self._renewed:
            fetch = self._sources[kind](*details)
            self._renewed[key] = Renewed(what, fetch, self._wall)
        return self._renewed[key]

    def _problems(self, config: Config, file: str) -> Iterator[Problem]:
        try:
            endpoints = endpoints_of(config)
        except ConfigError:  # the core reports what makes an entry no endpoint
            return
        for number, group in enumerate(config.model_groups):
            for index, endpoint in enumerate(endpoints[group.model_group]):
                params = group.models[index].params
                named = params.azure_ad_token_provider is not None
                key = "azure_ad_token_provider" if named else "credentials"
                path = ("model_groups", number, "models", index, "params")
                for found, remedy, place in self._wrong(endpoint, key):
                    where = f"endpoint {endpoint.name!r} of {endpoint.group!r}"
                    yield Problem(file, 0, f"{where}: {found}", remedy, (*path, place))

    def _wrong(self, endpoint: Endpoint, key: str) -> Iterator[tuple[str, str, str]]:
        """Yield each problem of an endpoint's identity or address, its remedy, and its key."""
        provider, source = endpoint.provider.name, endpoint.token_source
        kind = key
        if source is not None and key == "credentials":
            known = IDENTITY.fullmatch(source)
            if known is None:
                remedy = "Write aws, aws:PROFILE, google or google:KEY_FILE."
                yield f"credentials {source!r} are not known.", remedy, key
                return
            kind = known[1]
            if provider not in PROVIDERS_OF[kind] or endpoint.host == ANTHROPIC_HOST:
                found = f"credentials: {kind} with provider {provider!r}, which does not know them."
                remedy = f"Write provider: {PROVIDERS_OF[kind][0]} if it is one, or use api_key."
                yield found, remedy, key
                return
        elif source is not None and provider not in SCOPES:
            yield (
                f"azure_ad_token_provider with provider {provider!r}, which takes no such tokens.",
                "Write provider: azure if this is an Azure resource, or use api_key.",
                key,
            )
            return
        if source is not None:
            extra, package, module = EXTRAS[kind]
            if not self._is_installed(module):
                found = f"{key} needs {package}, which is not installed."
                yield found, f"Run pip install 'llmproxy-gateway[{extra}]', or use api_key.", key
        yield from _wrong_address(endpoint)


def _wrong_address(endpoint: Endpoint) -> Iterator[tuple[str, str, str]]:
    region = region_of(endpoint.host)
    if region and not _REGION.fullmatch(region):
        remedy = "Write one such as https://bedrock-runtime.us-east-1.amazonaws.com."
        yield f"an address with the unknown region {region!r}.", remedy, "base_url"
    if endpoint.provider.name == "vertex":
        root = _VERTEX_ROOT.match(endpoint.prefix)
        if root is None:
            yield (
                "an address of Vertex AI without project and location.",
                "Write https://LOCATION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/"
                "LOCATION.",
                "base_url",
            )
        elif (host := _VERTEX_HOST.fullmatch(endpoint.host)) and host[1] != root[1].decode("ascii"):
            found = f"the host of {host[1]} with the location {root[1].decode('ascii')}."
            yield found, "Write the same in both places.", "base_url"

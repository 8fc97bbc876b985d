"""Model groups that contradict each other, and endpoints that contradict themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmproxy.config.contradictions.base import Contradiction, Path
from llmproxy.config.contradictions.fallbacks import of_fallbacks
from llmproxy.config.reading import get, items

if TYPE_CHECKING:
    from collections.abc import Iterator


def of_groups(config: object) -> Iterator[Contradiction]:
    """Equal names, fallbacks that lead nowhere, and addresses that cannot be."""
    yield from _equal_groups(config)
    yield from of_fallbacks(config)
    for number, group in enumerate(items(get(config, "model_groups"))):
        yield from _equal_names(group, ("model_groups", number))
        for index, entry in enumerate(items(get(group, "models"))):
            path: Path = ("model_groups", number, "models", index)
            yield from _azure(entry, path)
            yield from _credentials(get(entry, "params"), (*path, "params"))


def _equal_groups(config: object) -> Iterator[Contradiction]:
    first: dict[str, Path] = {}
    for number, group in enumerate(items(get(config, "model_groups"))):
        path: Path = ("model_groups", number, "model_group")
        name = get(group, "model_group")
        if not isinstance(name, str):
            continue
        if name in first:
            yield Contradiction(
                path,
                "found a second model_group {value}.",
                "Put the endpoints of both into one group, or rename one.",
                first[name],
                name,
            )
        first.setdefault(name, path)


def _equal_names(group: object, path: Path) -> Iterator[Contradiction]:
    first: dict[str, Path] = {}
    for index, entry in enumerate(items(get(group, "models"))):
        here: Path = (*path, "models", index, "name")
        name = get(entry, "name")
        if not isinstance(name, str):
            continue
        if name in first:
            yield Contradiction(
                here,
                "found a second endpoint named {value} in this group.",
                "Rename one: logs and metrics could not tell them apart.",
                first[name],
                name,
            )
        first.setdefault(name, here)


def _azure(entry: object, path: Path) -> Iterator[Contradiction]:
    params = get(entry, "params")
    here: Path = (*path, "params")
    endpoint = get(params, "azure_endpoint") is not None
    deployment = get(params, "azure_deployment") is not None
    if endpoint and get(params, "base_url") is not None:
        yield Contradiction(
            (*here, "base_url"),
            "found both base_url and azure_endpoint.",
            "Keep azure_endpoint for the classic style, base_url (ending in /openai/v1/) for v1.",
        )
    if endpoint and get(params, "api_version") is None:
        yield Contradiction(
            (*here, "azure_endpoint"),
            "found azure_endpoint without api_version.",
            "Add api_version (for example 2024-10-21), or use base_url: "
            "https://RESOURCE.openai.azure.com/openai/v1/ instead, which needs none.",
        )
    if endpoint and not deployment and get(entry, "model") is None:
        yield Contradiction(
            (*here, "azure_endpoint"),
            "found azure_endpoint without a deployment.",
            "Add model (the deployment's name) to this endpoint, or use base_url: "
            "https://RESOURCE.openai.azure.com/openai/v1/, where the client's model goes through.",
        )
    if deployment and not endpoint:
        yield Contradiction(
            (*here, "azure_deployment"),
            "found azure_deployment without azure_endpoint.",
            "Add azure_endpoint and api_version, or name the deployment in model.",
        )


def _credentials(params: object, path: Path) -> Iterator[Contradiction]:
    if get(params, "azure_ad_token_provider") is None:
        return
    here: Path = (*path, "azure_ad_token_provider")
    if get(params, "api_key") is not None:
        yield Contradiction(
            here, "found both api_key and azure_ad_token_provider.", "Keep one of the two."
        )
    if get(params, "azure_endpoint") is None and get(params, "base_url") is None:
        yield Contradiction(
            here,
            "found azure_ad_token_provider without an Azure address: a token for Azure would go to "
            "another vendor.",
            "Add base_url: https://RESOURCE.openai.azure.com/openai/v1/, or azure_endpoint.",
        )

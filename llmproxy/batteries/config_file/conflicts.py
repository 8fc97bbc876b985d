"""Cross-field validation: values that are valid alone and conflict with each other.

Works on raw YAML values, valid or not: although a value has the wrong type in one place, a
duplicate name in another place is still reported. Never raises.
"""

from __future__ import annotations

from collections.abc import Iterator

from llmproxy.batteries.config_file.aliases import alias_conflicts, aliases_of
from llmproxy.batteries.config_file.raw import Conflict, Path, get, group_names, items, used_twice


def conflicts(config: object) -> Iterator[Conflict]:
    """Yield the conflicts: duplicate names, unknown fallbacks, incomplete Azure addresses, ..."""
    yield from _equal_groups(config)
    yield from alias_conflicts(config)
    yield from _fallbacks(config)
    for number, group in enumerate(items(get(config, "model_groups"))):
        yield from _equal_names(group, ("model_groups", number))
        for index, entry in enumerate(items(get(group, "models"))):
            path: Path = ("model_groups", number, "models", index)
            yield from _azure(entry, path)
            yield from _credentials(get(entry, "params"), (*path, "params"))


def _equal_groups(config: object) -> Iterator[Conflict]:
    return used_twice(
        get(config, "model_groups"),
        ("model_groups",),
        "model_group",
        "found a second model_group {value}.",
        "Put the endpoints of both into one group, or rename one.",
    )


def _equal_names(group: object, path: Path) -> Iterator[Conflict]:
    return used_twice(
        get(group, "models"),
        (*path, "models"),
        "name",
        "found a second endpoint named {value} in this group.",
        "Rename one: they would look the same in logs and metrics.",
    )


def _azure(entry: object, path: Path) -> Iterator[Conflict]:
    params = get(entry, "params")
    here: Path = (*path, "params")
    endpoint = get(params, "azure_endpoint") is not None
    deployment = get(params, "azure_deployment") is not None
    if endpoint and get(params, "base_url") is not None:
        yield Conflict(
            (*here, "base_url"),
            "found both base_url and azure_endpoint.",
            "Keep azure_endpoint for the classic style, base_url (ending in /openai/v1/) for v1.",
        )
    if endpoint and get(params, "api_version") is None:
        yield Conflict(
            (*here, "azure_endpoint"),
            "found azure_endpoint without api_version.",
            "Add api_version (for example 2024-10-21), or use base_url: "
            "https://RESOURCE.openai.azure.com/openai/v1/ instead, which needs none.",
        )
    if endpoint and not deployment and get(entry, "model") is None:
        yield Conflict(
            (*here, "azure_endpoint"),
            "found azure_endpoint without a deployment.",
            "Add model (the deployment's name) to this endpoint, or use base_url: "
            "https://RESOURCE.openai.azure.com/openai/v1/, which receives the client's model name.",
        )
    if deployment and not endpoint:
        yield Conflict(
            (*here, "azure_deployment"),
            "found azure_deployment without azure_endpoint.",
            "Add azure_endpoint and api_version, or name the deployment in model.",
        )


def _credentials(params: object, path: Path) -> Iterator[Conflict]:
    if get(params, "credentials") is not None:
        for other in ("api_key", "azure_ad_token_provider"):
            if get(params, other) is not None:
                found = f"found both {other} and credentials."
                yield Conflict((*path, "credentials"), found, "Keep one of the two.")
    if get(params, "azure_ad_token_provider") is None:
        return
    here: Path = (*path, "azure_ad_token_provider")
    if get(params, "api_key") is not None:
        yield Conflict(
            here, "found both api_key and azure_ad_token_provider.", "Keep one of the two."
        )
    if get(params, "azure_endpoint") is None and get(params, "base_url") is None:
        yield Conflict(
            here,
            "found azure_ad_token_provider without an Azure address: a token for Azure would go to "
            "another vendor.",
            "Add base_url: https://RESOURCE.openai.azure.com/openai/v1/, or azure_endpoint.",
        )


def _fallbacks(config: object) -> Iterator[Conflict]:
    """Yield fallbacks that do not exist, that are the group itself, or that are named twice.

    Two groups may name each other: the fallbacks of a fallback are not used, so there is no loop.
    """
    known, aliases = group_names(config), aliases_of(config)
    for key in ("fallbacks", "context_window_fallbacks", "content_filter_fallbacks"):
        for number, group in enumerate(items(get(config, "model_groups"))):
            name = get(group, "model_group")
            first: dict[str, Path] = {}
            for index, target in enumerate(items(get(group, key))):
                path: Path = ("model_groups", number, key, index)
                if not isinstance(target, str):
                    continue
                wrong = _wrong_fallback(target, name, known, first)
                if wrong is not None and target in aliases:
                    wrong = wrong[0], f"It is an alias: write {aliases[target]!r}."
                if wrong is not None:
                    yield Conflict(path, *wrong, first.get(target), target)
                first.setdefault(target, path)


def _wrong_fallback(
    target: str, name: object, known: set[str], first: dict[str, Path]
) -> tuple[str, str] | None:
    """Return what is wrong with one fallback of the group `name`, and the remedy."""
    if target == name:
        return "found the group's own name.", "Name another group, or remove this one."
    if target in first:
        return "found {value} a second time.", "Keep one."
    if target not in known:
        return (
            "found {value}, but there is no such model group.",
            "Write the name of another model_group in this file.",
        )
    return None

"""Conflicts between the names of model groups and their aliases."""

from __future__ import annotations

from collections.abc import Iterator

from llmproxy.batteries.config_file.raw import Conflict, Path, get, items


def alias_conflicts(config: object) -> Iterator[Conflict]:
    """Yield aliases that are names of groups, that stand twice, and those of wildcards."""
    first: dict[str, Path] = {}
    for number, entry in enumerate(items(get(config, "model_groups"))):
        name = get(entry, "model_group")
        if isinstance(name, str):
            first.setdefault(name, ("model_groups", number, "model_group"))
    for path, alias, group in _aliases(config):
        if "*" in group:
            yield Conflict(
                path,
                "found an alias of a wildcard, which would not say what the star stands for.",
                "Give the alias to a group without a star, or make a group of that name.",
            )
        elif alias in first:
            yield Conflict(
                path,
                "found {value}, which is a name already.",
                "Rename one: a name leads to one group.",
                first[alias],
                alias,
            )
        first.setdefault(alias, path)


def aliases_of(config: object) -> dict[str, str]:
    """Return the aliases of a config, and the group of each."""
    return {alias: group for _, alias, group in _aliases(config)}


def _aliases(config: object) -> Iterator[tuple[Path, str, str]]:
    """Yield the place of each alias, the alias, and its group's name."""
    for number, group in enumerate(items(get(config, "model_groups"))):
        name = get(group, "model_group")
        for key in ("aliases", "hidden_aliases"):
            for index, alias in enumerate(items(get(group, key))):
                if isinstance(alias, str) and isinstance(name, str):
                    yield ("model_groups", number, key, index), alias, name

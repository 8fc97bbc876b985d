"""Conflicts between the names of model groups and their aliases."""

from __future__ import annotations

from collections.abc import Iterator

from llmproxy.batteries.config_file.raw import Conflict, Path, get, items, text_of


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


def caller_alias_conflicts(config: object, caller: object, path: Path) -> Iterator[Conflict]:
    """Yield the own names of a caller that are names already, or lead to no group of the caller."""
    groups = {
        name: group
        for group in items(get(config, "model_groups"))
        if isinstance(name := get(group, "model_group"), str)
    }
    allowed, own = get(caller, "groups"), get(caller, "aliases")
    for alias, name in own.items() if isinstance(own, dict) else ():
        here: Path = (*path, "aliases", alias)
        group = groups.get(name) if isinstance(name, str) else None
        if alias in groups or alias in aliases_of(config):
            yield Conflict(here, "found a name that a group has already.", "Write another one.")
        elif isinstance(name, str) and (group is None or "*" in name):
            yield Conflict(
                here,
                "found {value}, but there is no model group of that name.",
                "Write the model_group of one in this file, without a star.",
                value=name,
            )
        elif isinstance(allowed, list) and name not in allowed:
            found = "found {value}, which is not among the groups of this caller."
            yield Conflict(here, found, "Add it to groups.", value=text_of(name))
        elif group and not all(get(entry, "model") for entry in items(get(group, "models"))):
            yield Conflict(
                here,
                "found {value}, a group with an endpoint that has no model: it would be asked for "
                "the alias.",
                "Name the model of each endpoint of the group.",
                value=text_of(name),
            )


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

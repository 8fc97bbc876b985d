"""The neutral description of a gateway, which every reader makes and one writer writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

Values = dict[str, Any]  # by our names, in the order in which they are written


@dataclass(slots=True)
class ImportedEndpoint:
    """One place that answers. `extra`: its keys beside model, name, weight, tier and params.
    `origin`: the number of its entry in the source's list of models, for `--check`."""

    model: str | None
    name: str = ""
    weight: float | None = None
    tier: int = 0
    params: Values = field(default_factory=dict)
    extra: Values = field(default_factory=dict)
    comment: str = ""
    origin: int = -1


@dataclass(slots=True)
class ImportedGroup:
    """A model name of clients, and the endpoints that serve it. `extra`: its further keys."""

    name: str
    endpoints: list[ImportedEndpoint] = field(default_factory=list)
    extra: Values = field(default_factory=dict)
    comment: str = ""


@dataclass(slots=True)
class Gateway:
    """All groups by name, and the general settings with a comment for some of them."""

    groups: dict[str, ImportedGroup] = field(default_factory=dict)
    settings: Values = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)

    def set(self, key: str, value: Any, comment: str = "") -> None:
        """Set a general setting."""
        self.settings[key] = value
        if comment:
            self.comments[key] = comment

    def group(self, name: str) -> ImportedGroup:
        """Return the group of a name; a new one if there is none."""
        return self.groups.setdefault(name, ImportedGroup(name))

    def serving(self, model: str) -> ImportedGroup | None:
        """Return the group that serves a model name: its own, by an alias, or a wildcard."""
        if model in self.groups:
            return self.groups[model]
        for group in self.groups.values():
            if any(model in group.extra.get(key, ()) for key in ("aliases", "hidden_aliases")):
                return group
        fitting = [name for name in self.groups if "*" in name and fnmatchcase(model, name)]
        return self.groups[max(fitting, key=len)] if fitting else None

    def concrete(self, model: str) -> ImportedGroup | None:
        """Return the group of a model name that may be named elsewhere: one without a star.

        What a wildcard serves gets a group of its own, with the star filled in.
        """
        group = self.serving(model)
        if group is None or "*" not in group.name:
            return group
        before, _, after = group.name.partition("*")
        star = model[len(before) : len(model) - len(after)]
        endpoints = [
            replace(
                endpoint,
                model=model if endpoint.model is None else endpoint.model.replace("*", star),
            )
            for endpoint in group.endpoints
        ]
        own = ImportedGroup(model, endpoints, dict(group.extra), f"Served by {group.name} before.")
        self.groups[model] = own
        return own

    def endpoints(self) -> Iterator[ImportedEndpoint]:
        """Yield all endpoints."""
        for group in self.groups.values():
            yield from group.endpoints

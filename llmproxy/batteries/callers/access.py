"""The groups that a caller may use, where patterns say which."""

from __future__ import annotations

from fnmatch import fnmatchcase

from llmproxy.routing import Group, Pool

Patterns = tuple[str, ...]  # as in a shell: `gpt-4.1*`; those of names, not of paths
MAX_NAMES = 1_000  # clients choose them


class PatternPool(Pool):
    """The groups of a pool whose names, or the names asked for, match one pattern of each list.

    So `gpt-4.1*` allows a group `gpt-4.1-mini`, an alias `gpt-4.1-latest` of any group, and the
    model `gpt-4.1` of a group `*`. No list forbids everything; an empty list does.
    """

    def __init__(self, pool: Pool, lists: tuple[Patterns, ...]) -> None:
        self._lists = lists
        self._all = pool
        self._found: dict[str, Group | None] = {}
        # A wildcard's endpoints may be asked for what it serves of the names allowed.
        reachable = {
            name: group
            for name, group in pool.groups.items()
            if "*" in name or self._allows(name) or name in self._behind_aliases()
        }
        super().__init__(reachable)

    @property
    def names(self) -> list[str]:
        """Return the names to list."""
        return [name for name in self._all.names if self._group(name) is not None]

    def group_named(self, model: str | None) -> Group | None:
        """Return the group that serves a model's name; None if there is none for this caller."""
        if model is None:
            group = self._all.group_named(None)
            return group if group is not None and self._allows(group.name) else None
        if model not in self._found:
            if len(self._found) >= MAX_NAMES:
                self._found.clear()
            self._found[model] = self._group(model)
        return self._found[model]

    def _group(self, name: str) -> Group | None:
        group = self._all.group_named(name)
        if group is None or not all(
            self._matches(patterns, name, group) for patterns in self._lists
        ):
            return None
        return group

    def _matches(self, patterns: Patterns, name: str, group: Group) -> bool:
        return _matches_one(patterns, name) or _matches_one(patterns, group.name)

    def _allows(self, name: str) -> bool:
        return all(_matches_one(patterns, name) for patterns in self._lists)

    def _behind_aliases(self) -> set[str]:
        """Return the names of the groups behind the aliases that are allowed."""
        groups = (self._all.group_named(name) for name in self._all.names if self._allows(name))
        return {group.name for group in groups if group is not None}


def _matches_one(patterns: Patterns, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)

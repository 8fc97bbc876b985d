"""All model groups by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from llmproxy.calls import Call
from llmproxy.errors import ClientError
from llmproxy.routing.group import Group
from llmproxy.rules.capacity import Capacity
from llmproxy.rules.names import longest_first, wildcard_of


class Pool:
    """All groups by name; wildcards (`openai/*`, `*`) serve the names that no other group has.

    `aliases`: further names, and the names of their groups. `unlisted`: aliases that lists of
    models leave out. `hidden`: groups that do not exist here; no wildcard serves their names.
    """

    def __init__(
        self,
        groups: dict[str, Group],
        aliases: Mapping[str, str] | None = None,
        *,
        unlisted: frozenset[str] = frozenset(),
        hidden: frozenset[str] = frozenset(),
    ) -> None:
        self.groups = groups
        self._aliases = aliases or {}
        self._unlisted = unlisted
        self._hidden = hidden
        self._wildcards = longest_first([*groups, *hidden])
        named = {name: groups.get(group) for name, group in self._aliases.items()}
        self._by_name = groups | {name: group for name, group in named.items() if group}

    def limited_to(self, names: Collection[str], own: Mapping[str, str] | None = None) -> Pool:
        """Return a pool with some of the groups, and with aliases of its own."""
        hidden = frozenset(name for name in self.groups if name not in names)
        shown = {name: group for name, group in self.groups.items() if name in names}
        return Pool(shown, {**self._aliases, **(own or {})}, unlisted=self._unlisted, hidden=hidden)

    @property
    def names(self) -> list[str]:
        """Return the names to list: of all groups, and the aliases that are not hidden."""
        return [name for name in self._by_name if name not in self._unlisted]

    def group_named(self, model: str | None) -> Group | None:
        """Return the group that serves a model's name; None if there is none."""
        group = self._by_name.get(model) if model is not None else None
        if group is None and model not in self._hidden and model not in self._aliases:
            return self.groups.get(wildcard_of(model or "", self._wildcards))
        return group

    def group_for(self, call: Call) -> Group:
        """Return the group that a call is for. Raises ClientError if no group serves its model."""
        group = self.group_named(call.model) or self._without_wildcard(call)
        if call.bound_to_account and len(group.states) > 1:
            raise _cannot_tell(call, f"the group '{group.name}' has {len(group.states)} endpoints")
        return group

    def unknown(self, model: str) -> ClientError:
        """Return the error for a model that no group serves."""
        message = f"The model '{model}' does not exist here. This proxy serves: "
        message += ", ".join(self.names) + "."
        return ClientError(message, status=404, code="model_not_found", param="model")

    def capacities(self) -> Iterable[Capacity]:
        """Return the capacity of every account, each once."""
        states = (state for group in self.groups.values() for state in group.states)
        return {state.capacity.key: state.capacity for state in states}.values()

    def _without_wildcard(self, call: Call) -> Group:
        names = ", ".join(self.names)
        if call.model is not None:
            raise self.unknown(call.model)
        if call.bound_to_account or call.method in ("GET", "HEAD", "DELETE"):
            if len(self.groups) == 1:
                return next(iter(self.groups.values()))
            raise _cannot_tell(call, f"of the groups {names} none is called '*'")
        raise ClientError(
            f"You must provide a model parameter. This proxy serves: {names}.", param="model"
        )


def _cannot_tell(call: Call, why: str) -> ClientError:
    message = (
        f"{call.method} /{call.route.path} is about what one account keeps, and {why}: without "
        "`llmproxy.batteries.owners`, the proxy cannot tell which account is meant."
    )
    return ClientError(message, status=501, code="account_bound_path")

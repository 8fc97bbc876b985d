"""Checks of what an endpoint's entry changes in the parameters of calls."""

from __future__ import annotations

from collections.abc import Iterator

from llmproxy.batteries.config_file.raw import Conflict, Path, get, items

_SET_ELSEWHERE = {
    "model": "Write the endpoint's name for the model as `model` of its entry.",
    "stream": "Remove it: the client decides it, and reads its answer accordingly.",
}
_OUTPUT_BOUNDS = ("max_completion_tokens", "max_output_tokens", "max_tokens")


def parameter_conflicts(config: object) -> Iterator[Conflict]:
    """Yield names that cannot be changed, and what contradicts each other."""
    for number, group in enumerate(items(get(config, "model_groups"))):
        for index, entry in enumerate(items(get(group, "models"))):
            path: Path = ("model_groups", number, "models", index)
            first: dict[str, Path] = {}
            for name, here, counts in _named(entry, path):
                if name in _SET_ELSEWHERE:
                    found = f"found {name}, which is no parameter to change."
                    yield Conflict(here, found, _SET_ELSEWHERE[name])
                if counts and name in first:
                    found = "found {value} in two of drop, overrides and defaults."
                    yield Conflict(here, found, "Keep one.", first[name], name)
                if counts:
                    first.setdefault(name, here)
            yield from _values(entry, path)


def _named(entry: object, path: Path) -> Iterator[tuple[str, Path, bool]]:
    """Yield the names of parameters in an entry, and whether one may be there only once."""
    for index, name in enumerate(items(get(entry, "drop"))):
        if isinstance(name, str):
            yield name, (*path, "drop", index), True
    for key in ("overrides", "defaults", "rename"):
        values = get(entry, key)
        for old, new in values.items() if isinstance(values, dict) else ():
            here = (*path, key, old)
            if isinstance(old, str):
                yield old, here, key != "rename"
            if key == "rename" and isinstance(new, str):
                yield new, here, False


def _values(entry: object, path: Path) -> Iterator[Conflict]:
    """Yield values above the endpoint's own output bound."""
    bound = get(entry, "max_output_tokens")
    for key in ("overrides", "defaults"):
        values = get(entry, key)
        for name, value in values.items() if isinstance(values, dict) else ():
            if name in _OUTPUT_BOUNDS and _is_above(value, bound):
                found = f"found {name} above max_output_tokens of the same endpoint."
                yield Conflict((*path, key, name), found, "Lower it, or raise max_output_tokens.")


def _is_above(value: object, bound: object) -> bool:
    return isinstance(bound, int) and isinstance(value, int | float) and value > bound

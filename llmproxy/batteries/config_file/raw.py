"""Reads the values of a config that is not validated yet, and describes conflicts in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two values, or a value and a gap, that exclude each other.

    `path`: where the conflict is; `other`: where the first of two equal values is. The code that
    shows the conflict replaces `{value}` in `found` with as much of `value` as may be shown.
    """

    path: Path
    found: str
    remedy: str
    other: Path | None = None
    value: str | None = None


def get(value: object, key: str) -> object:
    """Return `value[key]` of a mapping; None if there is none."""
    return value.get(key) if isinstance(value, dict) else None


def items(value: object) -> Sequence[object]:
    """Return a list as it is, and an empty tuple for anything else."""
    return value if isinstance(value, list) else ()


def text_of(value: object) -> str | None:
    """Return a string; None for anything else."""
    return value if isinstance(value, str) else None


def group_names(config: object) -> set[str]:
    """Return the names of the model groups of a config."""
    names = (get(group, "model_group") for group in items(get(config, "model_groups")))
    return {name for name in names if isinstance(name, str)}


def used_twice(
    entries: object, path: Path, key: str, found: str, remedy: str
) -> Iterator[Conflict]:
    """Yield the entries of a list whose name under `key` an earlier one has."""
    first: dict[str, Path] = {}
    for index, entry in enumerate(items(entries)):
        here: Path = (*path, index, key)
        name = get(entry, key)
        if not isinstance(name, str):
            continue
        if name in first:
            yield Conflict(here, found, remedy, first[name], name)
        first.setdefault(name, here)

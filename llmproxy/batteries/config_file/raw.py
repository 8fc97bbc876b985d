"""Reads the values of a config that is not validated yet, and describes conflicts in them."""

from __future__ import annotations

from collections.abc import Sequence
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

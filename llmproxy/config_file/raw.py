"""Reads raw config values, which may be a mapping, a model or junk, and names conflicts in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, SecretStr

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two values, or a value and a gap, that exclude each other.

    `path`: where to look; `other`: where the first of two equal values is. A `{value}` in
    `found` is replaced, by the code that shows it, with as much of `value` as may be shown.
    """

    path: Path
    found: str
    remedy: str
    other: Path | None = None
    value: str | None = None


def get(value: object, key: str) -> object:
    """Return `value[key]` of a mapping or `value.key` of a model; None if there is neither."""
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, BaseModel) and key in type(value).model_fields:
        found: object = getattr(value, key)
        return found
    return None


def items(value: object) -> Sequence[object]:
    """Return a list or tuple as it is, and an empty tuple for anything else."""
    return value if isinstance(value, list | tuple) else ()


def plain(value: object) -> str | None:
    """Return a string, secret or not; None for anything else."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value if isinstance(value, str) else None


def group_names(config: object) -> set[str]:
    """Return the names of the model groups of a config, parsed or raw."""
    names = (get(group, "model_group") for group in items(get(config, "model_groups")))
    return {name for name in names if isinstance(name, str)}

"""Reading a key from something that may be a mapping, a model or junk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, SecretStr


def get(value: object, key: str) -> object:
    """`value[key]` of a mapping or `value.key` of a model; None if there is no such thing."""
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, BaseModel) and key in type(value).model_fields:
        found: object = getattr(value, key)
        return found
    return None


def items(value: object) -> Sequence[object]:
    """A list or tuple as it is; nothing of anything else."""
    return value if isinstance(value, list | tuple) else ()


def plain(value: object) -> str | None:
    """A text, secret or not; None of anything else."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value if isinstance(value, str) else None


def group_names(config: object) -> set[str]:
    """What the model groups of a config, parsed or raw, are called."""
    names = (get(group, "model_group") for group in items(get(config, "model_groups")))
    return {name for name in names if isinstance(name, str)}

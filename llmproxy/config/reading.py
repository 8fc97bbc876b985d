"""Reading a key from something that may be a mapping, a model or junk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel


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

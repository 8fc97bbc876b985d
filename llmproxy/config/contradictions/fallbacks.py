"""Fallbacks that lead nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmproxy.config.contradictions.base import Contradiction, Path
from llmproxy.config.reading import get, group_names, items

if TYPE_CHECKING:
    from collections.abc import Iterator


def of_fallbacks(config: object) -> Iterator[Contradiction]:
    """Groups that do not exist, the group itself, and a group twice.

    Two groups may name each other: a fallback's own fallbacks are not followed, so no call goes
    round in a circle.
    """
    known = group_names(config)
    for key in ("fallbacks", "context_window_fallbacks"):
        for number, group in enumerate(items(get(config, "model_groups"))):
            name = get(group, "model_group")
            first: dict[str, Path] = {}
            for index, target in enumerate(items(get(group, key))):
                path: Path = ("model_groups", number, key, index)
                if not isinstance(target, str):
                    continue
                wrong = _wrong(target, name, known, first)
                if wrong is not None:
                    yield Contradiction(path, *wrong, first.get(target), target)
                first.setdefault(target, path)


def _wrong(
    target: str, name: object, known: set[str], first: dict[str, Path]
) -> tuple[str, str] | None:
    """What is wrong with one fallback of the group `name`, and what to do."""
    if target == name:
        return "found the group itself.", "Name another group, or remove it."
    if target in first:
        return "found {value} a second time.", "Keep one."
    if target not in known:
        return (
            "found {value}, but there is no such model group.",
            "Write the model_group of another one in this file.",
        )
    return None

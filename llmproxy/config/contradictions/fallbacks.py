"""Fallbacks that lead nowhere, or round in a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmproxy.config.contradictions.base import Contradiction, Path
from llmproxy.config.reading import get, group_names, items

if TYPE_CHECKING:
    from collections.abc import Iterator


def of_fallbacks(config: object) -> Iterator[Contradiction]:
    """Groups that do not exist, the group itself, a group twice, and circles."""
    known = group_names(config)
    for key in ("fallbacks", "context_window_fallbacks"):
        ways: dict[str, list[tuple[Path, str]]] = {}
        for number, group in enumerate(items(get(config, "model_groups"))):
            name = get(group, "model_group")
            right = ways.setdefault(name, []) if isinstance(name, str) else []
            first: dict[str, Path] = {}
            for index, target in enumerate(items(get(group, key))):
                path: Path = ("model_groups", number, key, index)
                if not isinstance(target, str):
                    continue
                wrong = _wrong(target, name, known, first)
                if wrong is None:
                    right.append((path, target))
                else:
                    yield Contradiction(path, *wrong, first.get(target), target)
                first.setdefault(target, path)
        yield from _circles(ways)


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


def _circles(ways: dict[str, list[tuple[Path, str]]]) -> Iterator[Contradiction]:
    """Each fallback that leads back to where its way began.

    `ways`: of each group, where its fallbacks stand and whom they name.
    """
    done: set[str] = set()
    for start, steps in ways.items():
        if start in done:
            continue
        walk = {start: iter(steps)}  # the groups on the way here, in their order
        while walk:
            name = next(reversed(walk))
            path, target = next(walk[name], (None, ""))
            if path is None:
                done.add(name)
                del walk[name]
            elif target in walk:
                yield Contradiction(
                    path,
                    "found {value}, whose own fallbacks lead back to this group.",
                    "Remove one of them: groups that are out would push their calls round.",
                    value=target,
                )
            elif target not in done:
                walk[target] = iter(ways[target])

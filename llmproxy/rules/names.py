"""Wildcards: names of model groups with a star, such as `openai/*`, `*-mini` and `*`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

WILDCARD = "*"  # serves what nothing else serves, and calls without a model


def caught(wildcard: str, name: str) -> str | None:
    """Return what the star stands for in a name; None if the name does not match."""
    before, _, after = wildcard.partition("*")
    if len(name) < len(wildcard) or not (name.startswith(before) and name.endswith(after)):
        return None
    return name[len(before) : len(name) - len(after)]


def longest_first(names: Iterable[str]) -> tuple[str, ...]:
    """Return the wildcards among names, those with more characters first; of equally long ones,
    those with more before the star. Two that match one name never tie in both."""
    wildcards = [name for name in names if "*" in name and name != WILDCARD]
    return tuple(sorted(wildcards, key=lambda name: (-len(name), -name.index("*"))))


def wildcard_of(name: str, wildcards: Sequence[str]) -> str:
    """Return the first wildcard that matches a name; if none does, `*`."""
    return next((known for known in wildcards if caught(known, name) is not None), WILDCARD)

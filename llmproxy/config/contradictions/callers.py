"""Callers that cannot be told apart, or may use what does not exist."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from pydantic import BaseModel

from llmproxy.config.contradictions.base import Contradiction, Path
from llmproxy.config.reading import get, group_names, items, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLERS: Path = ("general_settings", "callers")


def of_callers(config: object) -> Iterator[Contradiction]:
    """Equal names and keys, two keys or none, and groups that do not exist."""
    known = group_names(config)
    names: dict[str, Path] = {}
    keys: dict[str, Path] = {}
    for index, caller in enumerate(items(get(get(config, "general_settings"), "callers"))):
        if not isinstance(caller, dict | BaseModel):
            continue
        path: Path = (*CALLERS, index)
        yield from _equal_name(caller, path, names)
        yield from _key(caller, path, keys)
        yield from _groups(caller, path, known)


def _equal_name(caller: object, path: Path, first: dict[str, Path]) -> Iterator[Contradiction]:
    name = get(caller, "name")
    if not isinstance(name, str):
        return
    here: Path = (*path, "name")
    if name in first:
        yield Contradiction(
            here,
            "found a second caller named {value}.",
            "Rename one: logs and metrics could not tell them apart.",
            first[name],
            name,
        )
    first.setdefault(name, here)


def _key(caller: object, path: Path, first: dict[str, Path]) -> Iterator[Contradiction]:
    given = [key for key in ("key", "key_sha256") if get(caller, key) is not None]
    if not given:
        yield Contradiction(
            path, "found a caller without a key.", "Add key: os.environ/NAME, or key_sha256."
        )
        return
    here: Path = (*path, given[-1])
    if len(given) > 1:
        yield Contradiction(here, "found both key and key_sha256.", "Keep one of the two.")
        return
    digest = _digest(caller)
    if digest is not None and digest in first:
        yield Contradiction(
            here,
            "found the key of another caller.",
            "Give each caller a key of its own: it tells them apart.",
            first[digest],
        )
    if digest is not None:
        first.setdefault(digest, here)


def _digest(caller: object) -> str | None:
    """The SHA-256 of a caller's key, if that can be said of what was written."""
    if key := plain(get(caller, "key")):
        return sha256(key.encode(errors="surrogatepass")).hexdigest()
    written = get(caller, "key_sha256")
    return written.lower() if isinstance(written, str) else None


def _groups(caller: object, path: Path, known: set[str]) -> Iterator[Contradiction]:
    for index, name in enumerate(items(get(caller, "groups"))):
        if isinstance(name, str) and name not in known:
            yield Contradiction(
                (*path, "groups", index),
                "found {value}, but there is no such model group.",
                "Write the model_group of one in this file; without groups a caller may use all.",
                value=name,
            )

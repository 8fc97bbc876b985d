"""Rows of keys and teams: how they are read, and what a call needs of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llmproxy.batteries.callers import TeamRules
from llmproxy.batteries.keys.key import Key

PAGE = 2_000
NAME = "keys"  # of the row in `versions` that counts the changes of keys and teams

_FOR_CALLS = (
    "SELECT id, name, team, tags, models, rpm, tpm, concurrent, blocked, expires_at, digest, "
    "second_digest, second_until, version, deleted_at FROM keys"
)
# Values: the digest of the last one that is known. The next keys in the order of their digests.
PAGE_OF_ALL = f"{_FOR_CALLS} WHERE digest > ? AND deleted_at IS NULL ORDER BY digest LIMIT {PAGE}"
# Values: the version of the last one that is known. The next keys in the order of their changes.
PAGE_OF_CHANGES = f"{_FOR_CALLS} WHERE version > ? ORDER BY version LIMIT {PAGE}"
# What calls need of teams.
ALL_TEAMS = "SELECT name, models, rpm, tpm, concurrent, blocked FROM teams"


def team_of(row: Any) -> TeamRules:
    """Return a team as its calls see it."""
    models = decoded(row.models)
    return TeamRules(
        row.name,
        None if models is None else tuple(models),
        *(row.rpm, row.tpm, row.concurrent, bool(row.blocked)),
    )


def changes_of(rows: Iterable[Any]) -> Iterator[tuple[bytes, Key | None]]:
    """Yield each digest of the rows with its key; None for what is not valid any more.

    A digest that was replaced stands in its row until another one replaces it.
    """
    for row in rows:
        is_there = row.deleted_at is None
        yield bytes.fromhex(row.digest), _key(row, row.expires_at, False) if is_there else None
        if row.second_digest:
            ends = [at for at in (row.second_until, row.expires_at) if at is not None]
            replaced = _key(row, min(ends, default=None), True) if is_there else None
            yield bytes.fromhex(row.second_digest), replaced


def _key(row: Any, expires_at: float | None, replaced: bool) -> Key:
    models = decoded(row.models)
    return Key(
        name=row.name,
        team=row.team,
        key=row.id,
        tags=tuple(decoded(row.tags) or ()),
        models=None if models is None else tuple(models),
        rpm=row.rpm,
        tpm=row.tpm,
        concurrent=row.concurrent,
        blocked=bool(row.blocked),
        expires_at=expires_at,
        replaced=replaced,
    )


def decoded(column: Any) -> Any:
    """Return the value of a JSON column, which may arrive as text."""
    return json.loads(column) if isinstance(column, str) else column


def encoded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns with lists as the JSON text that is stored."""
    return {
        name: json.dumps(value) if isinstance(value, list) else value
        for name, value in fields.items()
    }

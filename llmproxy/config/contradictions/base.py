"""What a contradiction is."""

from __future__ import annotations

from dataclasses import dataclass

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two values, or a value and a gap, that cannot both stand. `path` is where to look,
    `other` where the first of two equal ones stands. Where `found` says {value}, whoever shows it
    puts in as much as may be shown."""

    path: Path
    found: str
    remedy: str
    other: Path | None = None
    value: str | None = None

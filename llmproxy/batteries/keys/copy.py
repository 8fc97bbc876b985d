"""The last known keys in a file, for a start while the database is away.

Digests only: the file does not hold a key. One line of JSON says what it is; then the parts of the
table follow as they stand in memory, so that a million keys are read in a second.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from llmproxy.batteries.callers import TeamRules
from llmproxy.batteries.keys.table import TablePart

FORMAT = 1
LENGTHS = struct.Struct("<III")


class CopyHead(msgspec.Struct, frozen=True):
    """The first line. `database`: of which they are the keys. `version`: what they include.
    `parts`: how many follow. `earlier`: digests of keys that were replaced last, by id."""

    format: int = FORMAT
    database: str = ""
    version: int = 0
    parts: int = 0
    teams: tuple[TeamRules, ...] = ()
    earlier: dict[str, str] = {}


def write_copy(path: Path, head: CopyHead, parts: Sequence[TablePart]) -> None:
    """Replace the file at once, readable by its owner only. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(msgspec.json.encode(head) + b"\n")
            for part in parts:
                buffers = part.digests, part.ends, part.packed
                file.write(LENGTHS.pack(*map(len, buffers)))
                file.writelines(buffers)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise


def read_copy(path: Path, database: str) -> tuple[CopyHead, Sequence[TablePart]] | None:
    """Return what the file holds; None if there is none for this database that can be read."""
    try:
        with path.open("rb") as file:
            head = msgspec.json.decode(file.readline(), type=CopyHead)
            if head.format != FORMAT or head.database != database:
                return None
            parts = []
            while lengths := file.read(LENGTHS.size):
                sizes = LENGTHS.unpack(lengths)
                parts.append(TablePart(*map(file.read, sizes)))
                if sizes != (len(parts[-1].digests), len(parts[-1].ends), len(parts[-1].packed)):
                    return None  # cut off
            if len(parts) != head.parts:
                return None
    except (OSError, ValueError, struct.error, msgspec.MsgspecError):
        return None
    return head, parts

"""A recorded stream, read without being taken apart.

It is read on the event loop, so bytes are searched and few events decoded. A key can be searched
for as it is: inside of a JSON string its quotation marks would be escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

DONE = b"[DONE]"
_LAST_LINES = 8  # of a stream, among which its last two data lines are


class _Chunk(msgspec.Struct, gc=False):
    choices: list[Any] | None = None
    usage: Any = None
    error: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def without_usage(events: bytes, operation: str) -> bytes:
    """A recorded chat without its usage chunk, as for a client that did not ask for it.

    Everything else stays as it is. Of a vendor that tells its usage beside a choice, that stays,
    too.
    """
    at = -1 if operation == "responses" else events.rfind(b'"usage"')
    if at < 0:
        return events
    start = events.rfind(b"\n", 0, at) + 1
    end = events.find(b"\n", at)
    chunk = chunk_in(events[start:end])
    if chunk is None or chunk.choices != [] or chunk.usage is None:
        return events
    rest = events[end + 1 :]
    blank = len(rest) - len(rest.lstrip(b"\r\n"))  # the end of the event
    return events[:start] + rest[blank:]


def chunk_in(line: bytes) -> _Chunk | None:
    """The chunk that a line of data holds; None if it is no such line."""
    try:
        return _CHUNK.decode(line.strip()[5:]) if line.startswith(b"data:") else None
    except UNREADABLE:
        return None


def data_of(events: bytes) -> Iterator[bytes]:
    """The data of each event. Raises ValueError where an event is not one line of data, as all
    vendors send it."""
    for line in events.splitlines():
        if line.startswith(b"data:"):
            yield line[5:].strip()
        elif line and not line.startswith((b":", b"event:", b"id:", b"retry:")):
            raise ValueError("a line that is no field of an event")


def last_data(events: bytes, count: int) -> list[bytes]:
    """The data of the last events, from the last one on."""
    lines = events.rstrip(b"\r\n").rsplit(b"\n", _LAST_LINES)[-_LAST_LINES:]
    told = [line[5:].strip() for line in reversed(lines) if line.startswith(b"data:")]
    return told[:count]

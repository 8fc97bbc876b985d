"""A recorded stream, read without being taken apart: is it whole, and where does it tell its usage.

Both run on the event loop, so they search the bytes and decode one event at most. A key can be
searched for as it is: inside of a JSON string its quotation marks would be escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

DONE = b"[DONE]"
# Why a choice ended well. `content_filter` and others may go differently the next time.
WHOLE = frozenset((b"stop", b"length", b"tool_calls", b"function_call"))
_FINISHES = re.compile(rb'"finish_reason"\s*:\s*"(\w+)"')
_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\{\s*"index"\s*:\s*(\d+)')
MAX_ERRORS = 16  # keys of that name that are looked at
_LAST_LINES = 8  # of a stream, among which its last two data lines are


class _Response(msgspec.Struct, gc=False):
    status: str | None = None
    error: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str | None = None
    response: _Response | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[Any] | None = None
    usage: Any = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_CHUNK = msgspec.json.Decoder(_Chunk)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def stream_is_whole(events: bytes, operation: str) -> bool:
    """Whether a recorded stream may be given again: it said its end and no error, and everything in
    it ended by itself."""
    if operation == "responses":
        return completed(events) is not None
    if _last_data(events, 1) != [DONE] or _tells_error(events):
        return False
    finishes = _FINISHES.findall(events)
    choices = set(_CHOICES.findall(events))
    return bool(finishes) and WHOLE.issuperset(finishes) and len(finishes) >= len(choices)


def completed(events: bytes) -> bytes | None:
    """The data of the event that ends a response well; None if that is not the stream's end."""
    for data in _last_data(events, 2):
        if data == DONE:  # some compatible vendors add it
            continue
        try:
            event = _EVENT.decode(data)
        except _UNREADABLE:
            return None
        response = event.response
        well = event.type == "response.completed" and response is not None
        if well and response.status == "completed" and response.error is None:  # type: ignore[union-attr]
            return data
        return None
    return None


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
    chunk = _chunk_in(events[start:end])
    if chunk is None or chunk.choices != [] or chunk.usage is None:
        return events
    rest = events[end + 1 :]
    blank = len(rest) - len(rest.lstrip(b"\r\n"))  # the end of the event
    return events[:start] + rest[blank:]


def _tells_error(events: bytes) -> bool:
    """Whether an event says that the stream failed: by its name, or by an error of its own."""
    if events.startswith(b"event: error") or b"\nevent: error" in events:
        return True
    at = -1
    for _ in range(MAX_ERRORS):
        at = events.find(b'"error"', at + 1)
        if at < 0:
            return False
        start, end = events.rfind(b"\n", 0, at) + 1, events.find(b"\n", at)
        chunk = _chunk_in(events[start:end])
        if chunk is None or chunk.error:
            return True
    return True


def _chunk_in(line: bytes) -> _Chunk | None:
    try:
        return _CHUNK.decode(line.strip()[5:]) if line.startswith(b"data:") else None
    except _UNREADABLE:
        return None


def data_of(events: bytes) -> Iterator[bytes]:
    """The data of each event. Raises ValueError where an event is not one line of data, as all
    vendors send it."""
    for line in events.splitlines():
        if line.startswith(b"data:"):
            yield line[5:].strip()
        elif line and not line.startswith((b":", b"event:", b"id:", b"retry:")):
            raise ValueError("a line that is no field of an event")


def _last_data(events: bytes, count: int) -> list[bytes]:
    """The data of the last events, from the last one on."""
    lines = events.rstrip(b"\r\n").rsplit(b"\n", _LAST_LINES)[-_LAST_LINES:]
    told = [line[5:].strip() for line in reversed(lines) if line.startswith(b"data:")]
    return told[:count]

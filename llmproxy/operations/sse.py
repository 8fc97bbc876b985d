"""Server-sent events as bytes: where one ends, what it holds, and how one is written.

Bytes are framed without being decoded. Source: WHATWG HTML, section 9.2.6, "Interpreting an event
stream".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LINE_END = rb"(?:\r\n?+|\n)"
EVENT_END = re.compile(_LINE_END + _LINE_END + rb"++")
_BOM = b"\xef\xbb\xbf"


# ---- framing


def complete_length(buffer: bytes) -> int:
    """Return the number of bytes up to the end of the last complete event.

    `buffer` begins with an event. An event ends with an empty line; lines end with LF, CRLF or CR,
    mixed. Blank lines after an event belong to it, blank lines at the start are an event of their
    own. A CR at the very end counts as a line end, because waiting would hold back a vendor's last
    event; if its LF still comes, it is one more blank line.
    """
    if buffer.endswith((b"\n\n", b"\r\n\r\n")):
        return len(buffer)
    end = buffer.rfind(b"\n\n") + 2
    if b"\r" in buffer:
        end = max(end, buffer.rfind(b"\n\r") + 2, buffer.rfind(b"\r\r") + 2)
    if end == 1:  # nothing found
        end = 0
        if buffer[:1] not in (b"\n", b"\r"):
            return 0
    while buffer[end : end + 1] in (b"\n", b"\r"):
        end += 1
    return end


def split_events(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Return the complete events with their terminators, and the rest. Nothing is dropped."""
    start = len(buffer) - len(buffer.lstrip(b"\r\n"))  # blank lines at the start
    events = [buffer[:start]] if start else []
    for terminator in EVENT_END.finditer(buffer, start):
        events.append(buffer[start : terminator.end()])
        start = terminator.end()
    return events, buffer[start:]


def last_events(tail: bytes, count: int) -> Iterator[bytes]:
    """Yield up to `count` events from the last one backwards.

    The first event of the tail may lack its beginning, the last one its terminator.
    """
    for _ in range(count):
        tail = tail.rstrip(b"\r\n")
        if not tail:
            return
        start = complete_length(tail)
        yield tail[start:]
        tail = tail[:start]


# ---- one event


def fields(event: bytes) -> tuple[bytes, bytes]:
    """Return the event's name and its data.

    A line that is not a field counts as data: some vendors answer with a bare JSON error, and
    nothing unknown may look empty.
    """
    name = b""
    data = []
    for line in event.removeprefix(_BOM).splitlines():
        if line.startswith(b"data:"):
            data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            name = line[6:].strip()
        elif line and not line.startswith((b":", b"id", b"retry")):
            data.append(line)
    return name, b"\n".join(data)


def is_comment(event: bytes) -> bool:
    """Whether an event holds nothing but comments and blank lines."""
    return all(not line or line.startswith(b":") for line in event.splitlines())


def event_of(name: str | None, payload: Mapping[str, object]) -> bytes:
    """Write one event with a JSON payload."""
    line = b"" if name is None else b"event: " + name.encode() + b"\n"
    text = msgspec.json.encode(payload)
    text = text.replace(b"\r", b" ").replace(b"\n", b" ")  # a vendor's, between JSON tokens
    return line + b"data: " + text + b"\n\n"

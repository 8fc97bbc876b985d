"""The shape of a message: its first line, its headers' names, and how its body is framed.

An SDK sends the same names with each call, and a vendor with each answer; only values differ. Such
a head is compared line by line in a few calls of the interpreter's own functions: that costs a
tenth of a parser's steps through each line. A shape fits less than the parser accepts, never more:
the first line and what frames the message are as they were when the parser accepted them, and the
values have no control characters (RFC 9110, section 5.5).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from llmproxy.streams import Headers

MAX_HEAD_BYTES = 8_192
VERSION = b"HTTP/1.1"
END_OF_HEAD = b"\r\n\r\n"
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[^\x00-\x08\x0a-\x1f\x7f]*")
# What no value may hold: control characters but the tab.
_CONTROL = bytes([*range(9), *range(10, 32), 127])
_LENGTH = b"content-length"
MAX_LENGTH_DIGITS = 15
# They change how the message ends or what follows it.
_FRAMING = frozenset((b"transfer-encoding", b"upgrade", b"expect", b"trailer"))
_STAYS_OPEN = frozenset((b"keep-alive", b"Keep-Alive"))


class Shape(NamedTuple):
    """What messages of one kind have in common.

    `words`: the three of the first line. `beginnings`: of each line, the first one whole.
    `length_at`, `connection_at`: the places of these headers; None: there is no Connection.
    """

    words: list[bytes]
    beginnings: list[bytes]
    names: list[bytes]
    length_at: int
    connection_at: int | None

    def found_in(self, data: bytes) -> tuple[Headers, bytes] | None:
        """Return headers and body if a read is one whole message of this shape, else None."""
        head, _, body = data.partition(END_OF_HEAD)
        lines, beginnings = head.split(b"\r\n"), self.beginnings
        if len(lines) != len(beginnings) or not all(map(bytes.startswith, lines, beginnings)):
            return None
        first, *written = map(bytes.removeprefix, lines, beginnings)
        together = b"".join(written)
        if first or len(together.translate(None, _CONTROL)) < len(together):
            return None
        values = [*map(bytes.strip, written)]
        length, open_at = values[self.length_at], self.connection_at
        if not length.isdigit() or len(length) > MAX_LENGTH_DIGITS or int(length) != len(body):
            return None
        if open_at is not None and values[open_at] not in _STAYS_OPEN:
            return None
        return list(zip(self.names, values, strict=True)), body


def shape_of(data: bytes) -> Shape | None:
    """Return the shape of what the parser has accepted as one whole message.

    None if it has no content-length, asks for more than an answer, or ends the connection.
    """
    head, _, _ = data.partition(END_OF_HEAD)
    first_line, *lines = head.split(b"\r\n")
    words = first_line.split(b" ", 2)
    matches = [*map(_LINE.fullmatch, lines)]
    if len(head) > MAX_HEAD_BYTES or VERSION not in (words[0], words[-1]) or None in matches:
        return None
    written = [match[1] for match in matches if match is not None]
    names = [name.lower() for name in written]
    if names.count(_LENGTH) != 1 or names.count(b"connection") > 1:
        return None
    if not _FRAMING.isdisjoint(names):
        return None
    shape = Shape(
        words,
        [first_line, *(name + b":" for name in written)],
        names,
        names.index(_LENGTH),
        names.index(b"connection") if b"connection" in names else None,
    )
    return None if shape.found_in(data) is None else shape

"""The shape of a message: its first line, its headers' names, and how its body is framed.

An SDK sends the same names with each call, and a vendor with each answer; only values differ. One
regular expression matches such a head whole: that costs a tenth of a parser's steps through each
line. It matches less than the parser accepts, never more: the first line and what frames the
message are as they were when the parser accepted them, and the values are RFC 9110's (section 5.5),
without spaces around them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from llmproxy.streams import Headers

MAX_HEAD_BYTES = 8_192
MAX_PATTERNS = 256  # compiled and kept for all connections
VERSION = b"HTTP/1.1"
END_OF_HEAD = b"\r\n\r\n"
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(: ?)([^\x00-\x08\x0a-\x1f\x7f]*)")
_ANY_VALUE = rb"(?![ \t])([^\x00-\x08\x0a-\x1f\x7f]*+)(?<![ \t])"
_DIGITS = rb"([0-9]{1,15})"
_LENGTH = b"content-length"
# They change how the message ends or what follows it. `connection` may stand there, as it was.
_FRAMING = frozenset((b"transfer-encoding", b"upgrade", b"expect", b"trailer"))
_STAYS_OPEN = frozenset((b"keep-alive", b"Keep-Alive"))


class Shape(NamedTuple):
    """What messages of one kind have in common.

    `words`: the three of the first line. `length_at`: the place of the content-length.
    """

    words: list[bytes]
    pattern: re.Pattern[bytes]
    names: tuple[bytes, ...]
    length_at: int

    def found_in(self, data: bytes) -> tuple[Headers, bytes] | None:
        """Return headers and body if a read is one whole message of this shape, else None."""
        match = self.pattern.match(data)
        if match is None:
            return None
        values, body_at = match.groups(), match.end()
        if len(data) - body_at != int(values[self.length_at]):
            return None
        return list(zip(self.names, values, strict=True)), data[body_at:]


def shape_of(data: bytes) -> Shape | None:
    """Return the shape of what the parser has accepted as one whole message.

    None if it has no content-length, asks for more than an answer, or ends the connection.
    """
    head, _, body = data.partition(END_OF_HEAD)
    first_line, *lines = head.split(b"\r\n")
    words = first_line.split(b" ", 2)
    if len(head) > MAX_HEAD_BYTES or VERSION not in (words[0], words[-1]):
        return None
    parts, names, length = [re.escape(first_line)], [], b""
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        written, colon, value = match.groups()
        name = written.lower()
        names.append(name)
        kind = _ANY_VALUE
        if name == _LENGTH:
            kind, length = _DIGITS, value
        elif name == b"connection":
            if value not in _STAYS_OPEN:
                return None
            kind = b"(" + re.escape(value) + b")"
        parts.append(re.escape(written + colon) + kind)
    if names.count(_LENGTH) != 1 or not _FRAMING.isdisjoint(names):
        return None
    if not length.isdigit() or int(length) != len(body):
        return None
    pattern = _compiled(b"\r\n".join(parts) + END_OF_HEAD)
    return Shape(words, pattern, tuple(names), names.index(_LENGTH))


@lru_cache(MAX_PATTERNS)
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern)

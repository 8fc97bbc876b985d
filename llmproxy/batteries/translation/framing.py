"""Cuts a stream into its events, at a cost that grows with the stream's length alone."""

from __future__ import annotations

import re

import msgspec

from llmproxy.operations.sse import fields, split_events

_END = re.compile(rb"(?:\r\n?+|\n)[\r\n]")
_BEFORE_LAST = 3  # bytes of the longest end, CR LF CR LF, that may have come before its last one


class EventCutter:
    """Cuts one stream. Mutable; keeps the pieces of the event that is not complete.

    `_tail`: the last bytes of these pieces, in which an event's end may have begun.
    """

    __slots__ = ("_pieces", "_tail")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._tail = b""

    def cut(self, chunk: bytes) -> list[bytes]:
        """Return the events that are complete with these bytes."""
        self._pieces.append(chunk)
        read = self._tail + chunk
        self._tail = read[-_BEFORE_LAST:]
        if _END.search(read) is None:
            return []
        events, rest = split_events(self.take_rest())
        if rest:
            self._pieces, self._tail = [rest], rest[-_BEFORE_LAST:]
        return events

    def take_rest(self) -> bytes:
        """Return what is not complete, and forget it."""
        rest = b"".join(self._pieces)
        self._pieces, self._tail = [], b""
        return rest

    def rest_as_event(self) -> list[bytes]:
        """Return what came after the last empty line, if it is a whole event; none if it was cut,
        and forget it."""
        rest = self.take_rest()
        try:
            msgspec.json.decode(fields(rest)[1])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []
        return [rest]

"""Parsers with httptools' interface that know the shape of the message before.

A message of that shape in one read is handed to the connection as httptools would hand it over, by
the same callbacks; its headers all at once. Everything else goes to httptools, which decides what
is well-formed, and from which a shape is learned.
"""

from __future__ import annotations

from typing import Any, Protocol

import httptools

from llmproxy.batteries.known_heads.shape import Shape, shape_of
from llmproxy.streams import Headers, Parsers

# Shapes that are learned in a row without a message that has one: a peer whose heads always differ
# is parsed as without this battery.
MAX_UNUSED = 4


class Connection(Protocol):
    """A connection as its parser calls it: httptools' callbacks, and `on_head`.

    `awaits_message`: nothing of the next message has arrived. `has_message`: one has, to its end.
    """

    awaits_message: bool
    has_message: bool

    def on_message_begin(self) -> None:
        """Begin a message."""

    def on_head(self, target: bytes, headers: Headers) -> None:
        """Take a head's target (of a request) and its headers at once, as they will be used."""

    def on_headers_complete(self) -> None:
        """Act on a head."""

    def on_body(self, chunk: bytes) -> None:
        """Take bytes of a body."""

    def on_message_complete(self) -> None:
        """Act on the end of a message."""


class KnowingParser:
    """What both directions have in common. `_known`: the shape of the message under way.

    Between messages httptools' parser is as it was before the first, so it need not see each.
    """

    __slots__ = ("_connection", "_known", "_parser", "_shape", "_unused")

    def __init__(self, connection: Connection, parser: Any) -> None:
        self._connection = connection
        self._parser = parser
        self._shape: Shape | None = None
        self._known: Shape | None = None
        self._unused = 0

    def feed_data(self, data: bytes | memoryview) -> None:
        """Parse what has arrived. Raises what httptools' parser raises."""
        shape, connection = self._shape, self._connection
        begins = connection.awaits_message
        if begins and shape is not None:
            whole = bytes(data)
            found = shape.found_in(whole)
            if found is not None:
                self._known, self._unused = shape, 0
                self._hand_over(shape, *found)
                return
        self._known = None
        if begins:
            self._shape = None
        self._parser.feed_data(data)
        if begins and connection.has_message and self._unused < MAX_UNUSED:
            self._shape = shape_of(bytes(data))
            self._unused += self._shape is not None

    def _hand_over(self, known: Shape, headers: Headers, body: bytes) -> None:
        connection = self._connection
        try:
            connection.on_message_begin()
            connection.on_head(known.words[1], headers)
            connection.on_headers_complete()
            if body:
                connection.on_body(body)
            connection.on_message_complete()
        except Exception as error:  # as httptools does
            raise httptools.HttpParserCallbackError("a callback failed") from error

    def should_keep_alive(self) -> bool:
        """Return whether the connection stays open after the message."""
        return self._known is not None or self._parser.should_keep_alive()


class KnowingRequestParser(KnowingParser):
    """Parses requests."""

    __slots__ = ()

    def get_method(self) -> bytes:
        """Return the method as it was sent."""
        method: bytes = self._parser.get_method() if self._known is None else self._known.words[0]
        return method

    def get_http_version(self) -> str:
        """Return the version, as `1.1`."""
        return "1.1" if self._known is not None else str(self._parser.get_http_version())

    def should_upgrade(self) -> bool:
        """Return whether the client asks for another protocol."""
        return self._known is None and bool(self._parser.should_upgrade())


class KnowingResponseParser(KnowingParser):
    """Parses responses."""

    __slots__ = ()

    def get_status_code(self) -> int:
        """Return the status."""
        known = self._known
        return int(self._parser.get_status_code() if known is None else known.words[1])


KNOWING_PARSERS = Parsers(KnowingRequestParser, KnowingResponseParser)

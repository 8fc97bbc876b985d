"""The answer to one request, written to its connection.

Framing is decided here and nowhere else. However the upstream framed it, an answer leaves with a
content-length, in chunks, or (HTTP/1.0) ended by the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from llmproxy.calls import header_lines
from llmproxy.streams import Headers

ConnectionLost = Callable[[Exception | None], None]


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


STATUS_LINES = {status: _status_line(status) for status in range(100, 1000)}


class WriteFlow(Protocol):
    """Whether the transport's write buffer is full."""

    write_paused: bool

    async def drain(self) -> None:
        """Wait until there is room in the buffer."""


class WritableConnection(Protocol):
    """What a response writer needs of its connection. `gone`: the client has left."""

    transport: asyncio.Transport
    gone: bool

    @property
    def flow(self) -> WriteFlow:
        """The state of the transport's write buffer."""

    @property
    def closes_after_answer(self) -> bool:
        """Whether the answer is the last one on this connection."""

    def response_finished(self) -> None:
        """Go on to the next request: the answer is complete."""

    def cut(self) -> None:
        """Close the connection: the answer cannot be completed."""

    def hand_over(self, protocol: asyncio.BaseProtocol) -> tuple[bytes, ConnectionLost]:
        """Let another protocol go on. Return what `ResponseWriter.upgrade` does."""


def whole_response(status: int, headers: Headers, body: bytes) -> bytes:
    """Return a whole answer that ends the connection, for a request that could not be parsed."""
    end = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
    return b"".join((STATUS_LINES[status], header_lines(headers), end, body))


class ResponseWriter:
    """Writes one answer to a client connection. Implements `Client`.

    `on_leave` is called when the client leaves, in place of cancelling the call; `on_drain` when
    the server begins to drain while another protocol goes on.
    """

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_connection",
        "_head",
        "_http_version",
        "_write",
        "on_drain",
        "on_leave",
        "started",
    )

    def __init__(self, connection: WritableConnection, method: str, http_version: str) -> None:
        self._connection = connection
        self._http_version = http_version
        self._write = connection.transport.write
        self._head = b""  # rendered, but not written yet
        self._chunked = False
        self._bodiless = method == "HEAD"
        self.started = False
        self.on_leave: Callable[[], None] | None = None
        self.on_drain: Callable[[], None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the client is still connected."""
        return not self._connection.gone

    async def drain(self) -> None:
        """Wait until the client has read enough."""
        await self._connection.flow.drain()

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Begin the answer. Its head is written with the first body bytes, in one write."""
        self.started = True
        framing = b""
        if status in (204, 304):
            self._bodiless = True
        elif length is not None:
            framing = b"content-length: %d\r\n" % length
        elif self._http_version == "1.1":
            self._chunked = not self._bodiless
            framing = b"transfer-encoding: chunked\r\n"
        closes = self._connection.closes_after_answer
        end = b"connection: close\r\n\r\n" if closes else b"\r\n"
        self._head = b"".join((STATUS_LINES[status], header_lines(headers), framing, end))

    def write(self, chunk: bytes) -> bool:
        """Pass body bytes to the transport; return False if its buffer is full."""
        if self._connection.gone or not chunk or self._bodiless:
            return True
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(chunk), chunk)
        if self._head:
            chunk, self._head = self._head + chunk, b""
        self._write(chunk)
        return not self._connection.flow.write_paused

    def finish(self) -> None:
        """End the answer: its body is complete."""
        self.on_leave = None  # a cycle that only the garbage collector would find
        if self._connection.gone:
            return
        if self._head:
            self._write(self._head + (b"0\r\n\r\n" if self._chunked else b""))
            self._head = b""
        elif self._chunked:
            self._write(b"0\r\n\r\n")
        self._connection.response_finished()

    def abort(self) -> None:
        """Close the connection: the body cannot be completed, and its missing end says so."""
        if not self._connection.gone:
            if self._head:
                self._write(self._head)
            self._connection.cut()

    def keep_call(self, on_leave: Callable[[], None]) -> None:
        """Let the call go on when the client leaves, and call `on_leave` instead."""
        self.on_leave = on_leave

    def upgrade(
        self, protocol: asyncio.BaseProtocol, on_drain: Callable[[], None]
    ) -> tuple[bytes, ConnectionLost]:
        """Let another protocol go on after a request to upgrade, and write the answer.

        Return the bytes that have arrived for it, and what it must call when the connection is
        lost. `on_drain` is called when the server begins to drain.
        """
        self.started, self.on_drain = True, on_drain
        return self._connection.hand_over(protocol)

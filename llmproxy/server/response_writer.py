"""What goes back through the door: the answer to one request, written to its connection.

Framing lives here and nowhere else: whatever the upstream used, an answer leaves with a
content-length, in chunks, or (HTTP/1.0) ended by the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from llmproxy.calls import Headers, header_lines

if TYPE_CHECKING:
    from llmproxy.server.connection import ServerConnection
    from llmproxy.server.request import IncomingRequest


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


STATUS_LINES = {status: _status_line(status) for status in range(100, 1000)}


class ResponseWriter:
    """The answer to one request, written to the connection. Implements `Client`."""

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_connection",
        "_head",
        "_request",
        "_write",
        "on_leave",
        "started",
    )

    def __init__(self, connection: ServerConnection, incoming: IncomingRequest) -> None:
        self._connection = connection
        self._request = incoming
        self._write = connection.transport.write
        self._head = b""
        self._chunked = False
        self._bodiless = incoming.method == "HEAD"
        self.started = False
        self.on_leave: Callable[[], None] | None = None

    @property
    def connected(self) -> bool:
        """The client is still there."""
        return not self._connection.gone

    async def drain(self) -> None:
        """Wait until the client has read enough."""
        await self._connection.flow.drain()

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Begin the answer; the head leaves with the first body bytes, in one write."""
        self.started = True
        incoming = self._request
        framing = b""
        if status in (204, 304):
            self._bodiless = True
        elif length is not None:
            framing = b"content-length: %d\r\n" % length
        elif incoming.http_version == "1.1":
            self._chunked = not self._bodiless
            framing = b"transfer-encoding: chunked\r\n"
        else:
            incoming.keep_alive = False
        end = b"connection: close\r\n\r\n" if self._connection.closes_after(incoming) else b"\r\n"
        self._head = b"".join((STATUS_LINES[status], header_lines(headers), framing, end))

    def write(self, chunk: bytes) -> bool:
        """Hand body bytes to the transport; False = it has enough for now."""
        if self._connection.gone or not chunk or self._bodiless:
            return True
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(chunk), chunk)
        if self._head:
            chunk, self._head = self._head + chunk, b""
        self._write(chunk)
        return not self._connection.flow.write_paused

    def finish(self) -> None:
        """The body is complete."""
        self.on_leave = None  # a cycle that only the garbage collector would find
        if self._connection.gone:
            return
        if self._head:
            self._write(self._head + (b"0\r\n\r\n" if self._chunked else b""))
            self._head = b""
        elif self._chunked:
            self._write(b"0\r\n\r\n")
        self._connection.response_finished(self._request)

    def abort(self) -> None:
        """The body cannot be completed: the missing end tells the client."""
        if not self._connection.gone:
            if self._head:
                self._write(self._head)
            self._connection.transport.close()

    def keep_call(self, on_leave: Callable[[], None]) -> None:
        """The call goes on when the client leaves."""
        self.on_leave = on_leave

    @staticmethod
    def rendered(status: int, headers: Headers, body: bytes) -> bytes:
        """A whole answer that closes the connection, for requests that could not be parsed."""
        end = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        return b"".join((STATUS_LINES[status], header_lines(headers), end, body))

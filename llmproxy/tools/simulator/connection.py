"""One connection to the vendor. Requests are answered one at a time, in their order.

Reading never pauses, so that a peer that leaves is noticed at once; pipelined requests wait.
"""
# ruff: noqa: D102 - asyncio's and llhttp's callbacks: their names are their contract

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import httptools
import msgspec

from llmproxy.tools.simulator.exchange import Framing, Header, Received, Reply
from llmproxy.tools.simulator.faults import Fault
from llmproxy.tools.simulator.sending import Ending, send, whole

_LINGER_0 = struct.pack("ii", 1, 0)

# It returns the answer to a complete request, and the fault to apply to it.
AnswerFunction = Callable[[Received], tuple[Reply, Fault | None]]


class VendorCounts(msgspec.Struct):
    """Counters. `requests`: operation -> status -> how many (status 0: none was sent).

    `aborted`: requests whose peer left before the end of the answer.
    """

    requests: dict[str, dict[int, int]] = msgspec.field(default_factory=dict)
    aborted: int = 0
    streams_open: int = 0
    connections_open: int = 0
    connections_total: int = 0

    def total(self, status: int | None = None) -> int:
        """Return the number of requests, or of those that were answered with a status."""
        return sum(
            number
            for statuses in self.requests.values()
            for answered, number in statuses.items()
            if status is None or answered == status
        )


class Connections:
    """Owns a vendor's open connections and its counters."""

    def __init__(self) -> None:
        self.counts = VendorCounts()
        self._open: set[VendorConnection] = set()
        self._all_gone = asyncio.Event()
        self._all_gone.set()

    def add(self, connection: VendorConnection) -> None:
        """Add a new connection."""
        self._open.add(connection)
        self._all_gone.clear()
        self.counts.connections_open += 1
        self.counts.connections_total += 1

    def discard(self, connection: VendorConnection) -> None:
        """Remove a closed connection."""
        self._open.discard(connection)
        self.counts.connections_open -= 1
        if not self._open:
            self._all_gone.set()

    async def reset(self) -> None:
        """Reset all connections, and wait until they are gone."""
        for connection in tuple(self._open):
            connection.end(Ending.RESET)
        await self._all_gone.wait()


class RequestParser:
    """Turns the bytes of one connection into requests. Its callbacks are httptools'.

    `incoming`: the request whose body is still missing. `ready`: complete ones, in order.
    """

    def __init__(self, answer_expect: Callable[[], None]) -> None:
        self.incoming: Received | None = None
        self.ready: deque[Received] = deque()
        self._answer_expect = answer_expect
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[Header] = []
        self._body: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Parse more bytes. Raises HttpParserError."""
        # After an upgrade the request has been read: it is answered like any other.
        with suppress(httptools.HttpParserUpgrade):
            self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._target, self._headers, self._body = b"", [], []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        method = parser.get_method().decode("ascii")
        chunked = parser.get_http_version() != "1.0"
        framing = Framing(parser.should_keep_alive(), chunked, method != "HEAD")
        self.incoming = Received(method, self._target, self._headers, framing)
        if (self.incoming.header(b"expect") or b"").lower() == b"100-continue":
            self._answer_expect()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        received, self.incoming = self.incoming, None
        if received is not None:
            received.body = b"".join(self._body)
            self.ready.append(received)


class VendorConnection(asyncio.Protocol):
    """Owns its transport, its parser and the one task that answers."""

    def __init__(self, connections: Connections, answer: AnswerFunction) -> None:
        self._connections = connections
        self._answer = answer
        self._transport: asyncio.Transport
        self._requests: RequestParser
        self._answering = False
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._writable = asyncio.Event()
        self._writable.set()

    # --- asyncio's callbacks ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._requests = RequestParser(lambda: self.write(b"HTTP/1.1 100 Continue\r\n\r\n"))
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            self._requests.feed(data)
        except httptools.HttpParserError as error:
            self._next()  # the good requests before the bad one
            text = f"Bad request: {error}".encode()
            self.write(
                b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
                % (len(text), text)
            )
            self.end(Ending.CLOSE)
        self._next()

    def connection_lost(self, _exc: Exception | None) -> None:
        requests = self._requests
        if not self._closing:
            unanswered = self._answering + (requests.incoming is not None) + len(requests.ready)
            self._connections.counts.aborted += unanswered
        requests.ready.clear()
        self._writable.set()
        if self._task is not None:
            self._task.cancel()
        self._connections.discard(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- the answer ------------------------------------------------------------------------

    def write(self, chunk: bytes) -> None:
        """Send bytes."""
        self._transport.write(chunk)

    async def drain(self) -> None:
        """Wait until the peer has read enough."""
        await self._writable.wait()

    def end(self, ending: Ending) -> None:
        """Close the connection by a FIN or an RST, or keep it open."""
        if ending is Ending.KEEP or self._closing or self._transport.is_closing():
            return
        self._closing = True
        if ending is Ending.RESET:
            _reset_on_close(self._transport)
            self._transport.abort()
        else:
            self._transport.close()

    def _next(self) -> None:
        while self._requests.ready and not self._answering and not self._closing:
            received = self._requests.ready.popleft()
            reply, fault = self._answer(received)
            framing = received.framing
            if fault is None and reply.events is None and not reply.first_s:
                self.write(whole(reply, framing))
                self.end(Ending.KEEP if framing.keep_alive else Ending.CLOSE)
            else:
                self._answering = True
                self._task = asyncio.create_task(self._send(reply, fault, framing))

    async def _send(self, reply: Reply, fault: Fault | None, framing: Framing) -> None:
        streams = 1 if reply.events is not None else 0
        counts = self._connections.counts
        counts.streams_open += streams
        ending = Ending.CLOSE
        try:
            ending = await send(reply, fault, framing, self)
        finally:
            counts.streams_open -= streams
            self._answering = False
            self._task = None
            self.end(ending)
        self._next()


def _reset_on_close(transport: asyncio.Transport) -> None:
    """Make the kernel send an RST: linger 0, set on a duplicate, as uvloop lends no real socket."""
    lent = transport.get_extra_info("socket")
    if lent is not None:
        with socket.socket(fileno=os.dup(lent.fileno())) as duplicate:
            duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)

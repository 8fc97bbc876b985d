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
from typing import Protocol, cast

import httptools

from llmproxy.tools.simulator.exchange import Framing, Header, Received, Reply
from llmproxy.tools.simulator.faults import Fault
from llmproxy.tools.simulator.sending import Ending, send, whole

_LINGER_0 = struct.pack("ii", 1, 0)


class VendorHooks(Protocol):
    """What a connection calls on its vendor."""

    def connected(self, connection: VendorConnection) -> int:
        """Add a connection and return its number."""

    def disconnected(self, connection: VendorConnection) -> None:
        """Remove a closed connection."""

    def arrived(self, received: Received) -> None:
        """Record a request whose head has arrived; its body may still be missing."""

    def left(self, received: Received) -> None:
        """Count a request whose peer left before the end of the answer."""

    def answer(self, received: Received) -> tuple[Reply, Fault | None]:
        """Return the answer to a complete request, and the fault to apply to it."""

    def answering(self, received: Received, reply: Reply, *, begun: bool) -> None:
        """Count an answer at its begin and at its end, however it ends."""


class RequestParser:
    """Turns the bytes of one connection into requests. Its callbacks are httptools'.

    `incoming`: the request whose body is still missing. `ready`: complete ones, in order.
    """

    def __init__(self, connection: int, arrived: Callable[[Received], None]) -> None:
        self.incoming: Received | None = None
        self.ready: deque[Received] = deque()
        self._connection = connection
        self._arrived = arrived
        self._parser = httptools.HttpRequestParser(self)
        self._served = 0
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
        self.incoming = Received(
            method,
            self._target,
            self._headers,
            asyncio.get_running_loop().time(),
            connection=self._connection,
            reused=self._served > 0,
            framing=Framing(parser.should_keep_alive(), chunked, method != "HEAD"),
        )
        self._served += 1
        self._arrived(self.incoming)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        received, self.incoming = self.incoming, None
        if received is not None:
            received.body = b"".join(self._body)
            received.complete = True
            self.ready.append(received)


class VendorConnection(asyncio.Protocol):
    """Owns its transport, its parser and the one task that answers."""

    def __init__(self, vendor: VendorHooks) -> None:
        self._vendor = vendor
        self._transport: asyncio.Transport
        self._requests: RequestParser
        self._answered: Received | None = None  # the request that is being answered
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._writable = asyncio.Event()
        self._writable.set()

    # --- asyncio's callbacks ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._requests = RequestParser(self._vendor.connected(self), self._arrived)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            self._requests.feed(data)
        except httptools.HttpParserError as error:
            self._next()  # the good requests before the bad one
            text = f"Bad request: {error}".encode()
            self._transport.write(
                b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
                % (len(text), text)
            )
            self._end(Ending.CLOSE)
        self._next()

    def connection_lost(self, _exc: Exception | None) -> None:
        for received in (self._answered, self._requests.incoming, *self._requests.ready):
            if received is not None and not self._closing:
                received.aborted = True
                received.left_at = asyncio.get_running_loop().time()
                self._vendor.left(received)
        self._requests.ready.clear()
        self._writable.set()
        if self._task is not None:
            self._task.cancel()
        self._vendor.disconnected(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- the answer ------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether no request is being read or answered."""
        return self._answered is None and self._requests.incoming is None

    def write(self, chunk: bytes) -> None:
        """Send bytes."""
        self._transport.write(chunk)

    async def drain(self) -> None:
        """Wait until the peer has read enough."""
        await self._writable.wait()

    def end(self, *, reset: bool) -> None:
        """Close the connection by a FIN, or by an RST."""
        self._end(Ending.RESET if reset else Ending.CLOSE)

    def _arrived(self, received: Received) -> None:
        self._vendor.arrived(received)
        if (received.header(b"expect") or b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _next(self) -> None:
        while self._requests.ready and self._answered is None and not self._closing:
            self._begin(self._requests.ready.popleft())

    def _begin(self, received: Received) -> None:
        reply, fault = self._vendor.answer(received)
        self._answered = received
        self._vendor.answering(received, reply, begun=True)
        framing = received.framing
        if fault is None and reply.events is None and not reply.first_s:
            self._transport.write(whole(reply, framing))
            self._finish(received, reply, Ending.KEEP if framing.keep_alive else Ending.CLOSE)
            return
        self._task = asyncio.create_task(self._answer(received, reply, fault))

    async def _answer(self, received: Received, reply: Reply, fault: Fault | None) -> None:
        ending = Ending.CLOSE
        try:
            ending = await send(reply, fault, received.framing, self)
        finally:
            self._task = None
            self._finish(received, reply, ending)
        self._next()

    def _finish(self, received: Received, reply: Reply, ending: Ending) -> None:
        self._answered = None
        self._vendor.answering(received, reply, begun=False)
        if ending is not Ending.KEEP:
            self._end(ending)

    def _end(self, ending: Ending) -> None:
        if self._closing or self._transport.is_closing():
            return
        self._closing = True
        if ending is Ending.RESET:
            _reset_on_close(self._transport)
            self._transport.abort()
        else:
            self._transport.close()


def _reset_on_close(transport: asyncio.Transport) -> None:
    """Make the kernel send an RST: linger 0, set on a duplicate, as uvloop lends no real socket."""
    lent = transport.get_extra_info("socket")
    if lent is not None:
        with socket.socket(fileno=os.dup(lent.fileno())) as duplicate:
            duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)

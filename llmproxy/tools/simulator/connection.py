"""One connection of the vendor: requests come in, answers go out, one at a time, in order.

Reading never pauses, so that a peer that leaves is noticed at once; what it sends early waits.
"""
# ruff: noqa: D102 - asyncio's and llhttp's callbacks: their names are their contract

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from typing import Protocol, cast

import httptools

from llmproxy.tools.simulator.exchange import Header, Received, Reply
from llmproxy.tools.simulator.faults import Fault
from llmproxy.tools.simulator.sending import Ending, Framing, send, whole

_LINGER_0 = struct.pack("ii", 1, 0)


class VendorHooks(Protocol):
    """What stands behind the connections."""

    def connected(self, connection: VendorConnection) -> int:
        """A connection is there; returns its number."""

    def disconnected(self, connection: VendorConnection) -> None:
        """It is gone."""

    def arrived(self, received: Received) -> None:
        """The head of a request is there; its body may still come."""

    def left(self, received: Received) -> None:
        """The peer went away before the answer to this one was done."""

    def answer(self, received: Received) -> tuple[Reply, Fault | None]:
        """The answer to a whole request, and the fault that spoils it."""

    def answering(self, received: Received, reply: Reply, *, begun: bool) -> None:
        """An answer begins to go out (`begun`), or is over, however it ended."""


class VendorConnection(asyncio.Protocol):
    """Owns its transport, its parser and the one task that answers."""

    def __init__(self, vendor: VendorHooks) -> None:
        self._vendor = vendor
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._number = 0
        self._served = 0
        self._waiting: deque[Received] = deque()
        self._target = b""
        self._headers: list[Header] = []
        self._incoming: Received | None = None
        self._body: list[bytes] = []
        self._answered: Received | None = None  # the request whose answer is under way
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._writable = asyncio.Event()
        self._writable.set()

    # --- asyncio's callbacks ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._number = self._vendor.connected(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request has been read: it gets the answer of a path that does not exist
        except httptools.HttpParserError as error:
            text = f"Bad request: {error}".encode()
            self._transport.write(
                b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
                % (len(text), text)
            )
            self._end(Ending.CLOSE)

    def connection_lost(self, _exc: Exception | None) -> None:
        for received in (self._answered, self._incoming, *self._waiting):
            if received is not None and not self._closing:
                received.aborted = True
                received.left_at = self._loop.time()
                self._vendor.left(received)
        self._waiting.clear()
        self._writable.set()
        if self._task is not None:
            self._task.cancel()
        self._vendor.disconnected(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- httptools' callbacks --------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = []
        self._body = []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        received = Received(
            parser.get_method().decode("ascii"),
            self._target,
            self._headers,
            self._loop.time(),
            connection=self._number,
            reused=self._served > 0,
            keep_alive=parser.should_keep_alive(),
            http_10=parser.get_http_version() == "1.0",
        )
        self._served += 1
        self._incoming = received
        self._vendor.arrived(received)
        if (received.header(b"expect") or b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        received, self._incoming = self._incoming, None
        if received is None:
            return
        received.body = b"".join(self._body)
        received.complete = True
        self._waiting.append(received)
        self._next()

    # --- the answer ------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """No request is being read or answered."""
        return self._answered is None and self._incoming is None

    def write(self, chunk: bytes) -> None:
        """Hand over bytes."""
        self._transport.write(chunk)

    async def drain(self) -> None:
        """Wait until the peer has read enough."""
        await self._writable.wait()

    def end(self, *, reset: bool) -> None:
        """Close from outside: FIN, or RST."""
        self._end(Ending.RESET if reset else Ending.CLOSE)

    def _next(self) -> None:
        while self._waiting and self._answered is None and not self._closing:
            self._begin(self._waiting.popleft())

    def _begin(self, received: Received) -> None:
        reply, fault = self._vendor.answer(received)
        self._answered = received
        self._vendor.answering(received, reply, begun=True)
        framing = Framing(received.keep_alive, not received.http_10, received.method != "HEAD")
        if fault is None and reply.events is None and not reply.first_s:
            self._transport.write(whole(reply, framing))
            self._over(received, reply, Ending.KEEP if received.keep_alive else Ending.CLOSE)
            return
        self._task = self._loop.create_task(self._answer(received, reply, fault, framing))

    async def _answer(
        self, received: Received, reply: Reply, fault: Fault | None, framing: Framing
    ) -> None:
        ending = Ending.CLOSE
        try:
            ending = await send(reply, fault, framing, self)
        finally:
            self._task = None
            self._over(received, reply, ending)
        self._next()

    def _over(self, received: Received, reply: Reply, ending: Ending) -> None:
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
    """Linger 0 makes the kernel send RST; set on a duplicate, for uvloop lends no real socket."""
    lent = transport.get_extra_info("socket")
    if lent is None:
        return
    duplicate = socket.socket(fileno=os.dup(lent.fileno()))
    try:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    finally:
        duplicate.close()

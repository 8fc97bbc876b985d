"""One end of a session: a transport, and the WebSocket protocol that is spoken on it.

The protocol is the sans-I/O layer of the package `websockets`: bytes in, frames out. It checks what
arrives, and answers closes. Pings are answered by the other end of the session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf
from typing import cast

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN, Event
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from llmproxy.aio.vanished import notice_vanished
from llmproxy.streams import STALLED_S

# Bytes of frames that wait until a session begins. Above this, reading stops.
HIGH_WATER_BYTES = 64 * 1024

logger = logging.getLogger("llmproxy.websockets")
logger.setLevel(logging.WARNING)  # the package logs each connection that opens or closes

_NO_URI = WebSocketURI(secure=False, host="", port=0, path="", query="")  # we write the request


class DownstreamProtocol(ServerProtocol):
    """The protocol of a client's connection. `relays_pings`: else it answers them."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_size=max_bytes, logger=logger)
        self.relays_pings = False

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame; the endpoint answers a ping."""
        if self.relays_pings and frame.opcode is Opcode.PING:
            self.events.append(frame)
        else:
            super().recv_frame(frame)


class UpstreamProtocol(ClientProtocol):
    """The protocol of a connection to an endpoint. `offered`: subprotocols to choose from."""

    def __init__(self, max_bytes: int, offered: list[str]) -> None:
        subprotocols = [Subprotocol(name) for name in offered] or None
        super().__init__(_NO_URI, subprotocols=subprotocols, max_size=max_bytes, logger=logger)

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame; the client answers a ping."""
        if frame.opcode is Opcode.PING:
            self.events.append(frame)
        else:
            super().recv_frame(frame)


class Peer(asyncio.Protocol):
    """Reads and writes the frames of one end. Frames wait in it until `start`.

    `lost`: done when the connection is closed. `on_lost` is called then, too. `other`: the end
    that is read no faster than this one takes it.
    """

    __slots__ = (
        "_arrived",
        "_events",
        "_on_events",
        "_stalled",
        "lost",
        "on_lost",
        "on_stalled",
        "other",
        "protocol",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, protocol: DownstreamProtocol | UpstreamProtocol) -> None:
        loop = asyncio.get_running_loop()
        self.protocol = protocol
        self.lost: asyncio.Future[None] = loop.create_future()
        self.on_lost: Callable[[Exception | None], None] | None = None
        self.on_stalled: Callable[[], None] | None = None
        self.other: Peer | None = None
        self._on_events: Callable[[list[Event]], None] | None = None
        self._events: list[Event] = []
        self._arrived = asyncio.Event()
        self._stalled: asyncio.TimerHandle | None = None

    # ---- used by the session

    def start(self, on_events: Callable[[list[Event]], None]) -> None:
        """Call back with the frames that have arrived, and with all that follow."""
        if isinstance(self.protocol, DownstreamProtocol):
            self.protocol.relays_pings = True
        self._on_events = on_events
        events, self._events = self._events, []
        on_events(events)
        behind = self.other is not None and self.other._stalled is not None
        if not (behind or self.transport.is_closing()):
            self.transport.resume_reading()

    def hold(self, events: list[Event]) -> None:
        """Let these frames, and all that follow, wait for another `start`."""
        self._on_events = None
        self.put_back(events)

    async def next_events(self) -> list[Event]:
        """Return what has arrived, at least one frame; nothing when no more will come."""
        await self._anything()
        events, self._events = self._events, []
        if not self.transport.is_closing():
            self.transport.resume_reading()
        return events

    def put_back(self, events: list[Event]) -> None:
        """Let frames that were looked at wait for `start` again."""
        self._events = events + self._events

    async def answer(self) -> Event | None:
        """Return the first event, an endpoint's answer to a request to upgrade; None: none came."""
        await self._anything()
        return self._events.pop(0) if self._events else None

    async def _anything(self) -> None:
        while not (self._events or self.ended):
            self._arrived.clear()
            await self._arrived.wait()

    @property
    def ended(self) -> bool:
        """Whether no frame can come any more."""
        broken = self.protocol.parser_exc is not None or self.protocol.handshake_exc is not None
        return broken or self.lost.done()

    def send(self, frame: Frame) -> None:
        """Send a frame, unless this end is closing."""
        if self.protocol.state is OPEN:
            self.protocol.send_frame(frame)
            self.flush()

    def close(self, code: int, reason: str = "") -> None:
        """Begin to close, with a code and a reason."""
        if self.protocol.state is OPEN:
            bare = code == CloseCode.NO_STATUS_RCVD
            self.protocol.send_close(None if bare else code, "" if bare else reason)
            self.flush()

    def flush(self) -> None:
        """Write what the protocol has to say; the end of it closes the connection."""
        for written in self.protocol.data_to_send():
            if self.transport.is_closing():
                return  # what is left would go nowhere
            if written:
                self.transport.write(written)
            else:
                self.transport.close()

    def abort(self) -> None:
        """Close at once, and drop what is not sent yet."""
        self.transport.abort()

    # ---- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a connection."""
        self.transport = cast("asyncio.Transport", transport)
        notice_vanished(self.transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes that have arrived."""
        self.protocol.receive_data(data)
        self._take()

    def eof_received(self) -> None:
        """Take the end of what arrives; the connection closes."""
        self.protocol.receive_eof()
        self._take()

    def _take(self) -> None:
        self.flush()
        events = self.protocol.events_received()
        if self._on_events is not None:
            self._on_events(events)
            return
        self._events += events
        if events or self.ended:
            self._arrived.set()
        if sum(len(event.data) for event in self._events if isinstance(event, Frame)) > (
            HIGH_WATER_BYTES
        ):
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is closed."""
        if self._stalled is not None:
            self._stalled.cancel()
        self.lost.set_result(None)
        self.eof_received()
        self._arrived.set()
        if self.on_lost is not None:
            self.on_lost(exc)

    def pause_writing(self) -> None:
        """Read no more for this end; give it up if it takes nothing for long."""
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()
        if self.on_stalled is not None:
            self._stalled = asyncio.get_running_loop().call_later(STALLED_S, self.on_stalled)

    def resume_writing(self) -> None:
        """Read for this end again."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()


async def closed(peer: Peer, stuck_s: float) -> None:
    """Wait until a connection is closed; no longer than `stuck_s` for an end that takes nothing."""
    unread = inf
    while not peer.lost.done():
        left = peer.transport.get_write_buffer_size()
        if left >= unread:
            peer.abort()
        unread = left or -1
        await asyncio.wait((peer.lost,), timeout=stuck_s)

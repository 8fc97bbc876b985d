"""Frames as they go over the wire: a client that sends and reads single ones, an endpoint that
sends each one back."""

import asyncio
from contextlib import asynccontextmanager

from websockets.client import ClientProtocol
from websockets.frames import CLOSE, Frame
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri


def bare(frame):
    """Return what must arrive as it was sent."""
    return frame.opcode, frame.fin, bytes(frame.data)


class RawSession:
    """A client's session, frame by frame."""

    def __init__(self, reader, writer, protocol):
        self.reader = reader
        self.writer = writer
        self.protocol = protocol
        self.answer = None
        self.events = []

    def flush(self):
        for written in self.protocol.data_to_send():
            if written:
                self.writer.write(written)

    async def send(self, *frames):
        for frame in frames:
            self.protocol.send_frame(frame)
        self.flush()
        await self.writer.drain()

    async def send_raw(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def event(self):
        """Return the next frame; None at the end."""
        while not self.events:
            data = await self.reader.read(2**20)
            if not data:
                return None
            self.protocol.receive_data(data)
            self.flush()
            self.events += self.protocol.events_received()
        return self.events.pop(0)

    async def frames(self, count):
        return [await self.event() for _ in range(count)]

    async def close(self, code=1000, reason=""):
        """Close, and return the frames until the end."""
        self.protocol.send_close(code, reason)
        self.flush()
        return await self.rest()

    async def rest(self):
        """Return the frames until the connection ends."""
        frames = []
        while (frame := await self.event()) is not None:
            frames.append(frame)
        return frames

    def leave(self):
        self.writer.transport.abort()


@asynccontextmanager
async def raw_session(port, path="/v1/realtime?model=gpt-4.1", *, headers=(), early=b""):
    """Open a session. `early`: bytes that follow the request at once."""
    uri = parse_uri(f"ws://127.0.0.1:{port}{path}")
    protocol = ClientProtocol(uri, max_size=None)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
    session = RawSession(reader, writer, protocol)
    asked = protocol.connect()
    for name, value in headers:
        asked.headers[name] = value
    protocol.send_request(asked)
    writer.write(b"".join(protocol.data_to_send()) + early)
    try:
        session.answer = await session.event()
        assert isinstance(session.answer, Response), session.answer
        yield session
    finally:
        writer.transport.abort()


class Echo(asyncio.Protocol):
    """An endpoint's end of a session: it sends every frame of data back as it came."""

    def __init__(self, vendor):
        self.vendor = vendor
        self.protocol = ServerProtocol(max_size=None)

    def connection_made(self, transport):
        self.transport = transport
        self.vendor.ends.append(self)

    def data_received(self, data):
        protocol, sent = self.protocol, []
        if data.startswith(b"POST"):
            self.transport.write(self.vendor.answer)
            return
        protocol.receive_data(data)
        for event in protocol.events_received():
            if not isinstance(event, Frame):
                protocol.send_response(protocol.accept(event))
                continue
            self.vendor.received.append(event)
            if event.opcode in (0, 1, 2) and protocol.state is OPEN:
                protocol.send_frame(event)
            elif event.opcode == CLOSE:
                self.vendor.closes.append((protocol.close_rcvd.code, protocol.close_rcvd.reason))
        for written in protocol.data_to_send():
            if written:
                sent.append(written)
            else:
                self.transport.write(b"".join(sent))
                self.transport.close()
                return
        self.transport.write(b"".join(sent))

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()

    def send(self, *frames):
        for frame in frames:
            self.protocol.send_frame(frame)
        self.transport.write(b"".join(self.protocol.data_to_send()))


class EchoVendor:
    """A running vendor of echoes. `answer`: to every POST."""

    def __init__(self):
        self.ends, self.received, self.closes, self.port = [], [], [], 0
        self.answer = b""

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.port}/v1"


@asynccontextmanager
async def echoing(tls=None):
    """Serve an endpoint that sends back what it gets."""
    vendor = EchoVendor()
    server = await asyncio.get_running_loop().create_server(
        *(lambda: Echo(vendor), "127.0.0.1", 0), ssl=tls
    )
    vendor.port = server.sockets[0].getsockname()[1]
    try:
        yield vendor
    finally:
        server.close()
        for end in vendor.ends:
            end.transport.abort()

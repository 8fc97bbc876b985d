"""Hears what a proxy and its endpoints say to each other, byte by byte.

The proxy that doctor starts dials its endpoints through a `WireRecorder`, which stands where
tunnels stand: above TLS, below the proxy's HTTP. What it has heard is parsed afterwards, by a
parser of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterable
from typing import Any, cast

import httptools
import msgspec

from llmproxy.calls import Headers, Outgoing
from llmproxy.protocols import ConnectionT, Tunnel
from llmproxy.providers.base import Endpoint
from llmproxy.upstream import UpstreamClient

ID_HEADER = b"x-request-id"


class WireMessage(msgspec.Struct):
    """A request or an answer as it went over the wire. `start`: method and target, or the status.

    `body` is without the framing of chunks. `headers` are in lower case, in their order.
    """

    start: bytes = b""
    headers: Headers = []
    body: bytes = b""


class _Recording:
    """The bytes of one connection in both directions."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.received = bytearray()


class WireRecorder:
    """Dials endpoints as `client` does, and records what passes. Implements `Tunnels`."""

    def __init__(self, client: UpstreamClient, endpoints: Iterable[Endpoint]) -> None:
        self._client = client
        self._endpoints = {(one.scheme, one.host, one.port): one for one in endpoints}
        self._recordings: list[_Recording] = []

    def to(self, scheme: str, host: str, port: int) -> Tunnel | None:
        """Return the recorded way to an origin."""
        endpoint = self._endpoints.get((scheme, host, port))
        return None if endpoint is None else _RecordedWay(self._client, endpoint, self._recordings)

    def heard(self, call_id: bytes) -> tuple[WireMessage, WireMessage] | None:
        """Return the last request with an id, and what was answered; None: neither was heard."""
        for recording in reversed(self._recordings):
            if call_id not in recording.sent:
                continue
            requests = messages_in(recording.sent, httptools.HttpRequestParser)
            answers = messages_in(recording.received, httptools.HttpResponseParser)
            for request, answer in reversed(list(zip(requests, answers, strict=False))):
                if (ID_HEADER, call_id) in request.headers:
                    return request, answer
        return None


def request_of(outgoing: Outgoing) -> WireMessage:
    """Return a request as it went over the wire."""
    start = b"%b %b HTTP/1.1\r\n%b" % (outgoing.method, outgoing.target, outgoing.head)
    body = cast("bytes", outgoing.body)
    whole = b"%bcontent-length: %d\r\n\r\n%b" % (start, len(body), body)
    return messages_in(whole, httptools.HttpRequestParser)[0]


def messages_in(data: bytes | bytearray, parser: Callable[[Any], Any]) -> list[WireMessage]:
    """Return the messages of one direction; the last one may be incomplete."""
    reader = _Reader(parser)
    reader.feed(bytes(data))
    return [message for message in reader.messages if not message.start.startswith(b"1")]


class _Reader:
    """Collects messages. llhttp calls the methods."""

    def __init__(self, parser: Callable[[Any], Any]) -> None:
        self.messages: list[WireMessage] = []
        self._bodies: list[list[bytes]] = []
        self.parser = parser(self)

    def feed(self, data: bytes) -> None:
        """Read all bytes; what comes before an error counts."""
        with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.parser.feed_data(data)
        for message, parts in zip(self.messages, self._bodies, strict=True):
            message.body = b"".join(parts)

    def on_message_begin(self) -> None:
        self.messages.append(WireMessage())
        self._bodies.append([])

    def on_url(self, url: bytes) -> None:
        self.messages[-1].start += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.messages[-1].headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        message, parser = self.messages[-1], self.parser
        if isinstance(parser, httptools.HttpRequestParser):
            message.start = parser.get_method() + b" " + message.start
        else:
            message.start = b"%d" % parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._bodies[-1].append(body)


class _RecordedWay:
    """The recorded way to one origin. Implements `Tunnel`."""

    def __init__(
        self, client: UpstreamClient, endpoint: Endpoint, recordings: list[_Recording]
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._recordings = recordings

    async def dial(
        self,
        protocol: Callable[[], ConnectionT],
        tls: ssl.SSLContext,  # noqa: ARG002 - the client has its own
    ) -> ConnectionT:
        """Return a connected protocol. Raises ConnectFailed."""
        recording = _Recording()
        self._recordings.append(recording)
        connection = protocol()
        inner = cast("asyncio.BufferedProtocol", connection)
        await self._client.dial(self._endpoint, lambda: _Tap(inner, recording))
        return connection


class _Tap(asyncio.Protocol):
    """Stands between a socket and the protocol of the proxy, and records what passes."""

    def __init__(self, inner: asyncio.BufferedProtocol, recording: _Recording) -> None:
        self._inner = inner
        self._recording = recording

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(cast("Any", _TappedTransport(transport, self._recording)))

    def data_received(self, data: bytes) -> None:
        self._recording.received += data
        while data:
            buffer = memoryview(cast("bytearray", self._inner.get_buffer(len(data))))
            part, data = data[: len(buffer)], data[len(buffer) :]
            buffer[: len(part)] = part
            self._inner.buffer_updated(len(part))

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class _TappedTransport:
    """A transport that records what is written to it."""

    def __init__(self, transport: Any, recording: _Recording) -> None:
        self._transport = transport
        self._recording = recording

    def write(self, data: bytes) -> None:
        self._recording.sent += data
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

"""After the commit point: the answer goes to the client, byte for byte, at the client's pace.

No other endpoint may be tried here. When an event stream breaks, the client is told so in its own
dialect, between two whole events; when any other body breaks, its missing end tells.
"""

from __future__ import annotations

import asyncio
import re
from time import monotonic

from llmproxy.calls import Accepted, Call, Dialect, Downstream, Headers, Trail, Usage
from llmproxy.errors import StreamBroken, UpstreamError
from llmproxy.rules import sse
from llmproxy.rules.encoding import readable
from llmproxy.rules.headers import downstream_headers
from llmproxy.rules.usage import usage_of, usage_of_stream

# An unfinished event is held back so that a break can be told between two events; but not an
# event of this size (images), which would only fill the memory.
MAX_UNFINISHED_BYTES = 64 * 1024
FINISH_REASON = re.compile(rb'"finish_reason"\s*:\s*"')
# The end of a stream, where the terminal event and the usage stand.
TAIL_BYTES = 32 * 1024
# Bigger unary answers are not searched for their usage.
MAX_USAGE_BODY_BYTES = 1024 * 1024


class Relay:
    """Relays accepted answers. `idle_s`: the longest silence between two chunks."""

    __slots__ = ("_idle_s",)

    def __init__(self, *, idle_s: float) -> None:
        self._idle_s = idle_s

    async def relay(self, accepted: Accepted, client: Downstream, trail: Trail) -> None:
        """Send the whole answer. Raises StreamBroken when its endpoint did not complete it."""
        response = accepted.response
        trail.status = response.status
        trail.first_byte_at = monotonic()
        whole = response.exhausted and not accepted.sse
        client.start(
            response.status, answer_headers(accepted, trail), length=_length(accepted, whole)
        )
        if whole:
            client.write(accepted.held)
            client.finish()
            trail.usage = _usage_of(accepted)
        elif accepted.sse:
            await self._relay_events(accepted, client, trail)
        else:
            await self._relay_bytes(accepted, client)

    async def _relay_bytes(self, accepted: Accepted, client: Downstream) -> None:
        chunk = accepted.held
        try:
            while chunk:
                client.write(chunk)
                if not client.writable:
                    await client.drain()
                chunk = await accepted.response.chunk(self._silence_until(accepted.call))
        except UpstreamError as failure:
            client.abort()
            raise _broken(failure, accepted) from failure
        except asyncio.CancelledError:
            client.abort()
            raise
        client.finish()

    async def _relay_events(self, accepted: Accepted, client: Downstream, trail: Trail) -> None:
        call, response = accepted.call, accepted.response
        stream = _EventStream(call.route.dialect, accepted.held)
        chunk = accepted.held
        try:
            while chunk:
                chunk = stream.whole_events(chunk)
                if chunk:
                    client.write(chunk)
                    if not client.writable:
                        await client.drain()
                chunk = await response.chunk(self._silence_until(call))
            if not stream.said_end():
                raise StreamBroken("the stream ended without its last event")
        except UpstreamError as failure:
            client.write(stream.interruption(f"The stream broke: {failure.message}."))
            client.finish()
            trail.usage = stream.usage()
            raise _broken(failure, accepted) from failure
        except asyncio.CancelledError:
            if client.connected:  # the proxy is going down, not the client
                client.write(stream.interruption("The proxy is shutting down."))
                client.finish()
            raise
        client.write(stream.rest())
        client.finish()
        trail.usage = stream.usage()

    def _silence_until(self, call: Call) -> float:
        return min(monotonic() + self._idle_s, call.deadline_at)


class _EventStream:
    """What must be known of a stream to end it well: its unfinished event and its tail."""

    __slots__ = ("_created", "_dialect", "_tail", "_unfinished")

    def __init__(self, dialect: Dialect, beginning: bytes) -> None:
        self._dialect = dialect
        self._unfinished = b""
        self._tail = bytearray()
        self._created = beginning if dialect is Dialect.RESPONSES else b""

    def whole_events(self, chunk: bytes) -> bytes:
        """The bytes to send now: up to the end of the last whole event."""
        self._tail += chunk
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
        if not self._unfinished and chunk.endswith(b"\n\n"):
            return chunk
        chunk = self._unfinished + chunk
        length = sse.complete_length(chunk)
        if len(chunk) - length > MAX_UNFINISHED_BYTES:
            length = len(chunk)
        self._unfinished = chunk[length:]
        return chunk[:length]

    def rest(self) -> bytes:
        """What came after the last whole event, for a stream that ended well all the same."""
        return self._unfinished

    def said_end(self) -> bool:
        """The stream itself said that it is over.

        Some compatible vendors forget chat's [DONE]; after a finish_reason nothing is missing.
        """
        tail = bytes(self._tail)
        finished = self._dialect is Dialect.CHAT and FINISH_REASON.search(tail) is not None
        return finished or sse.said_end(tail, self._dialect)

    def interruption(self, message: str) -> bytes:
        """The bytes that tell this client that its stream broke."""
        created = None
        if self._created:
            events, _ = sse.split_events(self._created)
            created = events[0] if events else None
        return sse.interruption(self._dialect, message=message, created=created)

    def usage(self) -> Usage | None:
        """The tokens that the stream told, if it did."""
        return usage_of_stream(bytes(self._tail))


def answer_headers(accepted: Accepted, trail: Trail) -> Headers:
    """The upstream's headers and ours."""
    headers = downstream_headers(accepted.response.headers)
    headers.append((b"x-llmproxy-endpoint", accepted.endpoint.encode("latin-1")))
    headers.append((b"x-llmproxy-attempts", b"%d" % trail.attempts))
    for name, _ in headers:
        if name == b"x-request-id":
            return headers
    headers.append((b"x-request-id", accepted.call.id.encode("latin-1")))
    return headers


def _length(accepted: Accepted, whole: bool) -> int | None:
    """The body's bytes in all; None where we cannot know or may have to add some."""
    if accepted.sse:
        return None  # a note that the stream broke may be added to it
    if whole and accepted.call.method != "HEAD":
        return len(accepted.held)
    for name, value in accepted.response.headers:
        if name == b"content-length":
            return int(value)
    return None


def _usage_of(accepted: Accepted) -> Usage | None:
    kind = encoding = b""
    for name, value in accepted.response.headers:
        if name == b"content-type":
            kind = value
        elif name == b"content-encoding":
            encoding = value
    if not kind.startswith(b"application/json"):
        return None
    body: bytes | None = accepted.held
    if encoding:
        body = readable(accepted.held, encoding, max_bytes=MAX_USAGE_BODY_BYTES)
    return usage_of(body) if body else None


def _broken(failure: UpstreamError, accepted: Accepted) -> StreamBroken:
    return StreamBroken(failure.message, endpoint=accepted.endpoint)

"""After the commit point: the answer goes to the client, byte for byte, at the client's pace.

No other endpoint may be tried here. When an event stream breaks, the client is told so in its own
dialect, between two whole events; when any other body breaks, its missing end tells.
"""

from __future__ import annotations

import asyncio
import re
from time import monotonic

from llmproxy.calls import Accepted, Dialect, Headers, Usage
from llmproxy.errors import SHUTTING_DOWN, StreamBroken, TimedOut, UpstreamError
from llmproxy.protocols import Downstream, Sink
from llmproxy.record import CallRecord, explanation
from llmproxy.rules import sse
from llmproxy.rules.encoding import readable
from llmproxy.rules.headers import downstream_headers
from llmproxy.rules.usage import usage_of, usage_of_stream

# An unfinished event is held back so that a break can be told between two events; but not an
# event of this size (images), which would only fill the memory.
MAX_UNFINISHED_BYTES = 64 * 1024
FINISH_REASON = re.compile(rb'"finish_reason"\s*:\s*"')
# The end of a stream, where the terminal event and the usage stand.
TAIL_BYTES = 16 * 1024
# Bigger unary answers are not searched for their usage.
MAX_USAGE_BODY_BYTES = 1024 * 1024


class Relay:
    """Relays accepted answers. `idle_s`: the longest silence between two chunks."""

    __slots__ = ("_idle_s",)

    def __init__(self, *, idle_s: float) -> None:
        self._idle_s = idle_s

    async def relay(self, accepted: Accepted, client: Downstream, record: CallRecord) -> None:
        """Send the whole answer. Raises StreamBroken when its endpoint did not complete it."""
        response = accepted.response
        record.answer.status = response.status
        record.answer.request_id = response.content.request_id
        record.answer.first_byte_at = monotonic()
        events = accepted.response.content.events
        whole = response.exhausted and not events
        client.start(
            response.status, answer_headers(accepted, record), length=_length(accepted, whole)
        )
        if whole:
            client.write(accepted.held)
            client.finish()
            record.answer.usage = _usage_of(accepted)
        elif events:
            await self._relay_events(accepted, client, record)
        else:
            await self._relay_bytes(accepted, client)

    async def _relay_bytes(self, accepted: Accepted, client: Downstream) -> None:
        try:
            await self._pour(accepted, client)
        except BaseException:
            client.abort()
            raise
        client.finish()

    async def _relay_events(
        self, accepted: Accepted, client: Downstream, record: CallRecord
    ) -> None:
        stream = _EventStream(accepted.call.route.dialect, client, accepted.held)
        try:
            await self._pour(accepted, stream)
            if not stream.said_end():
                raise StreamBroken(
                    "the stream ended without its last event", endpoint=accepted.endpoint
                )
        except UpstreamError as failure:
            stream.tell(f"The stream broke: {failure.message}.")
            raise
        except asyncio.CancelledError:
            if client.connected:  # the proxy is going down, not the client
                stream.tell(SHUTTING_DOWN)
            raise
        except BaseException:
            client.abort()
            raise
        finally:
            record.answer.usage = stream.usage()
        stream.finish()

    async def _pour(self, accepted: Accepted, sink: Sink) -> None:
        """The body. Raises StreamBroken if it was the endpoint that did not finish."""
        until = accepted.call.ends_at
        idle_s = min(self._idle_s, accepted.call.patience_s)
        try:
            if not sink.write(accepted.held):
                await sink.drain()
            await accepted.response.pour(sink, idle_s=idle_s, until=until)
        except UpstreamError as failure:
            if monotonic() >= until:
                raise TimedOut("the call's time is over", phase="total") from failure
            raise StreamBroken(failure.message, endpoint=accepted.endpoint) from failure


class _EventStream:
    """A sink in front of the client's: passes on whole events, and can end the stream well."""

    __slots__ = ("_client", "_created", "_dialect", "_tail", "_unfinished")

    def __init__(self, dialect: Dialect, client: Downstream, held: bytes) -> None:
        self._dialect = dialect
        self._client = client
        self._unfinished = b""
        self._tail = bytearray()
        self._created = held if dialect is Dialect.RESPONSES else b""

    def write(self, chunk: bytes) -> bool:
        """Pass on the bytes up to the end of the last whole event."""
        self._tail += chunk
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
        if self._unfinished or not chunk.endswith(b"\n\n"):
            chunk = self._unfinished + chunk
            length = sse.complete_length(chunk)
            if len(chunk) - length > MAX_UNFINISHED_BYTES:
                length = len(chunk)
            self._unfinished = chunk[length:]
            chunk = chunk[:length]
        return self._client.write(chunk)

    async def drain(self) -> None:
        """Wait until the client has read enough."""
        await self._client.drain()

    def finish(self) -> None:
        """The stream ended well; what came after its last whole event belongs to it."""
        self._client.write(self._unfinished)
        self._client.finish()

    def tell(self, message: str) -> None:
        """The stream broke: tell the client in its own dialect, or by a missing end."""
        created = None
        if self._created:
            events, _ = sse.split_events(self._created)
            created = events[0] if events else None
        told = sse.interruption(self._dialect, message=message, created=created)
        if told:
            self._client.write(told)
            self._client.finish()
        else:
            self._client.abort()

    def said_end(self) -> bool:
        """The stream itself said that it is over.

        Some compatible vendors forget chat's [DONE]; after a finish_reason nothing is missing.
        """
        tail = bytes(self._tail)
        finished = self._dialect is Dialect.CHAT and FINISH_REASON.search(tail) is not None
        return finished or sse.said_end(tail, self._dialect)

    def usage(self) -> Usage | None:
        """The tokens that the stream told, if it did."""
        return usage_of_stream(bytes(self._tail))


def answer_headers(accepted: Accepted, record: CallRecord) -> Headers:
    """The upstream's headers and ours."""
    limit_headers = record.limit_headers
    headers = downstream_headers(accepted.response.headers, own_limits=limit_headers is not None)
    if limit_headers:
        headers += limit_headers
    headers.append((b"x-llmproxy-endpoint", accepted.endpoint.encode("latin-1")))
    headers.append((b"x-llmproxy-attempts", b"%d" % record.attempts))
    if record.fallback is not None:
        headers.append((b"x-llmproxy-fallback", record.fallback.encode("utf-8")))
    if record.cache is not None:
        headers.append((b"x-llmproxy-cache", record.cache.encode("ascii")))
    if record.request.explain:
        headers.append(explanation(record))
    if record.answer.request_id is None:
        headers.append((b"x-request-id", accepted.call.id.encode("latin-1")))
    return headers


def _length(accepted: Accepted, whole: bool) -> int | None:
    """The body's bytes in all; None where we cannot know or may have to add some."""
    if whole and accepted.call.method != "HEAD":
        return len(accepted.held)
    if accepted.response.content.events:
        return None  # a note that the stream broke may be added to it
    return accepted.response.content.length


def _usage_of(accepted: Accepted) -> Usage | None:
    content = accepted.response.content
    if not content.json:
        return None
    body: bytes | None = accepted.held
    if content.encoding:
        body = readable(accepted.held, content.encoding, max_bytes=MAX_USAGE_BODY_BYTES)
    return usage_of(body) if body else None

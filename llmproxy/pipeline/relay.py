"""After the commit point: pass the answer on to the client, byte for byte, at the client's pace.

No other endpoint may be tried here. When an event stream breaks, an error event in the client's
dialect follows the last whole event. When any other body breaks, the connection closes without the
body's end, so the client notices the break.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import nullcontext
from math import inf
from time import monotonic

from llmproxy.calls import Accepted, Headers
from llmproxy.errors import SHUTTING_DOWN, StreamBroken, TimedOut, UpstreamError
from llmproxy.operations import Dialect, Usage
from llmproxy.operations.sse import complete_length
from llmproxy.protocols import CostHeaders, Downstream, MeterAnswer, Sink, StreamUsage
from llmproxy.record import CallRecord, explanation
from llmproxy.rules.headers import downstream_headers, sandboxed
from llmproxy.streams import Mask, PourTimes, masked_text

# An unfinished event is held back so that an error event can follow a whole one; but not an event
# of this size (an image), which would only fill the memory.
MAX_UNFINISHED_BYTES = 64 * 1024
# The end of a stream, which holds the terminal event and the usage.
TAIL_BYTES = 16 * 1024
MAX_TAIL_BYTES = 2 * TAIL_BYTES  # before it is cut: seldom
_ID_LINE = re.compile(rb"(?:^|[\r\n])(?:id|retry)")


class Relay:
    """Relays accepted answers, however long they take.

    `idle_s`: the longest silence between two chunks. `stalled_s`: how long a client may read
    nothing. `heartbeat_s`: a silence of a stream after which its client gets a heartbeat.
    `usage_of`: says the usage of a stream. `meter`: notes that of other answers that are not whole.
    `cost_headers`: those of a whole answer.
    """

    __slots__ = ("_cost_headers", "_heartbeat_s", "_idle_s", "_meter", "_stalled_s", "_usage_of")

    def __init__(
        self,
        *,
        idle_s: float,
        stalled_s: float,
        heartbeat_s: float | None,
        usage_of: StreamUsage,
        meter: MeterAnswer,
        cost_headers: CostHeaders | None,
    ) -> None:
        self._usage_of, self._meter = usage_of, meter
        self._cost_headers = cost_headers
        self._idle_s = idle_s
        self._stalled_s = stalled_s
        self._heartbeat_s = inf if heartbeat_s is None else heartbeat_s

    async def relay(self, accepted: Accepted, client: Downstream, record: CallRecord) -> None:
        """Send the whole answer. Raises StreamBroken if the endpoint did not complete it."""
        response = accepted.response
        record.answer.status = response.status
        record.answer.request_id = response.content.request_id
        record.answer.first_byte_at = monotonic()
        events = accepted.response.content.events
        whole = response.exhausted and not events
        headers = answer_headers(accepted, record)
        if whole:
            record.answer.usage = accepted.usage
            if self._cost_headers is not None:
                headers += self._cost_headers(record)
        client.start(response.status, headers, length=_length(accepted, whole))
        if whole:
            client.write(accepted.held)
            client.finish()
        elif events:
            await self._relay_events(accepted, client, record)
        else:
            await self._relay_bytes(accepted, client, record)

    async def _relay_bytes(
        self, accepted: Accepted, client: Downstream, record: CallRecord
    ) -> None:
        try:
            with self._meter(accepted, client, record) as sink:
                await self._pour(accepted, sink, lambda: None)
        except BaseException:
            client.abort()
            raise
        client.finish()

    async def _relay_events(
        self, accepted: Accepted, client: Downstream, record: CallRecord
    ) -> None:
        stream = _EventStream(accepted.call.route.dialect, client, accepted.held, accepted.mask)
        try:
            await self._pour(accepted, stream, stream.keep_alive)
            if not stream.is_complete():
                raise StreamBroken(
                    "the stream ended without its last event", endpoint=accepted.endpoint
                )
        except UpstreamError as failure:
            stream.interrupt(f"The stream broke: {failure.message}.")
            raise
        except asyncio.CancelledError:
            if client.connected:  # the proxy is shutting down; the client has not left
                stream.interrupt(SHUTTING_DOWN)
            raise
        except BaseException:
            client.abort()
            raise
        finally:
            record.answer.usage = self._usage_of(accepted, record, *stream.passed())
        stream.finish()

    async def _pour(self, accepted: Accepted, sink: Sink, on_quiet: Callable[[], None]) -> None:
        """Pass the body on. Raises StreamBroken if the endpoint did not finish it, TimedOut if the
        call's time was over."""
        until = accepted.call.ends_at
        idle_s = min(self._idle_s, accepted.call.patience_s)
        try:
            if not sink.write(accepted.held):
                await sink.drain()
            beat_s, first_by = self._heartbeat_s, accepted.content_by
            times = PourTimes(idle_s, self._stalled_s, beat_s, until, first_by)
            await accepted.response.pour(sink, times, on_quiet)
        except UpstreamError as failure:
            if monotonic() >= until:
                raise TimedOut("the call's time is over", phase="total") from failure
            message = masked_text(failure.message, accepted.mask)
            raise StreamBroken(message, endpoint=accepted.endpoint) from failure


class _EventStream:
    """A sink in front of the client's, which passes on whole events only."""

    __slots__ = ("_beginning", "_client", "_cut", "_dialect", "_mask", "_tail", "_unfinished")

    def __init__(self, dialect: Dialect, client: Downstream, beginning: bytes, mask: Mask) -> None:
        self._dialect = dialect
        self._mask = mask
        self._client = client
        self._unfinished = b""
        self._cut = 0  # bytes that have left the tail
        self._tail = bytearray()
        self._beginning = beginning

    def write(self, chunk: bytes) -> bool:
        """Pass on the bytes up to the end of the last whole event."""
        tail = self._tail
        tail += chunk
        if len(tail) > MAX_TAIL_BYTES:
            self._cut += len(tail) - TAIL_BYTES
            del tail[:-TAIL_BYTES]
        if self._unfinished or not chunk.endswith(b"\n\n"):
            chunk = self._unfinished + chunk
            length = complete_length(chunk)
            if len(chunk) - length > MAX_UNFINISHED_BYTES:
                length = len(chunk)
            self._unfinished = chunk[length:]
            chunk = chunk[:length]
        if chunk.find(b"error") >= 0:  # an event that may quote what the endpoint was sent
            chunk = self._mask(chunk)
        return self._client.write(chunk)

    def keep_alive(self) -> None:
        """Send a heartbeat, if it can do no harm.

        Not within an event, nor after the last one. A comment after an `id:` or `retry:` line
        makes openai-python fail (docs/project/upstreams.md).
        """
        passed = bytes(self._tail).removesuffix(self._unfinished)
        between_events = passed.endswith((b"\n\n", b"\r\n\r\n"))
        if between_events and not _ID_LINE.search(passed) and not self.is_complete():
            self._client.write(self._dialect.heartbeat or b"")

    async def drain(self) -> None:
        """Wait until the client has read enough."""
        await self._client.drain()

    def finish(self) -> None:
        """End the stream well; what came after its last whole event belongs to it."""
        rest = self._unfinished
        self._client.write(self._mask(rest) if b"error" in rest else rest)
        self._client.finish()

    def interrupt(self, message: str) -> None:
        """Report the break in the client's dialect, or by closing without an end."""
        event = self._dialect.interruption(message, beginning=self._beginning)
        if event:
            self._client.write(event)
            self._client.finish()
        else:
            self._client.abort()

    def is_complete(self) -> bool:
        """Whether the stream has reported its own end."""
        return self._dialect.is_complete(bytes(self._tail))

    def passed(self) -> tuple[bytes, int]:
        """Return the last bytes of the stream, and how many there were in all."""
        return bytes(self._tail), self._cut + len(self._tail)


def unmetered(_: Accepted, client: Downstream, _record: CallRecord) -> nullcontext[Downstream]:
    """Return where to write an answer whose usage is not read (a `MeterAnswer`)."""
    return nullcontext(client)


def told_usage(accepted: Accepted, _record: CallRecord, _tail: bytes, _passed: int) -> Usage | None:
    """Return the usage that a changed stream has noted, and read no other (a `StreamUsage`)."""
    usage: Usage | None = accepted.response.usage
    return usage


def answer_headers(accepted: Accepted, record: CallRecord) -> Headers:
    """Return the endpoint's headers and ours."""
    limit_headers = record.limit_headers
    passing = downstream_headers(accepted.response.headers, own_limits=limit_headers is not None)
    headers = sandboxed(passing)
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
        named, call = dict(headers), accepted.call
        record.answer.request_id = named.get(b"request-id")  # Anthropic's name for it
        ours = call.route.dialect.id_of(call.id)
        headers += [header for header in ours if header[0] not in named]
    return headers


def _length(accepted: Accepted, whole: bool) -> int | None:
    """Return the body's length in bytes; None if it is unknown or an error event may follow."""
    if whole and accepted.call.method != "HEAD":
        return len(accepted.held)
    if accepted.response.content.events:
        return None
    return accepted.response.content.length

"""One connection to an origin: writes a request, parses its response, one exchange at a time.

It keeps one invariant: a connection goes back to its origin only after a response that was
complete, well-formed and followed by silence. Anything else closes it, so no call can ever read
bytes that were meant for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools
import msgspec

from llmproxy.aio.watchdog import Watchdog
from llmproxy.errors import GatewayError, Phase, TimedOut, UpstreamError, UpstreamFailed
from llmproxy.streams import Headers, Upload
from llmproxy.upstream.content import content_of
from llmproxy.upstream.response import Response

# More than any vendor sends, little enough that a mad server cannot fill the memory.
MAX_HEAD_BYTES = 256 * 1024
READ_BUFFER = memoryview(bytearray(64 * 1024))
# Up to here one copy is cheaper than a second write.
JOIN_BYTES = 64 * 1024


class Outgoing(msgspec.Struct, frozen=True):
    """A request as it goes upstream.

    `head` holds the rendered header lines (each ended by CRLF) without framing; `target` is path
    and query. `fresh`: not on a connection used before, because it must not be sent twice.
    """

    method: bytes
    target: bytes
    head: bytes
    body: bytes | Upload
    fresh: bool = False


class StaleConnection(Exception):
    """A reused connection died before it gave one byte: nobody has failed yet."""


class UpstreamConnection(asyncio.BufferedProtocol):
    """The protocol on one socket. Owned by its Origin, lent to one Response at a time.

    All connections read into one buffer, which is parsed before anybody else reads. It bounds a
    read: by default a loop hands over 256 KiB at once, and each stalled stream would hold as much.
    """

    __slots__ = (
        "_close_delimited",
        "_drained",
        "_finished",
        "_head_bytes",
        "_headers",
        "_loop",
        "_on_closed",
        "_on_idle",
        "_parser",
        "_parser_usable",
        "_phase",
        "_request_written",
        "_response",
        "_reusable",
        "_transport",
        "_uploading",
        "_watchdog",
        "closed",
        "used",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        on_idle: Callable[[UpstreamConnection], None],
        on_closed: Callable[[UpstreamConnection], None],
    ) -> None:
        self._loop = loop
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._parser = httptools.HttpResponseParser(self)
        self._watchdog = Watchdog(loop, self._expired)
        self._phase: Phase = "idle"
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._headers: Headers = []
        self._head_bytes = 0
        self._close_delimited = False
        self._finished = False
        self._parser_usable = True
        self._reusable = False
        self._request_written = True
        self._drained: asyncio.Future[None] | None = None
        self._uploading: asyncio.Task[None] | None = None
        self.closed = False
        self.used = False

    # ---- what the client and the response ask for

    async def exchange(self, outgoing: Outgoing, *, phase_until: float) -> Response:
        """Send a request and wait for the head of its response.

        Raises StaleConnection, TimedOut or UpstreamFailed; the connection is closed then.
        """
        response = self._response = Response(self, self._loop, bodiless=outgoing.method == b"HEAD")
        self._head_bytes = 0
        reused, self.used = self.used, True
        self._send(outgoing)
        try:
            await response.head(phase_until)
        except UpstreamError as failure:
            if reused and self._head_bytes == 0 and not isinstance(failure, TimedOut):
                raise StaleConnection from failure
            raise
        finally:
            if response.status == 0:
                self.abort()
        return response

    def watch(self, until: float, phase: Phase) -> None:
        """Give up the present wait at `until`."""
        self._phase = phase
        self._watchdog.expire_at(until)

    def rest_until(self, until: float) -> None:
        """Nobody waits; close an idle connection at `until`."""
        self._watchdog.expire_at(until)

    def pause(self) -> None:
        """Stop reading: the consumer is behind."""
        if self._transport is not None and not self.closed:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once, dropping what is not yet sent."""
        if self._uploading is not None:
            self._uploading.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._note_closed()

    # ---- sending

    def _send(self, outgoing: Outgoing) -> None:
        body = outgoing.body
        start = b"%b %b HTTP/1.1\r\n%b" % (outgoing.method, outgoing.target, outgoing.head)
        if isinstance(body, bytes):
            self._send_bytes(outgoing.method, start, body)
            return
        framing = (
            b"transfer-encoding: chunked\r\n\r\n"
            if body.length is None
            else b"content-length: %d\r\n\r\n" % body.length
        )
        self._write(start + framing)
        self._request_written = False
        self._uploading = self._loop.create_task(self._upload(body))

    def _send_bytes(self, method: bytes, start: bytes, body: bytes) -> None:
        if not body and method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS"):
            self._write(start + b"\r\n")
        elif len(body) <= JOIN_BYTES:
            self._write(b"%bcontent-length: %d\r\n\r\n%b" % (start, len(body), body))
        else:
            self._write(b"%bcontent-length: %d\r\n\r\n" % (start, len(body)))
            self._write(body)

    def _write(self, data: bytes) -> None:
        if not self.closed and self._transport is not None:
            self._transport.write(data)

    async def _upload(self, body: Upload) -> None:
        """Send a body while it arrives, at the origin's pace. Its failure ends the response."""
        chunked = body.length is None
        try:
            async for chunk in body.chunks():
                self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if self._drained is not None:
                    await self._drained
            if chunked:
                self._write(b"0\r\n\r\n")
        except GatewayError as failure:  # the client stopped sending
            if self._response is not None:
                self._response.fail(failure)
            self.abort()
            return
        self._request_written = True

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return READ_BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        response = self._response
        if response is None:
            # Bytes that nobody asked for: a late or smuggled response. Never kept.
            self.abort()
            return
        if response.status == 0:
            self._head_bytes += nbytes
        try:
            self._parser.feed_data(READ_BUFFER[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._broken(f"malformed HTTP response: {_parser_complaint(error)}")
            return
        response.flush()
        if self._finished:
            self._finish_exchange()
        elif response.status == 0 and self._head_bytes > MAX_HEAD_BYTES:
            self._broken(f"the response head is larger than {MAX_HEAD_BYTES} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        response = self._response
        if response is not None:
            if self._close_delimited and exc is None:
                response.end()
            else:
                response.fail(UpstreamFailed(_lost_complaint(response, exc)))
        if self._uploading is not None:
            self._uploading.cancel()
        self._resume_upload()
        self._note_closed()

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        self._resume_upload()

    def _resume_upload(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # ---- the parser's side

    def on_message_begin(self) -> None:
        if self._finished:
            raise ValueError("bytes after the end of the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        response, headers = self._response, self._headers
        self._headers = []  # trailers land in a list of their own, which nobody reads
        status = self._parser.get_status_code()
        if status < 100:
            raise ValueError(f"a status of {status:03}")  # llhttp accepts 000
        if response is None or 100 <= status < 200:
            if status == 101:
                raise ValueError("101 Switching Protocols was not asked for")
            return
        content = content_of(headers)
        response.begin(status, headers, content)
        if response.bodiless or status in (204, 304):
            # llhttp cannot know that this answers a HEAD, and waits for a 304's content-length:
            # the end is here, and its parser is of no use for another response.
            self._parser_usable = False
            self._end_response(response)
        else:
            self._close_delimited = not content.framed

    def on_body(self, chunk: bytes) -> None:
        if self._response is not None:
            self._response.add(chunk)

    def on_message_complete(self) -> None:
        response = self._response
        if response is None or response.status == 0 or self._finished:
            return  # an informational (1xx) response
        self._end_response(response)

    def _end_response(self, response: Response) -> None:
        self._finished = True
        self._reusable = (
            self._parser_usable and self._request_written and self._parser.should_keep_alive()
        )
        response.end()

    def _finish_exchange(self) -> None:
        """The response is whole, and nothing followed it in the same read."""
        self._response = None
        if self._reusable and not self.closed:
            self._finished = False
            self._uploading = None
            self._on_idle(self)
        else:
            self.abort()

    # ---- the end of things

    def _broken(self, complaint: str) -> None:
        if self._response is not None:
            self._response.fail(UpstreamFailed(complaint))
        self.abort()

    def _expired(self) -> None:
        response = self._response
        if response is None:
            self.abort()  # idle for too long
        elif response.waiting:
            response.fail(TimedOut(f"silent for too long ({self._phase})", phase=self._phase))
            self.abort()

    def _note_closed(self) -> None:
        if not self.closed:
            self.closed = True
            self._watchdog.stop()
            self._on_closed(self)


def _parser_complaint(error: Exception) -> str:
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
    return str(cause or error) or type(error).__name__


def _lost_complaint(response: Response, exc: Exception | None) -> str:
    how = "reset" if exc is not None else "closed"
    when = "before an answer" if response.status == 0 else "in the middle of the answer"
    return f"the connection was {how} {when}"

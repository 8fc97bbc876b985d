"""One connection to an origin: it writes a request and parses its response, one after the other.

Its invariant: a connection goes back to its origin only after a response that was complete,
well-formed and followed by silence. Anything else closes it, so no call can read bytes that were
meant for another.

             exchange             head                end             end of the read
    NEW  ---------------> HEAD ---------> BODY ---------------> COMPLETE -----------> IDLE
    IDLE ------------/      |              |
    READY -----------       |              +-- not reusable --> SPENT --------------> CLOSED
                            +-> BODY_TO_EOF -------- the connection is lost --------> CLOSED

COMPLETE and SPENT last until the end of one read: bytes after a complete response, in the same read
or while IDLE, close the connection. So do a malformed response, a deadline and a lost connection in
any state. BODY_TO_EOF is the only state in which losing the connection is no failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from time import monotonic
from typing import Any, Protocol, cast

import httptools

from llmproxy.aio.vanished import notice_vanished
from llmproxy.aio.watchdog import Watchdog
from llmproxy.calls import Outgoing
from llmproxy.errors import GatewayError, Phase, TimedOut, UpstreamError, UpstreamFailed
from llmproxy.streams import Headers
from llmproxy.upstream.request_body import BodyOnItsWay, BufferedBody, UploadTask
from llmproxy.upstream.response import Response, content_of

# More than any vendor sends, and little enough that a broken server cannot fill the memory.
MAX_HEAD_BYTES = 256 * 1024
READ_BUFFER = memoryview(bytearray(64 * 1024))
# A kept connection that its origin has closed is lost as soon as the request crosses the closing on
# the way: within a round trip. Later, the origin may have worked on the request.
STALE_S = 0.15
# Longer than a busy server of one's own leaves a request unread, and short enough that another
# endpoint is asked before most clients give up.
UNACKNOWLEDGED_S = 30
# Up to this size, copying a body behind its head is cheaper than a second write.
JOIN_BYTES = 64 * 1024


class StaleConnection(Exception):
    """A reused connection was lost before the origin can have worked on the request.

    It is not the endpoint's fault, and the request may be sent again, whatever it does.
    """


class ConnectionState(Enum):
    """Where a connection is in its present exchange."""

    NEW = "not used yet"
    READY = "kept, and not used yet"
    IDLE = "kept, after a complete response"
    HEAD = "a request was begun; the head of its response is awaited"
    BODY = "the body is arriving"
    BODY_TO_EOF = "the body is arriving, and ends with the connection"
    COMPLETE = "the response is complete; silence makes the connection reusable"
    SPENT = "the response is complete; the connection is not reusable"
    CLOSED = "closed"


# Python 3.11 finds an Enum's member six times slower than a global: 0.4 us, for each chunk.
NEW, READY, IDLE, HEAD, BODY, BODY_TO_EOF, COMPLETE, SPENT, CLOSED = ConnectionState


class ConnectionOwner(Protocol):
    """What a connection needs of its origin."""

    def became_idle(self, connection: UpstreamConnection) -> None:
        """Take back a connection that can be used again."""

    def was_closed(self, connection: UpstreamConnection) -> None:
        """Forget a connection."""


class UpstreamConnection(asyncio.BufferedProtocol):
    """The protocol on one socket. Owned by its Origin, lent to one Response at a time.

    All connections read into the same buffer, and parse it before another one reads. It bounds a
    read: by default a loop hands over 256 KiB at once, and each stalled stream would hold as much.
    """

    __slots__ = (
        "_bodiless",
        "_head_bytes",
        "_headers",
        "_loop",
        "_owner",
        "_parser",
        "_phase",
        "_response",
        "_transport",
        "_upload",
        "_watchdog",
        "state",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: ConnectionOwner) -> None:
        self._loop = loop
        self._owner = owner
        self._parser: Any = httptools.HttpResponseParser(self)
        self._watchdog = Watchdog(loop, self._expired)
        self._phase: Phase | None = "idle"
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None  # the exchange's; None: no bytes are expected
        self._bodiless = False
        self._headers: Headers = []
        # Received without bytes of a body, in whole reads: of a head, of trailers. 0: nothing yet.
        self._head_bytes = 0
        self._upload: BodyOnItsWay | None = None  # None: a small one, sent at once
        self.state = ConnectionState.NEW

    @property
    def closed(self) -> bool:
        """Whether the connection is closed, for any reason."""
        return self.state is CLOSED

    # ---- called by the client and the response

    async def exchange(
        self, outgoing: Outgoing, *, until: float, renewed: Callable[[], float] | None = None
    ) -> Response:
        """Send a request and wait for the head of its response until the moment `until`.

        `renewed`: called after a sign of life (1xx), returns a later moment.

        Raises StaleConnection, TimedOut or UpstreamFailed; the connection is closed then.
        """
        response = self._response = Response(self, self._loop)
        reused, began_at = self.state is not NEW, monotonic()
        self.state = HEAD
        self._head_bytes = 0
        self._bodiless = outgoing.method == b"HEAD"
        self._send(outgoing)
        try:
            await response.head(until, renewed)
        except UpstreamError as failure:
            if reused and self._was_stale(failure, began_at):
                raise StaleConnection from failure
            raise
        finally:
            if response.status == 0:
                self.abort()
        return response

    def _was_stale(self, failure: UpstreamError, began_at: float) -> bool:
        """Whether the origin cannot have worked on the request of a failed exchange."""
        if self._head_bytes or isinstance(failure, TimedOut):
            return False
        unsent = self._upload is not None and not self._upload.complete
        return unsent or monotonic() - began_at < STALE_S

    def watch(self, until: float, phase: Phase | None) -> None:
        """Fail the response at `until` if it is still awaited. `phase` None: only wake it."""
        self._phase = phase
        self._watchdog.expire_at(until)

    def expire_idle_at(self, until: float) -> None:
        """Close the connection at `until` if it is still idle."""
        self._watchdog.expire_at(until)

    @property
    def kept_until(self) -> float:
        """When it is closed if no call uses it, while it is idle."""
        return self._watchdog.expires_at

    def pause(self) -> None:
        """Stop reading: the call is behind."""
        if self._transport is not None and self.state is not CLOSED:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and self.state is not CLOSED:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once, and drop what is not sent yet."""
        if self._upload is not None:
            self._upload.cancel()
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
        self._upload = UploadTask(self._loop, body, self._write, self._upload_failed)

    def _send_bytes(self, method: bytes, start: bytes, body: bytes) -> None:
        if not body and method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS"):
            self._write(start + b"\r\n")
        elif len(body) <= JOIN_BYTES:
            self._write(b"%bcontent-length: %d\r\n\r\n%b" % (start, len(body), body))
        else:
            self._upload = BufferedBody()
            self._write(b"%bcontent-length: %d\r\n\r\n" % (start, len(body)))
            self._write(body)

    def _write(self, data: bytes) -> None:
        if self.state is not CLOSED and self._transport is not None:
            self._transport.write(data)

    def _upload_failed(self, failure: GatewayError) -> None:
        if self._response is not None:
            self._response.fail(failure)
        self.abort()

    # ---- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        notice_vanished(transport, unacknowledged_s=UNACKNOWLEDGED_S)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return READ_BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        response = self._response
        if response is None:
            self.abort()  # a late or smuggled response: its connection is never kept
            return
        try:
            self._parser.feed_data(READ_BUFFER[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._head_bytes += nbytes
            self._broken(f"malformed HTTP response: {_parser_complaint(error)}")
            return
        response.flush()
        if self.state is BODY:
            self._head_bytes += nbytes
            if self._head_bytes > MAX_HEAD_BYTES:
                self._broken(f"trailers larger than {MAX_HEAD_BYTES} bytes")
        else:
            self._end_read(nbytes)

    def _end_read(self, nbytes: int) -> None:
        """Act on what one read has brought, unless it was part of a body."""
        if self.state is COMPLETE:
            self._response = self._upload = None
            self.state = IDLE
            self._owner.became_idle(self)
        elif self.state is SPENT:
            self._response = None
            self.abort()
        elif self.state is HEAD:
            self._head_bytes += nbytes
            if self._head_bytes > MAX_HEAD_BYTES:
                self._broken(f"the response head is larger than {MAX_HEAD_BYTES} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        response = self._response
        if response is not None:
            if self.state is BODY_TO_EOF and exc is None:
                response.end()
            else:
                response.fail(UpstreamFailed(_lost_complaint(response, exc)))
        if self._upload is not None:
            self._upload.cancel()
        self._note_closed()
        self._parser = None  # a cycle that only the garbage collector would find

    def pause_writing(self) -> None:
        if self._upload is not None:
            self._upload.pause()

    def resume_writing(self) -> None:
        if self._upload is not None:
            self._upload.resume()

    # ---- llhttp's callbacks

    def on_message_begin(self) -> None:
        if self.state is not HEAD:
            raise ValueError("bytes after the end of the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.state is not HEAD:
            return  # a trailer: not used
        self._headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        response, headers = self._response, self._headers
        self._headers = []
        status = self._parser.get_status_code()
        if status < 100:
            raise ValueError(f"a status of {status:03}")  # llhttp accepts 000
        if response is None or self.state is not HEAD or 100 <= status < 200:
            if status == 101:
                raise ValueError("101 Switching Protocols was not asked for")
            if response is not None:
                response.look_up()
            return
        content = content_of(headers)
        response.begin(status, headers, content)
        if self._bodiless or status in (204, 304):
            # llhttp cannot see that this answers a HEAD, and expects a 304's content-length.
            # The response ends here, and the parser cannot be used for another one.
            self.state = SPENT
            response.end()
        else:
            self.state = BODY if content.framed else BODY_TO_EOF

    def on_body(self, chunk: bytes) -> None:
        self._head_bytes = 0
        if self._response is not None:
            self._response.add(chunk)

    def on_message_complete(self) -> None:
        response = self._response
        if response is None or (self.state is not BODY and self.state is not BODY_TO_EOF):
            return  # an informational (1xx) response, or one without a body
        sent = self._upload is None or self._upload.complete
        self.state = COMPLETE if sent and self._parser.should_keep_alive() else SPENT
        response.end()

    # ---- failures and the end

    def _broken(self, complaint: str) -> None:
        if self._response is not None:
            self._response.fail(UpstreamFailed(complaint))
        self.abort()

    def _expired(self) -> None:
        response = self._response
        if response is None:
            self.abort()  # idle for too long
        elif self._phase is None:
            response.look_up()
        elif response.waiting:
            response.fail(TimedOut(f"silent for too long ({self._phase})", phase=self._phase))
            self.abort()

    def _note_closed(self) -> None:
        if self.state is not CLOSED:
            self.state = CLOSED
            self._watchdog.stop()
            self._owner.was_closed(self)


def _parser_complaint(error: Exception) -> str:
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
    return str(cause or error) or type(error).__name__


def _lost_complaint(response: Response, exc: Exception | None) -> str:
    how = "reset" if exc is not None else "closed"
    when = "before an answer" if response.status == 0 else "in the middle of the answer"
    return f"the connection was {how} {when}"

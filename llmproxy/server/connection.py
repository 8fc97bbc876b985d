"""The answering half of a client connection, on uvicorn's httptools protocol.

Only requests for the admin application become ASGI cycles. All others go from the parser straight
to the gateway, which writes to the connection (docs/decisions/002). This class adds what uvicorn
lacks: timeouts for heads, bodies and idle connections, caps on both, strict framing, and it cancels
a call at once when its client leaves. What the client sends is followed by request_reader.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Any, assert_never, cast
from urllib.parse import unquote

from uvicorn.config import Config as ServerConfig
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from llmproxy.aio.watchdog import Watchdog
from llmproxy.app import App, error_answer
from llmproxy.calls import Request
from llmproxy.errors import ClientError
from llmproxy.server import closing
from llmproxy.server.request import IncomingRequest
from llmproxy.server.request_reader import IDLE, ReadState, RequestReader
from llmproxy.server.response_writer import ConnectionLost, ResponseWriter, whole_response

# Bytes waiting for a client that does not read. Above this, its upstream is paused.
WRITE_HIGH_WATER_BYTES = 32 * 1024
# How long a client may be silent while what it sends is thrown away (`body_progress_s` in all), and
# how long it may take to read the end of an answer that was cut.
LINGER_S = 2.0


class ServerConnection(HttpToolsProtocol):
    """One client connection. One request is answered at a time; pipelined ones wait.

    `_answering` is the request being answered, None between answers. `_task` runs its call (None:
    it is over, or uvicorn runs it). `_closing`: the answer under way is the last one.
    """

    proven_names: tuple[str, ...] = ()

    def __init__(self, config: ServerConfig, server_state: ServerState) -> None:
        super().__init__(config, server_state, app_state={})
        self.parser = None  # type: ignore[assignment]  # the reader has its own
        self._app = cast("App", config.loaded_app)
        self._watchdog = Watchdog(self.loop, self._expired)
        self._answering: IncomingRequest | None = None
        self._waiting: deque[IncomingRequest] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writer: ResponseWriter | None = None
        self._closing = False
        self.peer = ""
        self.gone = False

    # ---- asyncio's callbacks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self._reader = RequestReader(self, self.flow, self._app)
        # A socket for IPv6 and IPv4 writes the latter's addresses as the former's.
        self.peer = self.client[0].removeprefix("::ffff:") if self.client else ""
        self._watchdog.expire_at(monotonic() + self._app.timeouts.header_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._watchdog.stop()
        self._reader.close()
        if self._task is not None:
            leave = None if self._writer is None else self._writer.on_leave
            (leave or self._task.cancel)()
        self._writer = None  # a cycle that only the garbage collector would find
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        before = reader.state
        error = reader.feed(data)
        if error is not None:
            self._reject(error)
        elif reader.state is not IDLE:
            self._watch_progress(before)

    # ---- the reader's callbacks: see RequestHandler

    def request_ready(self, request: IncomingRequest) -> None:
        if self._answering is None:
            self.start(request)
        else:
            if not self._waiting:
                waiting = self._waiting
                closing.watch_for_leaving(self.transport, lambda: bool(waiting))
            self._waiting.append(request)
            self.flow.pause_reading()

    def request_drained(self, request: IncomingRequest) -> None:
        self._go_on(request)

    def send_continue(self, request: IncomingRequest) -> None:
        if self._answering is None or self._answering is request:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # ---- one answer after the other

    def start(self, request: IncomingRequest) -> None:
        """Answer a request."""
        self._answering = request
        self._watchdog.suspend()
        body = request.body
        if request.control and body.error is None:
            self._start_asgi(request)
            return
        parsed = Request(
            request.method,
            request.path,
            request.query,
            request.headers,
            body if body.streamed else body.take(),
            self.peer,
            request.received_at,
            request.from_browser,
            self.proven_names,
        )
        writer = self._writer = ResponseWriter(self, request.method, request.http_version)
        # Named, because asyncio spends time on a name for a task that has none.
        serving = self._app.serve(parsed, writer, body.error)
        self._task = asyncio.Task(serving, loop=self.loop, name="call")

    def _start_asgi(self, request: IncomingRequest) -> None:
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": request.http_version,
            "server": self.server,
            "client": (self.peer, self.client[1]) if self.client else None,
            "scheme": self.scheme or "http",
            "root_path": self.root_path,
            "headers": request.headers,
            "state": self.app_state.copy(),
            "method": request.method,
            "path": unquote(request.path.decode("latin-1")),
            "raw_path": request.path,
            "query_string": request.query,
        }
        self.cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=request.keep_alive and not self._closing,
            on_response=self.response_finished,
        )
        self.cycle.body = bytearray(request.body.take())
        self.cycle.more_body = False
        self.cycle.message_event.set()
        self._start_asgi_task(self.cycle, self.app)

    @property
    def closes_after_answer(self) -> bool:
        """Whether the connection ends with the answer under way, which then must announce it."""
        return self._closing or self._answering is None or not self._answering.keep_alive

    def response_finished(self) -> None:
        """Go on to the next request: the last byte of an answer is with the transport."""
        self.server_state.total_requests += 1
        self._task = None
        request = self._answering
        if request is None:
            return
        if request.body.complete:
            self._go_on(request)
            return
        self._answering = None
        self._reader.answered_early(monotonic() + self._app.timeouts.body_progress_s)
        self.flow.resume_reading()
        self._watchdog.expire_at(monotonic() + LINGER_S)

    def _go_on(self, request: IncomingRequest) -> None:
        """Answer the next request or wait for one: `request` is complete and answered."""
        self._answering = None
        if self._closing or not request.keep_alive:
            self._close()
        elif self._waiting:
            self.start(self._waiting.popleft())
        else:
            self.flow.resume_reading()
            timeouts = self._app.timeouts
            wait_s = timeouts.keep_alive_s if self._reader.state is IDLE else timeouts.header_s
            self._watchdog.expire_at(monotonic() + wait_s)

    def shutdown(self) -> None:
        """Close the connection, after the answer under way. Called by uvicorn when it drains."""
        self._closing = True
        if self._answering is None:
            self._close()
        elif self._writer is not None and self._writer.on_drain is not None:
            self._writer.on_drain()
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    def hand_over(self, protocol: asyncio.BaseProtocol) -> tuple[bytes, ConnectionLost]:
        """Let another protocol go on. Return what `ResponseWriter.upgrade` does."""
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        self.flow.resume_reading()
        if self._closing:  # the server has begun to drain meanwhile
            self.loop.call_soon(self.shutdown)
        return self._reader.after_upgrade or b"", self.connection_lost

    def cut(self) -> None:
        """Close the connection in the middle of an answer."""
        closing.cut(self.transport, LINGER_S)

    def _close(self) -> None:
        closing.close(self.transport, self._app.timeouts.body_progress_s)

    def cancel_call(self) -> None:
        """Cancel the call under way. Called by the server when the time for draining is over."""
        if self._task is not None:
            self._task.cancel()

    # ---- timeouts and errors; request_reader.py has the table

    def _watch_progress(self, before: ReadState) -> None:
        """Set the deadline for the next read: a read has ended within a request."""
        timeouts = self._app.timeouts
        match self._reader.state:
            case ReadState.HEAD:
                if before is not ReadState.HEAD:  # one deadline for a whole head
                    self._watchdog.expire_at(monotonic() + timeouts.header_s)
            case ReadState.BODY:
                self._watchdog.expire_at(monotonic() + timeouts.body_progress_s)
            case ReadState.DRAIN:
                self._watchdog.expire_at(min(monotonic() + LINGER_S, self._reader.drain_until))
            case ReadState.IDLE | ReadState.DISCARD | ReadState.CLOSED:
                pass

    def _expired(self) -> None:
        """Act on a deadline that has passed."""
        timeouts = self._app.timeouts
        reader = self._reader
        match reader.state:
            case ReadState.IDLE:
                if self._answering is None:
                    self._close()
            case ReadState.HEAD:
                if self._answering is None:  # else it is a pipelined one, and may take its time
                    message = f"The request head was not complete after {timeouts.header_s:g} s."
                    self._reject(_too_slow(message))
            case ReadState.BODY:
                if self.flow.read_paused:
                    self._watchdog.expire_at(monotonic() + timeouts.body_progress_s)
                else:
                    seconds = timeouts.body_progress_s
                    self._end_body(
                        _too_slow(f"The request body stopped arriving for {seconds:g} s.")
                    )
            case ReadState.DRAIN | ReadState.DISCARD:
                self._close()
            case ReadState.CLOSED:
                pass
            case unreachable:
                assert_never(unreachable)

    def _end_body(self, error: ClientError) -> None:
        request = self._reader.request
        if request is not None:
            request.body.fail(error)
            if not request.started:
                request.started = True
                self.request_ready(request)

    def _reject(self, error: ClientError) -> None:
        """Answer outside any call, and close: what follows on this connection is not understood."""
        self._closing = True
        self._reader.discard(error)
        if self._answering is None and not self.transport.is_closing():
            self.transport.write(whole_response(*error_answer(error)))
            if self.transport.can_write_eof():  # TLS cannot
                self.transport.write_eof()
            self._watchdog.expire_at(monotonic() + LINGER_S)


def _too_slow(message: str) -> ClientError:
    return ClientError(message, status=408, code="request_timeout")

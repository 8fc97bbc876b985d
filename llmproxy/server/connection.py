"""The door: uvicorn's httptools protocol, with the data plane answered directly.

For everything but the operator's pages no ASGI cycle is built: the parsed request goes to the
story and the story writes to the connection (docs/decisions/002). The door adds what uvicorn
lacks: timeouts for heads, bodies and idle connections, caps, strict framing, and it sees at once
when a client leaves. One request at a time is answered per connection; pipelined ones wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config as ServerConfig
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from llmproxy.aio.watchdog import Watchdog
from llmproxy.app import App, error_answer
from llmproxy.calls import Headers, Request
from llmproxy.errors import ClientError
from llmproxy.server.request import IncomingRequest
from llmproxy.server.response_writer import ResponseWriter

# What a client that does not read may leave with us before its upstream is paused.
WRITE_HIGH_WATER_BYTES = 32 * 1024
# After an answer that came before the end of the request's body: how long the rest is read and
# thrown away. Closing at once would reset the connection, and the client might lose the answer.
LINGER_S = 2.0


class ServerConnection(HttpToolsProtocol):
    """One client connection. Owns its requests; the App is shared by all."""

    def __init__(
        self,
        config: ServerConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # Uvicorn is lenient about bytes after "Connection: close"; we are not.
        self.parser = httptools.HttpRequestParser(self)
        self._app = cast("App", config.loaded_app)
        self._timeouts = self._app.timeouts
        self._max_head_bytes = self._app.max_header_bytes
        self._watchdog = Watchdog(self.loop, self._expired)
        self._reading_head = True
        self._head_bytes = 0
        self._arriving: IncomingRequest | None = None  # its body is not complete
        self._answering: IncomingRequest | None = None
        self._waiting: deque[IncomingRequest] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writer: ResponseWriter | None = None
        self._discarding = False  # what comes is not understood and thrown away
        self._last = False  # no further request on this connection
        self.peer = ""
        self.gone = False

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self.peer = self.client[0] if self.client else ""
        self._watchdog.expire_at(monotonic() + self._timeouts.header_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._watchdog.stop()
        if self._arriving is not None:
            self._arriving.fail(ClientError("The client closed the connection.", status=400))
        if self._task is not None:
            leave = None if self._writer is None else self._writer.on_leave
            (leave or self._task.cancel)()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.gone or self._discarding:
            return
        head_begins = self._head_bytes == 0
        if self._reading_head:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # answered by `_refuse`; what follows is not HTTP
        except httptools.HttpParserError as error:
            self._malformed(error)
            return
        if self._reading_head:
            if self._head_bytes > self._max_head_bytes:
                self._reject(_head_too_large(self._max_head_bytes))
            elif head_begins and self._head_bytes:
                self._watchdog.expire_at(monotonic() + self._timeouts.header_s)
        elif self._arriving is not None and not self._arriving.complete:
            self._watchdog.expire_at(monotonic() + self._timeouts.body_progress_s)

    # ---- the parser's side

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers: Headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self._reading_head = False
        incoming = self._arriving = IncomingRequest(self, self.url, self.headers, self.parser)
        self.headers = []  # trailers land in a list that nobody reads
        if self._head_bytes > self._max_head_bytes and incoming.head_bytes() > self._max_head_bytes:
            incoming.refusal = _head_too_large(self._max_head_bytes)
        elif self.parser.should_upgrade():
            incoming.refusal = ClientError(
                "This proxy does not upgrade connections: no WebSockets or HTTP/2 here yet.",
                status=501,
                code="upgrade_not_supported",
            )
        incoming.direct = not self._app.is_control_path(incoming.path)
        incoming.max_bytes = self._app.max_body_bytes
        incoming.check_length()
        if incoming.refusal is not None or (incoming.direct and incoming.streamed):
            self._ready(incoming)
        if (
            incoming.expects_continue
            and incoming.refusal is None
            and self._answering
            in (
                None,
                incoming,
            )
        ):
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        incoming = self._arriving
        if incoming is not None:
            incoming.add(body)
            if incoming.refusal is not None and not incoming.started:
                self._ready(incoming)

    def on_message_complete(self) -> None:
        incoming = self._arriving
        if incoming is None:
            return
        incoming.end()
        self._arriving = None
        self._reading_head = True
        self._head_bytes = 0
        if not incoming.started:
            self._ready(incoming)
        elif self._answering is not incoming and incoming not in self._waiting:
            self._answered(incoming)  # answered early; now its body is read, too

    # ---- one request after the other

    def _ready(self, incoming: IncomingRequest) -> None:
        incoming.started = True
        if self._answering is None:
            self._start(incoming)
        else:
            self._waiting.append(incoming)
            self.flow.pause_reading()

    def _start(self, incoming: IncomingRequest) -> None:
        self._answering = incoming
        self._watchdog.rest()
        if not incoming.direct and incoming.refusal is None:
            self._start_asgi(incoming)
            return
        request = Request(
            incoming.method,
            incoming.path,
            incoming.query,
            incoming.headers,
            incoming if incoming.streamed else incoming.take_body(),
            self.peer,
            incoming.received_at,
        )
        writer = self._writer = ResponseWriter(self, incoming)
        # Named, because a task without a name costs the making of one.
        serving = self._app.serve(request, writer, incoming.refusal)
        self._task = asyncio.Task(serving, loop=self.loop, name="call")

    def _start_asgi(self, incoming: IncomingRequest) -> None:
        path = unquote(incoming.path.decode("latin-1"))
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": incoming.http_version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "root_path": self.root_path,
            "headers": incoming.headers,
            "state": self.app_state.copy(),
            "method": incoming.method,
            "path": path,
            "raw_path": incoming.path,
            "query_string": incoming.query,
        }
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=incoming.keep_alive and not self._last,
            on_response=self.on_response_complete,
        )
        self.cycle.body = bytearray(incoming.take_body())
        self.cycle.more_body = False
        self.cycle.message_event.set()
        self._start_asgi_task(self.cycle, self.app)

    def on_response_complete(self) -> None:
        """Called by uvicorn's cycle at the end of an ASGI answer."""
        if self._answering is not None:
            self.response_finished(self._answering)

    def response_finished(self, incoming: IncomingRequest) -> None:
        """Called once per answer, when its last byte was handed to the transport."""
        self.server_state.total_requests += 1
        self._task = None
        if incoming.complete:
            self._answered(incoming)
            return
        incoming.discard()
        self._answering = None
        self.flow.resume_reading()
        self._watchdog.expire_at(monotonic() + LINGER_S)

    def _answered(self, incoming: IncomingRequest) -> None:
        self._answering = None
        if self._last or not incoming.keep_alive:
            self.transport.close()
        elif self._waiting:
            self._start(self._waiting.popleft())
        else:
            self.flow.resume_reading()
            self._watchdog.expire_at(monotonic() + self._timeouts.keep_alive_s)

    def closes_after(self, incoming: IncomingRequest) -> bool:
        """Whether the connection ends with this answer (it must then be announced)."""
        return self._last or not incoming.keep_alive

    def shutdown(self) -> None:
        """Called by uvicorn when it drains: idle connections close, busy ones after the answer."""
        self._last = True
        if self._answering is None:
            self.transport.close()
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    def cancel_call(self) -> None:
        """Called by the server when the time for draining is over."""
        if self._task is not None:
            self._task.cancel()

    # ---- refusals

    def _expired(self) -> None:
        incoming = self._arriving
        if self._discarding or (incoming is not None and incoming.abandoned):
            self.transport.close()  # lingered long enough
        elif incoming is not None and self.flow.read_paused:
            self._watchdog.expire_at(monotonic() + self._timeouts.body_progress_s)
        elif incoming is not None:
            too_slow = ClientError(
                f"The request body stopped arriving for {self._timeouts.body_progress_s:g} s.",
                status=408,
                code="request_timeout",
            )
            incoming.fail(too_slow)
            if not incoming.started:
                incoming.refusal = too_slow
                self._ready(incoming)
        elif self._answering is not None:
            return  # the head of a pipelined request may take its time
        elif self._head_bytes:
            seconds = self._timeouts.header_s
            self._reject(
                ClientError(
                    f"The request head was not complete after {seconds:g} s.",
                    status=408,
                    code="request_timeout",
                )
            )
        else:
            self.transport.close()

    def _malformed(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        if cause is not None and not isinstance(cause, ValueError):
            self.logger.error("The door failed to read a request.", exc_info=cause)
        self._reject(
            ClientError(
                f"This is not a well-formed HTTP/1.1 request: {cause or error}.",
                status=400,
                code="malformed_request",
            )
        )

    def _reject(self, error: ClientError) -> None:
        """Answer outside any call, and close: what follows on this connection is not understood."""
        self._last = self._discarding = True
        if self._answering is None and not self.transport.is_closing():
            status, headers, body = error_answer(error)
            self.transport.write(ResponseWriter.rendered(status, headers, body))
            self.transport.write_eof()
            self._watchdog.expire_at(monotonic() + LINGER_S)
        elif self._arriving is not None:
            self._arriving.fail(error)


def _head_too_large(max_bytes: int) -> ClientError:
    return ClientError(
        f"The request head is larger than {max_bytes} bytes: send fewer or smaller headers.",
        status=431,
        code="request_header_fields_too_large",
    )

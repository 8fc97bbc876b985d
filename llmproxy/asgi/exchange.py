"""A request of any ASGI server: `Request` and `Client` on ASGI's `receive` and `send`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from llmproxy.app import App
from llmproxy.calls import Headers, Request
from llmproxy.errors import ClientError
from llmproxy.protocols import Message, Receive, Scope, Send


async def serve_asgi(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one ASGI request; cancel the call when the client leaves."""
    if app.is_control_path(scope["raw_path"]):
        await app(scope, receive, send)
        return
    headers: Headers = [(name.lower(), value) for name, value in scope["headers"]]
    kind = next((value for name, value in headers if name == b"content-type"), b"")
    incoming = _Incoming(receive)
    refusal: ClientError | None = None
    body: bytes | _Incoming = incoming
    if not kind.lower().startswith(b"multipart/"):
        body, refusal = await _whole(incoming, app.max_body_bytes)
    client = scope.get("client")
    request = Request(
        scope["method"],
        scope["raw_path"],
        scope["query_string"],
        headers,
        body,
        client[0] if client else "",
        monotonic(),
        any(name in (b"origin", b"sec-fetch-site") for name, _ in headers),
    )
    reply = _ASGIReply(send)
    call = asyncio.ensure_future(app.serve(request, reply, refusal))
    leaving = asyncio.ensure_future(incoming.disconnected())
    try:
        await asyncio.wait((call, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        reply.connected = not leaving.done()
        leaving.cancel()
        if not call.done():
            (reply.on_leave or call.cancel)()
        await asyncio.gather(call, leaving, return_exceptions=True)
    await reply.flush()


async def _whole(incoming: _Incoming, max_bytes: int) -> tuple[bytes, ClientError | None]:
    chunks: list[bytes] = []
    size = 0
    while chunk := await incoming.read():
        size += len(chunk)
        if size > max_bytes:
            return b"", ClientError(
                f"The request body is larger than {max_bytes} bytes.",
                status=413,
                code="request_too_large",
            )
        chunks.append(chunk)
    return b"".join(chunks), None


class _Incoming:
    """A request body read from ASGI's `receive`, which also reports that the client has left."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._complete = asyncio.Event()

    async def read(self) -> bytes:
        """Return the next bytes, b"" at the end."""
        while not self._complete.is_set():
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientError("The client closed the connection.")
            if not message.get("more_body", False):
                self._complete.set()
            if message.get("body"):
                return bytes(message["body"])
        return b""

    async def disconnected(self) -> None:
        """Wait until the client has left. Only reads `receive` once the body is complete."""
        await self._complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


class _ASGIReply:
    """A Client on ASGI's `send`. Writes are collected, and sent at the next `drain`."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: list[Message] = []
        self._broken = False
        self.on_leave: Callable[[], object] | None = None
        self.started = False
        self.connected = True

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Begin the answer."""
        self.started = True
        framed = list(headers)
        if length is not None and status not in (204, 304):
            framed.append((b"content-length", b"%d" % length))
        self._messages.append({"type": "http.response.start", "status": status, "headers": framed})

    def write(self, chunk: bytes) -> bool:
        """Collect body bytes. Always asks for a drain: ASGI's back-pressure is in `send`."""
        if chunk:
            self._messages.append({"type": "http.response.body", "body": chunk, "more_body": True})
        return False

    def finish(self) -> None:
        """Complete the body."""
        self._messages.append({"type": "http.response.body", "body": b"", "more_body": False})

    def abort(self) -> None:
        """Cut the connection after what was sent."""
        self._broken = True

    def keep_call(self, on_leave: Callable[[], None]) -> None:
        """Call back when the client leaves, and do not cancel the call."""
        self.on_leave = on_leave

    async def drain(self) -> None:
        """Send what was collected."""
        messages, self._messages = self._messages, []
        for message in messages:
            await self._send(message)

    async def flush(self) -> None:
        """Send the rest. Raises for an incomplete body, so that the server cuts the connection."""
        if self.connected:
            await self.drain()
        if self._broken:
            raise ConnectionAbortedError("the upstream's body could not be completed")

"""What arrives at the door: one request's head, and its body as it comes in."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

import httptools

from llmproxy.errors import ClientError

if TYPE_CHECKING:
    from llmproxy.calls import Headers
    from llmproxy.server.connection import ServerConnection

# An upload that the story has not read yet: beyond this, the client is told to wait (TCP).
HIGH_WATER_BYTES = 256 * 1024
FRAMING_HEADERS = frozenset(
    (b"content-length", b"content-type", b"expect", b"host", b"transfer-encoding")
)
METHODS = {name.encode("ascii"): name for name in ("GET", "HEAD", "POST", "DELETE", "OPTIONS")}


class IncomingRequest:
    """One request: its head, and its body as it arrives. Also the story's BodyReader."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_content_length",
        "_failure",
        "_size",
        "_waiter",
        "abandoned",
        "complete",
        "direct",
        "expects_continue",
        "headers",
        "http_version",
        "keep_alive",
        "max_bytes",
        "method",
        "path",
        "query",
        "received_at",
        "refusal",
        "started",
        "streamed",
    )

    def __init__(
        self, connection: ServerConnection, url: bytes, headers: Headers, parser: Any
    ) -> None:
        self._connection = connection
        self.method = METHODS.get(method := parser.get_method()) or method.decode("ascii")
        self.http_version: str = parser.get_http_version()
        self.keep_alive: bool = self.http_version != "1.0" and parser.should_keep_alive()
        if url[:1] != b"/":
            url = _origin_form(url)
        self.path, _, self.query = url.partition(b"?")
        self.headers = headers
        self.received_at = monotonic()
        self.direct = True
        self.refusal: ClientError | None = None
        self.started = False
        self.complete = False
        self.abandoned = False  # answered early: the rest of the body goes nowhere
        self.max_bytes = 0
        self._chunks: list[bytes] = []
        self._size = 0
        self._failure: ClientError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.streamed = False
        self.expects_continue = False
        self._content_length = 0
        hosts = 0
        for name, value in headers:
            if name not in FRAMING_HEADERS:
                continue
            if name == b"content-length":
                self._content_length = int(value)
            elif name == b"content-type":
                self.streamed = value[:10].lower() == b"multipart/"
            elif name == b"host":
                hosts += 1
            elif name == b"transfer-encoding":
                self._check_coding(value)
            else:
                self.expects_continue = value.lower() == b"100-continue"
        if hosts != 1 or self.http_version != "1.1":
            self._check_version(hosts)

    def head_bytes(self) -> int:
        """The size of the head, without counting body bytes that came in the same read."""
        return len(self.path) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _check_version(self, hosts: int) -> None:
        """HTTP/1.1 with one Host (RFC 9112, 3.2), or HTTP/1.0, where it may be missing."""
        if self.http_version not in ("1.0", "1.1"):
            self._refuse(f"HTTP/{self.http_version} is not spoken here; use HTTP/1.1.", 505)
        elif hosts > 1 or (hosts == 0 and self.http_version == "1.1"):
            self._refuse(f"Expected one Host header, found {hosts}.", 400)

    def _refuse(self, message: str, status: int) -> None:
        self.keep_alive = False
        self.refusal = ClientError(message, status=status, code="malformed_request")

    def _check_coding(self, value: bytes) -> None:
        """Only `chunked` is ours to undo; anything else is a way to smuggle (RFC 9112, 6.1)."""
        if value.lower() != b"chunked":
            self._refuse(f"The transfer-encoding must be 'chunked', found {value!r}.", 400)

    def check_length(self) -> None:
        """Refuse a body that announces itself as too large, before it is read."""
        if not self.streamed and self._content_length > self.max_bytes and self.refusal is None:
            self.refusal = self._too_large()

    def take_body(self) -> bytes:
        """The whole body (empty if the request is refused)."""
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def discard(self) -> None:
        """Nobody will read the rest."""
        self.abandoned = True
        self._chunks.clear()

    # ---- the parser's side

    def add(self, chunk: bytes) -> None:
        """Body bytes are here."""
        if self.abandoned or self.refusal is not None:
            return
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self.streamed:
            if self._size > HIGH_WATER_BYTES:
                self._connection.flow.pause_reading()
            self._wake()
        elif self._size > self.max_bytes:
            self.refusal = self._too_large()
            self._chunks.clear()

    def end(self) -> None:
        """The body is complete."""
        self.complete = True
        self._wake()

    def fail(self, failure: ClientError) -> None:
        """The body will never be complete."""
        self._failure = self._failure or failure
        self._wake()

    # ---- the story's side: BodyReader

    async def read(self) -> bytes:
        """The next bytes of a streamed body; b"" at the end."""
        while not self._chunks:
            if self.complete:
                return b""
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._size = 0
        body = self.take_body()
        self._connection.flow.resume_reading()
        return body

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _too_large(self) -> ClientError:
        return ClientError(
            f"The request body is larger than {self.max_bytes} bytes, the limit of this proxy "
            "(general_settings.max_body_bytes).",
            status=413,
            code="request_too_large",
        )


def _origin_form(url: bytes) -> bytes:
    """Path and query of an absolute-form target (RFC 9112, 3.2.2); `*` stays as it is."""
    if url == b"*":
        return url
    parsed = httptools.parse_url(url)
    return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")

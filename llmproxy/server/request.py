"""One client request: its head, parsed and checked, and its body while it arrives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

import httptools
import msgspec

from llmproxy.errors import ClientError
from llmproxy.streams import Headers

# Unread bytes of a streamed upload. Above this, reading stops and TCP slows the client down.
HIGH_WATER_BYTES = 256 * 1024
FROM_BROWSERS = frozenset((b"origin", b"sec-fetch-site"))
UNUSUAL_HEADERS = FROM_BROWSERS | {b"expect", b"transfer-encoding"}
METHODS = {name.encode("ascii"): name for name in ("GET", "HEAD", "POST", "DELETE", "OPTIONS")}


class ReadFlow(Protocol):
    """What a body needs of its connection: to stop reading and to go on. Both may be repeated."""

    def pause_reading(self) -> None:
        """Stop reading from the client."""

    def resume_reading(self) -> None:
        """Read from the client again."""


class RequestBody:
    """The body of one request: the server adds bytes to it, the call takes or reads them.

    A body that is not streamed is collected whole, up to `max_bytes`. A streamed one (multipart)
    has no limit, and is the call's `BodyReader`: it stops the connection's reading while the call
    is behind. `error` is why the request is refused, or why its body will never be complete.
    """

    __slots__ = (
        "_chunks",
        "_flow",
        "_size",
        "_waiter",
        "complete",
        "error",
        "max_bytes",
        "streamed",
    )

    def __init__(self, flow: ReadFlow, max_bytes: int) -> None:
        self._flow = flow
        self.max_bytes = max_bytes
        self._chunks: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self.streamed = False
        self.complete = False
        self.error: ClientError | None = None

    def add(self, chunk: bytes) -> None:
        """Keep bytes that have arrived."""
        if self.error is not None:
            return
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self.streamed:
            if self._size > HIGH_WATER_BYTES:
                self._flow.pause_reading()
            self._wake()
        elif self._size > self.max_bytes:
            self._chunks.clear()
            self.refuse_size()

    def end(self) -> None:
        """Note that the body is complete."""
        self.complete = True
        if self._waiter is not None:
            self._wake()

    def fail(self, error: ClientError) -> None:
        """Note why the request is refused or its body stays incomplete; the first error counts."""
        self.error = self.error or error
        self._wake()

    def refuse_size(self) -> None:
        """Refuse the request because its body is larger than `max_bytes`."""
        message = (
            f"The request body is larger than {self.max_bytes} bytes, the limit of this proxy "
            "(general_settings.max_body_bytes)."
        )
        self.fail(ClientError(message, status=413, code="request_too_large"))

    def take(self) -> bytes:
        """Return and forget what has arrived: all of it, once the body is complete."""
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def read(self) -> bytes:
        """Return the next bytes of a streamed body; b"" at the end.

        Raises ClientError if the body cannot be completed.
        """
        while not self._chunks:
            if self.complete:
                return b""
            if self.error is not None:
                raise self.error
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._size = 0
        chunk = self.take()
        self._flow.resume_reading()
        return chunk

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class IncomingRequest(msgspec.Struct, eq=False):
    """A request whose head is complete.

    `path` and `query` are raw, as the client sent them. `control`: the admin application answers
    it. `started`: its call has begun, or waits for the answers to earlier requests.
    """

    method: str
    http_version: str
    path: bytes
    query: bytes
    headers: Headers
    received_at: float  # seconds of time.monotonic
    keep_alive: bool
    control: bool
    body: RequestBody
    from_browser: bool = False
    expects_continue: bool = False
    started: bool = False

    def head_bytes(self) -> int:
        """Return the size of the head, without body bytes that arrived in the same read."""
        return len(self.path) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def refuse(self, message: str, status: int, code: str = "malformed_request") -> None:
        """Answer this request with an error of ours, and close the connection afterwards."""
        self.keep_alive = False
        self.body.fail(ClientError(message, status=status, code=code))

    def refuse_upgrade(self) -> None:
        """Refuse to speak another protocol: with 426 where it is WebSockets, which `App` may serve
        after all; Codex goes on over HTTP then."""
        kinds = [value.lower() for name, value in self.headers if name == b"upgrade"]
        is_websocket = (self.method, self.http_version, kinds) == ("GET", "1.1", [b"websocket"])
        message = "This proxy does not upgrade this connection: go on over HTTP/1.1."
        self.refuse(message, 426 if is_websocket else 501, "upgrade_not_supported")


# RFC 3986, 3.2.2, without what no resolver knows; empty for an absolute-form target.
_HOST = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+(?:%25\w+)?\])(?::[0-9]{0,5})?"
)


def parse_head(
    url: bytes,
    headers: Headers,
    parser: Any,
    body: RequestBody,
    is_control_path: Callable[[bytes], bool],
) -> IncomingRequest:
    """Return the request whose head llhttp has parsed, refused if its framing is ambiguous.

    llhttp accepts what a proxy must not pass on: missing or repeated Host headers, other versions,
    and transfer codings but `chunked`, a way to smuggle requests (RFC 9112, 3.2 and 6.1).
    """
    target = url if url[:1] == b"/" else _origin_form(url)
    path, _, query = target.partition(b"?")
    method = parser.get_method()
    version = parser.get_http_version()
    request = IncomingRequest(
        METHODS.get(method) or method.decode("ascii"),
        version,
        path,
        query,
        headers,
        monotonic(),
        version != "1.0" and parser.should_keep_alive(),
        is_control_path(path),
        body,
    )
    named = dict(headers)
    kind = named.get(b"content-type")
    if kind is not None and not request.control:
        body.streamed = kind[:10].lower() == b"multipart/"
    if not UNUSUAL_HEADERS.isdisjoint(named):
        _note_unusual(request)
    host = named.get(b"host")
    if version != "1.1" or host is None or len(named) < len(headers):
        _check_version(request)
    if host is not None and not _HOST.fullmatch(host):
        request.refuse("The Host header is no host with an optional port.", 400)
    if not body.streamed and int(named.get(b"content-length", 0)) > body.max_bytes:
        body.refuse_size()
    return request


def _note_unusual(request: IncomingRequest) -> None:
    """Note what only some clients send, and refuse a transfer coding but `chunked`."""
    for name, value in request.headers:
        if name in FROM_BROWSERS:
            request.from_browser = True
        elif name == b"expect":
            # RFC 9110, 10.1.1: what an HTTP/1.0 client expects is ignored.
            is_continue = value.lower() == b"100-continue"
            request.expects_continue = request.http_version != "1.0" and is_continue
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            request.refuse(f"The transfer-encoding must be 'chunked', found {value!r}.", 400)


def _check_version(request: IncomingRequest) -> None:
    """Refuse a version that is not HTTP/1, and a number of Host headers that it does not allow."""
    version = request.http_version
    hosts = sum(name == b"host" for name, _ in request.headers)
    if version not in ("1.0", "1.1"):
        request.refuse(f"HTTP/{version} is not supported; use HTTP/1.1.", 505)
    elif hosts != 1 and (hosts or version == "1.1"):  # HTTP/1.0 does without a Host
        request.refuse(f"Expected one Host header, found {hosts}.", 400)


def _origin_form(url: bytes) -> bytes:
    """Return path and query of an absolute-form target (RFC 9112, 3.2.2), or `*` as it is."""
    if url == b"*":
        return url
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        raise ValueError("its target is no path, as CONNECT's is not") from None
    return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")

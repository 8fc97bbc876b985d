"""The answer to one request, as its connection receives it and its call reads it.

It holds the bytes that have arrived and were not read, and stops the connection's reading when they
are many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol

import msgspec

from llmproxy.errors import GatewayError, Phase, TimedOut, client_too_slow
from llmproxy.streams import Content, Headers, PourTimes, Sink

# Unread bytes of one response. Above this, reading stops; a stalled stream may hold 256 KiB in all.
HIGH_WATER_BYTES = 64 * 1024


def content_of(headers: Headers) -> Content:
    """Return what the headers say about the body; of a header given twice, the last one counts.

    Raises ValueError for a transfer coding that a proxy would have to undo.
    """
    named = dict(headers)
    chunked = b"transfer-encoding" in named
    if chunked:
        for name, value in headers:
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                raise ValueError(f"unsupported transfer-encoding {value!r}")
    kind = named.get(b"content-type", b"").lower()
    encoding = named.get(b"content-encoding", b"")
    if encoding and encoding.lower() == b"identity":
        encoding = b""
    length = int(named[b"content-length"]) if b"content-length" in named else None
    return Content(
        not kind or kind.startswith(b"application/json"),
        not encoding and kind.startswith(b"text/event-stream"),
        encoding,
        length,
        chunked or length is not None,
        named.get(b"x-request-id"),
    )


class ReadableConnection(Protocol):
    """What a response needs of its connection."""

    def watch(self, until: float, phase: Phase | None) -> None:
        """Fail the response if nothing arrives before `until` while it is awaited.

        `phase`: of the failure; None: wake the reader instead.
        """

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read again."""

    def abort(self) -> None:
        """Close at once."""


class _Pour(msgspec.Struct):
    """A body on its way to a sink. Moments are seconds of `time.monotonic`.

    `write` is the sink's method, looked up once. `behind`: the sink has asked for a pause.
    `last_at`: when the last chunk came, at first `began_at`. `quiet_from`: that, or when `on_quiet`
    was called last.
    """

    sink: Sink
    write: Callable[[bytes], bool]
    times: PourTimes
    began_at: float
    last_at: float
    quiet_from: float = 0.0
    behind: bool = False


class Response:
    """The answer to one request. Read by one task, which must `close()` it in any case.

    `status` is 0 until the head has arrived; `headers` and `content` are valid from then on.
    `_ended`: the body is complete, or the reader has closed the response.
    """

    __slots__ = (
        "_buffered",
        "_chunks",
        "_connection",
        "_ended",
        "_failure",
        "_loop",
        "_paused",
        "_pour",
        "_waiter",
        "content",
        "headers",
        "status",
    )
    usage = None  # the body shows it

    def __init__(self, connection: ReadableConnection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self.status = 0
        self.headers: Headers = []
        self.content: Content
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._ended = False
        self._paused = False
        self._failure: GatewayError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pour: _Pour | None = None

    @property
    def waiting(self) -> bool:
        """Whether the call waits for bytes. If not, silence is not the origin's fault."""
        return self._waiter is not None

    @property
    def exhausted(self) -> bool:
        """Whether the body is complete and has been read to its end."""
        return self._ended and not self._chunks

    async def head(self, until: float, renewed: Callable[[], float] | None = None) -> None:
        """Wait for status and headers. `renewed`: a later moment, after a sign of life (1xx)."""
        await self._wait(until, "first byte")
        while self.status == 0:
            if renewed is not None:
                until = max(until, renewed())
            await self._wait(until, "first byte")

    async def chunk(self, until: float, phase: Phase = "idle") -> bytes:
        """Return all body bytes that have arrived, or wait for the next; b"" at the end.

        Raises TimedOut at `until`, UpstreamFailed when the body cannot be completed.
        """
        while not self._chunks:
            if self._ended:
                return b""
            await self._wait(until, phase)
        chunks, self._chunks, self._buffered = self._chunks, [], 0
        self._read_on()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def chunk_by(self, moment: float, until: float, phase: Phase) -> bytes | None:
        """Return what `chunk` returns, but None at `moment` if nothing has come until then."""
        if moment >= until:
            return await self.chunk(until, phase)
        while not (self._chunks or self._ended):
            if monotonic() >= moment:
                return None
            await self._wait(moment, None)
        return await self.chunk(until, phase)

    async def pour(self, sink: Sink, times: PourTimes, on_quiet: Callable[[], None]) -> None:
        """Write the rest of the body to a sink, from within the connection's reads.

        No task is woken for a chunk: waking one would cost more than relaying the chunk, and so
        would moving a deadline. Raises TimedOut after a silence of `idle_s` or at `until`,
        UpstreamFailed when the body cannot be completed, ClientError when the sink takes nothing
        for `stalled_s`, or until `until`.
        """
        now = monotonic()
        pour = self._pour = _Pour(sink, sink.write, times, now, now)
        while True:
            self.flush()
            if pour.behind:
                await self._drain(pour)
            elif self._ended:
                return
            else:
                await self._wait(self._look_at_silence(pour, on_quiet), None)

    def _look_at_silence(self, pour: _Pour, on_quiet: Callable[[], None]) -> float:
        """Act on the silence so far; return when to look again. Raises TimedOut."""
        times, now = pour.times, monotonic()
        silent_at = pour.last_at + times.idle_s
        if pour.last_at == pour.began_at:
            silent_at = max(silent_at, times.first_by)
        silent_at = min(silent_at, times.until)
        if now >= silent_at and self._failure is None:
            self._connection.abort()
            raise TimedOut("silent for too long (idle)", phase="idle")
        pour.quiet_from = max(pour.quiet_from, pour.last_at)
        if now >= pour.quiet_from + times.quiet_s:
            pour.quiet_from = now
            on_quiet()
        return min(silent_at, pour.quiet_from + times.quiet_s)

    async def _drain(self, pour: _Pour) -> None:
        times = pour.times
        try:
            async with asyncio.timeout_at(min(monotonic() + times.stalled_s, times.until)):
                await pour.sink.drain()
        except TimeoutError:
            raise client_too_slow() from None
        pour.behind = False
        pour.last_at = monotonic()
        self._read_on()

    def close(self) -> None:
        """Release the response. If it is not complete, its connection cannot be used again."""
        if not self._ended:
            self._ended = True
            self._connection.abort()

    def _wait(self, until: float, phase: Phase | None) -> asyncio.Future[None]:
        """Return a future that ends when more has arrived. Raises the failure, if there is one."""
        if self._failure is not None:
            raise self._failure
        self._connection.watch(until, phase)
        waiter = self._waiter = self._loop.create_future()
        return waiter

    # ---- called by the connection

    def begin(self, status: int, headers: Headers, content: Content) -> None:
        """Note that the head has arrived."""
        self.status, self.headers, self.content = status, headers, content
        self._wake()

    def add(self, chunk: bytes) -> None:
        """Keep body bytes that have arrived."""
        self._chunks.append(chunk)
        if self._pour is not None:
            return  # `flush` follows at the end of this read
        self._buffered += len(chunk)
        if self._buffered > HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            self._connection.pause()
        self._wake()

    def flush(self) -> None:
        """Write what one read has brought to the sink, if there is one."""
        pour = self._pour
        if pour is None or not self._chunks:
            return
        chunks, self._chunks = self._chunks, []
        if pour.write(chunks[0] if len(chunks) == 1 else b"".join(chunks)):
            pour.last_at = monotonic()
            return
        pour.behind = True
        if not self._paused and not self._ended:
            self._paused = True
            self._connection.pause()
        self._wake()

    def end(self) -> None:
        """Note that the body is complete."""
        self._ended = True
        self._read_on()  # the connection goes back to its origin, where it must be reading
        self._wake()

    def fail(self, failure: GatewayError) -> None:
        """Note that the answer cannot be completed. The first failure is raised to the reader."""
        if not self._ended and self._failure is None:
            self._failure = failure
            self._wake()

    def look_up(self) -> None:
        """Wake the reader: a moment has come that it waits for, or a sign of life."""
        self._wake()

    def _read_on(self) -> None:
        if self._paused:
            self._paused = False
            self._connection.resume()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

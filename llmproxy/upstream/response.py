"""The answer to one request, as its connection receives it and its call reads it.

It holds what has arrived and not been read, and stops the connection's reading when that is much.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Protocol

from llmproxy.errors import ClientError, GatewayError, Phase
from llmproxy.streams import Content, Headers, Sink

# A consumer this far behind stops the reading; a stalled stream may hold 256 KiB in all.
HIGH_WATER_BYTES = 64 * 1024


class ReadControl(Protocol):
    """What a response needs of its connection."""

    def watch(self, until: float, phase: Phase) -> None:
        """Fail the response if nothing comes until then."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read on."""

    def abort(self) -> None:
        """Close at once."""


class Response:
    """The answer to one request. Read by one task; `close()` it whatever happens."""

    __slots__ = (
        "_behind",
        "_buffered",
        "_chunks",
        "_connection",
        "_ended",
        "_failure",
        "_idle_s",
        "_loop",
        "_paused",
        "_pour_until",
        "_sink",
        "_waiter",
        "_watch_again_at",
        "bodiless",
        "content",
        "headers",
        "status",
    )

    def __init__(
        self, connection: ReadControl, loop: asyncio.AbstractEventLoop, *, bodiless: bool
    ) -> None:
        self._connection = connection
        self._loop = loop
        self.bodiless = bodiless
        self.status = 0
        self.headers: Headers = []
        self.content: Content  # there once the status is
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._ended = False
        self._paused = False
        self._failure: GatewayError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self._behind = False  # the sink wants a pause
        self._idle_s = self._pour_until = self._watch_again_at = 0.0

    @property
    def waiting(self) -> bool:
        """Somebody is waiting for bytes (so a silence is the origin's fault, not ours)."""
        return self._waiter is not None

    @property
    def exhausted(self) -> bool:
        """The body is complete and all of it has been read."""
        return self._ended and not self._chunks

    async def head(self, until: float) -> None:
        """Wait for status and headers."""
        while self.status == 0:
            await self._wait(until, "first byte")

    async def chunk(self, until: float, phase: Phase = "idle") -> bytes:
        """All body bytes that have arrived, or the next; b"" at the end.

        Raises TimedOut at `until`, UpstreamFailed when the body cannot be completed.
        """
        while not self._chunks:
            if self._ended:
                return b""
            await self._wait(until, phase)
        chunks, self._chunks, self._buffered = self._chunks, [], 0
        self._read_on()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def pour(self, sink: Sink, *, idle_s: float, until: float) -> None:
        """Hand the rest of the body to a sink, straight from the connection's reads.

        No task is woken for a piece: that would cost more than relaying it.
        """
        self._sink, self._idle_s, self._pour_until = sink, idle_s, until
        while True:
            self.flush()
            if self._behind:
                await self._drained(sink, until)
            elif self._ended:
                return
            else:
                await self._wait(min(monotonic() + idle_s, until), "idle")

    async def _drained(self, sink: Sink, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await sink.drain()
        except TimeoutError:
            raise ClientError(
                "The client stopped reading the answer.", status=408, code="client_too_slow"
            ) from None
        self._behind = False
        self._read_on()

    def close(self) -> None:
        """Done with it. A connection whose response is not complete cannot be used again."""
        if not self._ended:
            self._ended = True
            self._connection.abort()

    def _wait(self, until: float, phase: Phase) -> asyncio.Future[None]:
        """Something to await until more is here. Raises what has gone wrong."""
        if self._failure is not None:
            raise self._failure
        self._connection.watch(until, phase)
        waiter = self._waiter = self._loop.create_future()
        return waiter

    # ---- called by the connection

    def begin(self, status: int, headers: Headers, content: Content) -> None:
        """The head is here."""
        self.status, self.headers, self.content = status, headers, content
        self._wake()

    def add(self, chunk: bytes) -> None:
        """Body bytes are here."""
        self._chunks.append(chunk)
        if self._sink is not None:
            return  # `flush` follows at the end of this read
        self._buffered += len(chunk)
        if self._buffered > HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            self._connection.pause()
        self._wake()

    def flush(self) -> None:
        """A read is over: hand what it brought to the sink, if there is one."""
        sink = self._sink
        if sink is None or not self._chunks:
            return
        chunks, self._chunks = self._chunks, []
        if sink.write(chunks[0] if len(chunks) == 1 else b"".join(chunks)):
            now = monotonic()
            if now >= self._watch_again_at:
                self._watch_silence(now)
            return
        self._behind = True
        if not self._paused and not self._ended:
            self._paused = True
            self._connection.pause()
        self._wake()

    def _watch_silence(self, now: float) -> None:
        """Note that the origin speaks: not at every piece, but sixteen times per allowed silence.

        So a silence ends a sixteenth early at most, and never late: an SDK that waits just a
        little longer than we do must hear of it from us.
        """
        self._watch_again_at = now + self._idle_s / 16
        self._connection.watch(min(now + self._idle_s, self._pour_until), "idle")

    def end(self) -> None:
        """The body is complete."""
        self._ended = True
        self._read_on()  # the connection goes back to its origin: it must be reading
        self._wake()

    def fail(self, failure: GatewayError) -> None:
        """It cannot be completed."""
        if not self._ended and self._failure is None:
            self._failure = failure
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

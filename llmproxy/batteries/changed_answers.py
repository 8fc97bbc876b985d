"""Answers of endpoints that are changed on their way to the client, held whole or as they come.

Batteries that change answers (`translation`, `stream_usage`) say what the client gets of the bytes;
how these are read, and written to the client, is here.
"""

from __future__ import annotations

from collections.abc import Callable

from llmproxy.errors import Phase, UpstreamFailed
from llmproxy.operations import Usage
from llmproxy.streams import Content, Headers, PourTimes, Sink, UpstreamResponse

MAX_HELD_BYTES = 64 * 1024 * 1024  # of an answer that is held to be changed


class HeldAnswer:
    """An answer that is read to its end before any of it is passed on."""

    __slots__ = ("_response", "_taken", "content", "headers", "status", "usage")

    def __init__(self, response: UpstreamResponse, headers: Headers, content: Content) -> None:
        self._response = response
        self._taken = False
        self.usage: Usage | None = None
        self.status = response.status
        self.headers = headers
        self.content = content

    @property
    def exhausted(self) -> bool:
        """Whether the answer has been taken."""
        return self._taken

    async def chunk(self, until: float, phase: Phase = "idle") -> bytes:
        """Return the whole answer, b"" after it. Raises an UpstreamError."""
        if self._taken:
            return b""
        body = bytearray()
        while piece := await self._response.chunk(until, phase):
            body += piece
            if len(body) > MAX_HELD_BYTES:
                raise UpstreamFailed("an answer that is too long to be changed")
        self._taken = True
        return self.passed_on(bytes(body))

    async def chunk_by(self, moment: float, until: float, phase: Phase) -> bytes | None:
        """Return what `chunk` returns."""
        return await self.chunk(until, phase)

    async def pour(self, sink: Sink, times: PourTimes, on_quiet: Callable[[], None]) -> None:
        """Write the answer to a sink."""
        if not sink.write(await self.chunk(times.until)):
            await sink.drain()

    def close(self) -> None:
        """Release the response."""
        self._response.close()

    def passed_on(self, body: bytes) -> bytes:
        """Return what the client gets of a body. Raises an UpstreamError."""
        return body


class ChangedStream:
    """A stream that is changed by `passed`, as it comes."""

    __slots__ = ("_ended", "_response", "content", "headers", "status")

    def __init__(self, response: UpstreamResponse, headers: Headers, content: Content) -> None:
        self._response = response
        self._ended = False
        self.status = response.status
        self.headers = headers
        self.content = content

    def passed(self, chunk: bytes) -> bytes:
        """Return what the client gets of these bytes; b"" is the end of the stream."""
        raise NotImplementedError

    @property
    def usage(self) -> Usage | None:
        """The usage that the endpoint has reported; None if the client sees it as well."""
        return None

    @property
    def exhausted(self) -> bool:
        """Whether the stream has been read to its end."""
        return self._ended

    async def chunk(self, until: float, phase: Phase = "idle") -> bytes:
        """Return the next bytes, b"" at the end. Raises an UpstreamError."""
        while not self._ended:
            chunk = await self._response.chunk(until, phase)
            self._ended = not chunk
            if passed := self.passed(chunk):
                return passed
        return b""

    async def chunk_by(self, moment: float, until: float, phase: Phase) -> bytes | None:
        """Return what `chunk` returns, but None at `moment` if nothing has come until then."""
        while not self._ended:
            chunk = await self._response.chunk_by(moment, until, phase)
            if chunk is None:
                return None
            self._ended = not chunk
            if passed := self.passed(chunk):
                return passed
        return b""

    async def pour(self, sink: Sink, times: PourTimes, on_quiet: Callable[[], None]) -> None:
        """Write the rest of the stream to a sink as it arrives, at the sink's pace."""
        if self._ended:
            return
        await self._response.pour(_ChangingSink(sink, self.passed), times, on_quiet)
        self._ended = True
        if (end := self.passed(b"")) and not sink.write(end):
            await sink.drain()

    def close(self) -> None:
        """Release the response."""
        self._response.close()


class _ChangingSink:
    """Changes what is written to it, for the sink behind."""

    __slots__ = ("_change", "_sink")

    def __init__(self, sink: Sink, change: Callable[[bytes], bytes]) -> None:
        self._sink = sink
        self._change = change

    def write(self, chunk: bytes) -> bool:
        """Write body bytes. False means that the reader is behind."""
        changed = self._change(chunk)
        return self._sink.write(changed) if changed else True

    async def drain(self) -> None:
        """Wait until the reader has caught up."""
        await self._sink.drain()

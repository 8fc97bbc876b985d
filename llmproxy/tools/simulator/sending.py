"""Send an answer: head, framing, pace, and what each fault does to it.

It writes to a `ByteWriter` and returns how the connection has to end; it never closes one itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from enum import Enum
from http import HTTPStatus
from typing import Protocol

from llmproxy.tools.simulator.exchange import Framing, Header, Reply
from llmproxy.tools.simulator.faults import Fault

MISSING_BYTES = 64  # `bad-length` announces so many more than it sends
FLUSH_S = 0.01  # so that what was written leaves before an RST
USUAL_AFTER_CHUNKS = 3

_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


class Ending(Enum):
    """What happens to the connection after an answer."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"


class ByteWriter(Protocol):
    """The writing side of a connection."""

    def write(self, chunk: bytes) -> None:
        """Send bytes."""

    async def drain(self) -> None:
        """Wait until the peer has read enough."""


def whole(reply: Reply, framing: Framing) -> bytes:
    """Return a whole answer as bytes."""
    length = (b"content-length", b"%d" % len(reply.body))
    head = _head(reply, [length], framing)
    return head + reply.body if framing.body else head


async def send(reply: Reply, fault: Fault | None, framing: Framing, writer: ByteWriter) -> Ending:
    """Write an answer with its fault; the caller cancels this when the peer is gone."""
    if fault is not None:
        ending = await _instead(fault, writer)
        if ending is not None:
            return ending
        if fault.kind == "trickle":
            writer = _Trickle(writer, fault.pause_s)
    if reply.first_s:
        await asyncio.sleep(reply.first_s)
    if reply.events is None or not framing.body:
        return await _send_whole(reply, fault, framing, writer)
    return await _send_stream(reply, reply.events, fault, framing, writer)


async def _instead(fault: Fault, writer: ByteWriter) -> Ending | None:
    """Apply a fault that replaces the answer; return None if an answer follows."""
    match fault.kind:
        case "reset-before":
            return Ending.RESET
        case "close-before":
            return Ending.CLOSE
        case "stall-before":
            return await _stall()
        case "malformed-status":
            writer.write(b"HTTP/1.1 2x0 Fine\r\ncontent-length: 0\r\n\r\n")
            return Ending.CLOSE
        case "raw":
            for piece in fault.raw:
                if isinstance(piece, str):
                    writer.write(piece.encode("latin-1"))
                    await writer.drain()
                else:
                    await asyncio.sleep(piece)
            if fault.then == "stall":
                return await _stall()
            return await _after_flush(Ending(fault.then))
    return None


async def _send_whole(
    reply: Reply, fault: Fault | None, framing: Framing, writer: ByteWriter
) -> Ending:
    body = reply.body if framing.body else b""
    kind = fault.kind if fault else ""
    if fault and kind == "malformed-chunk":
        pieces = [body[: fault.after or len(body) // 2], b""]
        return await _send_stream(reply, pieces, Fault(kind, after=1), framing, writer)
    promised = len(reply.body) + (MISSING_BYTES if kind == "bad-length" else 0)
    head = _head(reply, [(b"content-length", b"%d" % promised)], framing)
    if fault and kind in _STRIKES:
        writer.write(head + body[: len(body) // 2 if fault.after is None else fault.after])
        return await _strike(fault, writer)
    writer.write(head + body)
    await writer.drain()
    return Ending.CLOSE if kind == "bad-length" or not framing.keep_alive else Ending.KEEP


async def _send_stream(
    reply: Reply,
    events: Iterable[bytes],
    fault: Fault | None,
    framing: Framing,
    writer: ByteWriter,
) -> Ending:
    kind = fault.kind if fault else ""
    chunked = framing.chunked
    if kind == "bad-length":
        events, chunked = list(events), False
        extra = (b"content-length", b"%d" % (sum(map(len, events)) + MISSING_BYTES))
        head = _head(reply, [extra], framing)
    else:
        head = _head(reply, [(b"transfer-encoding", b"chunked")] if chunked else [], framing)
    writer.write(head)
    strikes_at = None
    if fault and kind in _STRIKES:
        strikes_at = USUAL_AFTER_CHUNKS if fault.after is None else fault.after
    pace = _Pace(reply.piece_s)
    for number, event in enumerate(events):
        if fault and number == strikes_at:
            return await _strike(fault, writer)
        if number:
            await pace.wait()
        writer.write(b"%x\r\n%b\r\n" % (len(event), event) if chunked else event)
        await writer.drain()
    if fault and strikes_at is not None:
        return await _strike(fault, writer)
    if chunked:
        writer.write(b"0\r\n\r\n")
        await writer.drain()
    return Ending.KEEP if chunked and framing.keep_alive else Ending.CLOSE


_STRIKES = frozenset(("reset-mid", "close-mid", "stall-mid", "malformed-chunk"))


async def _strike(fault: Fault, writer: ByteWriter) -> Ending:
    """End an answer before it is complete."""
    await writer.drain()
    match fault.kind:
        case "reset-mid":
            return await _after_flush(Ending.RESET)
        case "stall-mid":
            return await _stall()
        case "malformed-chunk":
            writer.write(b"zz\r\nthis is no chunk\r\n")
    return Ending.CLOSE


async def _after_flush(ending: Ending) -> Ending:
    if ending is Ending.RESET:
        await asyncio.sleep(FLUSH_S)
    return ending


async def _stall() -> Ending:
    """Send nothing until the peer leaves, which cancels this."""
    await asyncio.get_running_loop().create_future()
    return Ending.CLOSE


def _head(reply: Reply, extra: list[Header], framing: Framing) -> bytes:
    reason = _REASONS.get(reply.status, b"Unknown")
    lines = [b"HTTP/1.1 %d %b" % (reply.status, reason)]
    lines.extend(b"%b: %b" % header for header in reply.headers)
    lines.extend(b"%b: %b" % header for header in extra)
    if not framing.keep_alive:
        lines.append(b"connection: close")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


class _Pace:
    """Even steps in time: a late step does not delay the next ones."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._time = asyncio.get_running_loop().time
        self._next_at = self._time()

    async def wait(self) -> None:
        """Wait for the next step; without one only let other tasks run."""
        self._next_at += self._step_s
        await asyncio.sleep(max(0.0, self._next_at - self._time()) if self._step_s else 0)


class _Trickle:
    """A writer that sends byte by byte."""

    def __init__(self, writer: ByteWriter, pause_s: float) -> None:
        self._writer = writer
        self._pause_s = pause_s
        self._held = b""

    def write(self, chunk: bytes) -> None:
        self._held += chunk

    async def drain(self) -> None:
        held, self._held = self._held, b""
        for position in range(len(held)):
            self._writer.write(held[position : position + 1])
            await asyncio.sleep(self._pause_s)

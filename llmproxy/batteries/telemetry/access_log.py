"""The access log: one line per call, never a body, never a key.

Lines are encoded in batches and written by a thread, so a slow or missing reader delays no call;
lines beyond a bound are dropped and counted. Failed attempts and endpoint states go to `logging`.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from select import PIPE_BUF
from time import gmtime, strftime

import msgspec

from llmproxy.batteries.money import charged_usd
from llmproxy.batteries.telemetry.batch_writer import BatchWriter
from llmproxy.errors import RequestRejected
from llmproxy.events import (
    AttemptEnded,
    CallFinished,
    EndpointChange,
    EndpointStateChanged,
    Listener,
)
from llmproxy.record import Basis, CacheResult
from llmproxy.steps import FAILED, in_words

FLUSH_S = 0.1
# Calls that are encoded at once, which is cheaper than one by one: a pause of some 0.1 ms.
BATCH = 64
# Bounds memory while the reader is stuck.
MAX_PENDING_LINES = 20_000
# A path may be as long as a head. A line of the log should fit into PIPE_BUF.
MAX_REQUEST_CHARS = 1_000

# Control characters from U+0080 on, in UTF-8: a path may hold them, and a terminal would obey them.
_C1 = re.compile(rb"\xc2[\x80-\x9f]")

# What happens to calls, and the state as the dashboard and `top` name it.
IN_WORDS = {
    EndpointChange.OPEN: "gets no calls{wait} (breaker open)",
    EndpointChange.HALF_OPEN: "gets one call, to see whether it answers (breaker half-open)",
    EndpointChange.CLOSED: "gets calls again (breaker closed)",
    EndpointChange.COOLING: "gets no calls{wait} (cooling down)",
    EndpointChange.MISCONFIGURED: "gets no calls{wait} (misconfigured)",
    EndpointChange.SUSPECT: "looks misconfigured, and still gets calls",
    EndpointChange.DRAINED: "gets no new calls (drained)",
    EndpointChange.ENABLED: "gets calls again (enabled)",
    EndpointChange.CLEARED: "gets calls again (cooldown ended)",
}

logger = logging.getLogger("llmproxy")


class AccessLog(Listener):
    """Writes a line for each finished call. Owns the lines that are not written yet.

    `write` is called in a thread with whole lines, and may block. `human`: lines for people
    instead of JSON. `calls`: False = no lines for calls. `steps`: each line lists its call's steps.
    `close()` writes the rest. `dropped`: lines that were lost.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        *,
        human: bool,
        calls: bool = True,
        steps: bool = False,
    ) -> None:
        self._write = write
        self._calls = calls
        self._steps = steps
        self._render = _text_line if human else _json_line
        self._clock = _Clock()
        self._events: list[CallFinished] = []
        self._pending: list[bytes] = []
        self._writer = BatchWriter(
            self._take, self._write_block, every_s=FLUSH_S, name="llmproxy-log"
        )
        self.dropped = 0

    def call_finished(self, event: CallFinished) -> None:
        """Write the call's line within `FLUSH_S`, unless the reader is stuck."""
        if not self._calls:
            return
        self._events.append(event)
        if len(self._events) >= BATCH:
            self._encode_events()
        self._writer.schedule()

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Warn of a failed attempt, which the client may never notice.

        A rejected request is the client's own mistake; the call's line says enough about it.
        """
        attempt = event.attempt
        failed = attempt.outcome is FAILED
        if not failed or attempt.reason == RequestRejected.reason:
            return
        logger.warning(
            "%s %s: attempt at %s failed after %.0f ms (%s): %s; %s",
            event.call_id,
            event.group,
            attempt.endpoint,
            attempt.took_s * 1000,
            attempt.reason,
            attempt.message,
            attempt.verdict,
        )

    def endpoint_state_changed(self, event: EndpointStateChanged) -> None:
        """Log a change of an endpoint's state, as an error if a person must act."""
        needs_a_person = event.state in (EndpointChange.MISCONFIGURED, EndpointChange.SUSPECT)
        wait = f" for {event.for_s:.0f} s" if event.for_s else ""
        logger.log(
            logging.ERROR if needs_a_person else logging.WARNING,
            "%s %s %s: %s",
            event.group,
            event.endpoint,
            IN_WORDS[event.state].format(wait=wait),
            event.why,
        )

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _encode_events(self) -> None:
        events, self._events = self._events, []
        room = MAX_PENDING_LINES - len(self._pending)
        self.dropped += max(0, len(events) - room)
        for event in events[:room]:
            time = self._clock.text(event.ended_at)
            self._pending.append(self._render(event, time, steps=self._steps))

    def _take(self) -> bytes:
        self._encode_events()
        pending, self._pending = self._pending, []
        block = b"\n".join(pending) + b"\n" if pending else b""
        return _C1.sub(b"?", block) if b"\xc2" in block else block

    def _write_block(self, block: bytes) -> None:
        """Runs in the thread."""
        try:
            self._write(block)
        except OSError:
            self.dropped += block.count(b"\n")


def write_to(descriptor: int) -> Callable[[bytes], object]:
    """Return a function that writes whole blocks to a file descriptor."""

    def write(block: bytes) -> None:
        view = memoryview(block)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


def write_lines_to(descriptor: int) -> Callable[[bytes], object]:
    """Return such a function for a descriptor that several processes write to.

    Each line stays whole: a write to a pipe of at most PIPE_BUF bytes is not interleaved with those
    of other processes (POSIX, write()), nor cut in two when the writer is killed. So a block is
    written in pieces that end with a line. A lock would be lost with a process that is stopped
    while it holds it.
    """
    write = write_to(descriptor)

    def write_pieces(block: bytes) -> None:
        for piece in _pieces(block):
            write(piece)

    return write_pieces


def _pieces(block: bytes) -> Iterator[bytes]:
    """Yield as few pieces as possible, of whole lines and up to PIPE_BUF bytes where they fit."""
    begin = 0
    while len(block) - begin > PIPE_BUF:
        end = block.rfind(b"\n", begin, begin + PIPE_BUF) + 1 or block.index(b"\n", begin) + 1
        yield block[begin:end]
        begin = end
    yield block[begin:]


class _Clock:
    """Formats Unix time; the part that changes once a second is kept."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def text(self, wall: float) -> str:
        """Return RFC 3339 in UTC with milliseconds."""
        second, millisecond = divmod(int(wall * 1000), 1000)
        if second != self._second:
            self._second = second
            self._text = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        return f"{self._text}.{millisecond:03d}Z"


class LogLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A call's line in JSON, in this order. From `input_tokens` on, what has no value is left out.

    A struct, because its encoding is cheaper than a dictionary's.
    """

    time: str
    id: str | None
    request: str
    group: str | None
    endpoint: str | None
    status: int
    attempts: int
    first_byte_ms: float | None
    total_ms: float
    overhead_ms: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    client: str | None = None
    caller: str | None = None
    cache: str | None = None
    error: str | None = None
    steps: str | None = None
    error_source: str | None = None
    upstream_id: str | None = None
    close_code: int | None = None
    team: str | None = None
    key: str | None = None
    tags: tuple[str, ...] | None = None
    end_user: str | None = None
    cost_usd: float | None = None
    cost_basis: str | None = None


def _json_line(event: CallFinished, time: str, *, steps: bool) -> bytes:
    """Render a call as JSON."""
    record, first_byte_s = event.record, event.first_byte_s
    request, answer = record.request, record.answer
    usage, cost = answer.usage, record.cost
    return _encode(
        LogLine(
            time,
            request.id or None,
            request.line[:MAX_REQUEST_CHARS],
            record.group,
            record.endpoint,
            answer.status,
            record.attempts,
            None if first_byte_s is None else _ms(first_byte_s),
            _ms(event.total_s),
            _ms(event.overhead_s),
            None if usage is None else usage.input_tokens,
            None if usage is None else usage.output_tokens,
            None if usage is None else usage.cached_tokens,
            request.client,
            request.caller,
            record.cache,
            answer.error,
            in_words(record.steps) if steps else None,
            answer.error_source,
            None if answer.request_id is None else answer.request_id.decode("latin-1"),
            answer.close_code,
            request.team,
            request.key,
            request.tags or None,
            request.end_user,
            charged_usd(cost),
            None if cost is None or cost.basis is Basis.FREE else cost.basis,
        )
    )


def _text_line(event: CallFinished, time: str, *, steps: bool) -> bytes:
    """Render a call as a line for people."""
    record, answer = event.record, event.record.answer
    usage, first_byte_s = answer.usage, event.first_byte_s
    tokens = "" if usage is None else f", {usage.input_tokens}+{usage.output_tokens} tokens"
    answerer = record.endpoint or ("the cache" if record.cache is CacheResult.HIT else "-")
    tries = f" after {record.attempts} attempts" if record.attempts > 1 else ""
    error = f" [{answer.error}]" if answer.error else ""
    steps_text = f" | {in_words(record.steps)}" if steps else ""
    first = "" if first_byte_s is None else f", first byte {_ms(first_byte_s):.0f} ms"
    return (
        f"{time[11:23]} {answer.status} {record.request.line[:MAX_REQUEST_CHARS]} "
        f"{record.group or '-'} -> {answerer}{tries}: {_ms(event.total_s):.0f} ms{first}, "
        f"overhead {_ms(event.overhead_s):.2f} ms{tokens}{error}{steps_text}"
    ).encode()


def _ms(seconds: float) -> float:
    """Return milliseconds with three decimals (cheaper than `round`)."""
    return int(seconds * 1_000_000) / 1000


_encode = msgspec.json.Encoder().encode

"""What flows: a client's request, read once at the door into named types."""

from __future__ import annotations

import msgspec

from llmproxy.operations import Replay, Route
from llmproxy.streams import BodyReader, Upload, UpstreamResponse
from llmproxy.streams import Header as Header  # noqa: PLC0414 - what reads a call reads headers
from llmproxy.streams import Headers as Headers  # noqa: PLC0414

_LINE = b": ".join


def header_lines(headers: Headers) -> bytes:
    """Headers as they go over the wire, each line ended by CRLF. The loop is C's."""
    return b"\r\n".join([*map(_LINE, headers), b""])


class Request(msgspec.Struct, frozen=True):
    """A parsed HTTP request, before anything in it has been understood.

    `path` and `query` are raw, as they came; `client` is the peer's address.
    """

    method: str
    path: bytes
    query: bytes
    headers: Headers
    body: bytes | BodyReader
    client: str
    received_at: float  # seconds of time.monotonic


class Call(msgspec.Struct, frozen=True):
    """One client request, understood as far as routing needs it.

    `model` is the name that the client asked for (body, form, path or query), None if it named
    none; `model_in_body` is what stands in the body itself. `stream`: the client asked for a
    stream. `account_bound`: it uses ids that live in one account. `body` is decoded (no
    content-encoding).

    `patience_s` is the longest silence that the client's SDK bears; so `deadline_at` ends the
    attempts, and an answer under way may go on until `ends_at`. Moments are seconds of
    `time.monotonic`. `priority`: a higher one is served first when calls must wait. `caller`: whose
    key the client showed; None where nobody needs one.
    """

    id: str
    method: str
    route: Route
    query: bytes
    headers: Headers
    body: bytes | Upload
    model: str | None
    model_in_body: str | None
    stream: bool
    replay: Replay
    account_bound: bool
    client: str
    received_at: float
    patience_s: float
    deadline_at: float
    ends_at: float
    max_output_tokens: int | None = None
    priority: int = 0
    caller: str | None = None


SAMPLED = 0x01  # of a trace's flags: its spans are recorded


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    """A call's place in a trace: a tree of spans over many processes (rules/trace_context.py).

    `span_id`: the call's own; `parent_id`: the client's, None = the trace begins here. `state`: the
    client's `tracestate`.
    """

    trace_id: str  # 32 hexadecimal digits: too long for a number in msgpack
    span_id: int  # 64 bits, like all of them
    parent_id: int | None
    flags: int
    state: str = ""

    @property
    def sampled(self) -> bool:
        """Its spans are recorded."""
        return bool(self.flags & SAMPLED)

    def attempt_id(self, number: int) -> int:
        """The span of the call's attempt with that number, counted from 1."""
        return self.span_id + number


class RateLimit(msgspec.Struct, frozen=True, gc=False):
    """What a vendor says of one of its limits: so many in all, so many left, and in how many
    seconds it is full again (None = not said)."""

    limit: float
    remaining: float
    reset_s: float | None


class RateLimits(msgspec.Struct, frozen=True, gc=False):
    """What an answer's headers say of the endpoint's limits; None = nothing that is known."""

    requests: RateLimit | None = None
    tokens: RateLimit | None = None


class Accepted(msgspec.Struct, frozen=True):
    """An endpoint has begun to answer a call, and its first meaningful bytes are here.

    `held`: the body so far, not yet sent to the client.
    """

    call: Call
    endpoint: str
    response: UpstreamResponse
    held: bytes

"""The types that flow through the proxy: a request, the call that it asks for, its answer."""

from __future__ import annotations

from math import inf
from typing import Protocol

import msgspec

from llmproxy.operations import Replay, Route, Usage
from llmproxy.streams import BodyReader, Form, Mask, Upload, UpstreamResponse, unmasked
from llmproxy.streams import Header as Header  # noqa: PLC0414 - what reads a call reads headers
from llmproxy.streams import Headers as Headers  # noqa: PLC0414

_LINE = b": ".join


def header_lines(headers: Headers) -> bytes:
    """Return headers as they go over the wire, each line ended by CRLF. The loop runs in C."""
    return b"\r\n".join([*map(_LINE, headers), b""])


class Request(msgspec.Struct, frozen=True):
    """An HTTP request, parsed but not interpreted.

    `path` and `query` are raw bytes as they arrived; `client` is the peer's address.
    `from_browser`: it has an `origin` or a `sec-fetch-site`, which SDKs do not send.
    `proven_names`: those in the certificate that the client has shown.
    """

    method: str
    path: bytes
    query: bytes
    headers: Headers
    body: bytes | BodyReader
    client: str
    received_at: float  # seconds of time.monotonic
    from_browser: bool
    proven_names: tuple[str, ...] = ()


class Outgoing(msgspec.Struct, frozen=True):
    """A request as it goes upstream.

    `head` holds the rendered header lines (each ended by CRLF) without framing; `target` is path
    and query. `fresh`: use a new connection, because the request must not be sent twice.
    """

    method: bytes
    target: bytes
    head: bytes
    body: bytes | Upload
    fresh: bool = False


class Waiting(Protocol):
    """A client that waits for a stream, and can be shown signs of life before it begins."""

    def show(self, comments: bytes) -> None:
        """Pass an endpoint's comments on: whole events without data."""


class Patience(msgspec.Struct, eq=False):
    """How long a client waits for the beginning of its answer. Signs of life prolong it.

    Attributes:
        deadline_at: No attempt begins or goes on after this moment; an answer that has begun does.
        at_most: The latest `deadline_at`, however many signs of life the client sees.
        client: The client while it waits for a stream; None: it cannot be shown anything.
    """

    deadline_at: float
    at_most: float = inf
    client: Waiting | None = None


class Call(msgspec.Struct, frozen=True):
    """One client request, interpreted as far as routing needs it.

    Moments are seconds of `time.monotonic`.

    Attributes:
        id: Our id of the call.
        body: Decoded: without content-encoding.
        model: The model that the client named in body, form, path or query; None if it named none.
        model_in_body: The name in the body itself.
        stream: The client asked for a stream.
        bound_to_account: The call uses ids that belong to one account.
        client: The peer's address.
        patience_s: The longest silence that the client's SDK tolerates, in seconds.
        patience: How long the client waits for the beginning of its answer.
        ends_at: An answer under way is cut off at this moment, which only the client can set;
            without it `inf`.
        priority: When calls wait, a higher one is served first.
        caller: Name of the caller whose key the client sent; None without configured callers.
        thinks: Whether the body asks the model to reason before it answers; None: it says nothing.
    """

    id: str
    method: str
    route: Route
    query: bytes
    headers: Headers
    body: bytes | Form
    model: str | None
    model_in_body: str | None
    stream: bool
    replay: Replay
    bound_to_account: bool
    client: str
    received_at: float
    patience_s: float
    patience: Patience
    ends_at: float
    max_output_tokens: int | None = None
    priority: int = 0
    caller: str | None = None
    thinks: bool | None = None

    @property
    def deadline_at(self) -> float:
        """No attempt begins or goes on after this moment; an answer that has begun does."""
        return self.patience.deadline_at

    @property
    def happens_once(self) -> bool:
        """Whether what an endpoint has begun belongs to the client, and cannot be begun again."""
        return self.replay is Replay.UNSAFE or self.bound_to_account

    @property
    def hedgeable(self) -> bool:
        """Whether it may be sent to a second endpoint while the first one works on it."""
        return (
            self.replay is Replay.SAFE
            and not self.bound_to_account
            and isinstance(self.body, bytes)
        )


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    """A call's position in a distributed trace, a tree of spans (tracing/trace_context.py).

    `span_id`: of the call; `parent_id`: of the client, None = the trace begins here. `state`: the
    client's `tracestate`.
    """

    trace_id: str  # 32 hexadecimal digits: too long for a number in msgpack
    span_id: int  # 64 bits, as all span ids
    parent_id: int | None
    flags: int
    state: str = ""

    def attempt_id(self, number: int) -> int:
        """Return the span id of an attempt; `number` counts from 1."""
        return self.span_id + number


class Accepted(msgspec.Struct, frozen=True):
    """An answer that an endpoint has begun, with its first meaningful bytes.

    `held`: the body so far, not sent to the client yet. `mask`: for what quotes a request.
    `content_by`: when the first content must come, where nothing else is held but what comes
    before it (0: there is content). `usage`: of a whole answer, if it reports one.
    """

    call: Call
    endpoint: str
    response: UpstreamResponse
    held: bytes
    mask: Mask = unmasked
    content_by: float = 0.0
    usage: Usage | None = None

"""Protocols for streams of bytes: request bodies, endpoints' answers, and clients.

    client -> BodyReader -> Form (an Upload) -> endpoint
    client <- Client (a Downstream, a Sink) <- UpstreamResponse <- endpoint

These are the lowest protocols of the page that `protocols.py` is; `calls.py` builds on them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from math import inf
from typing import Any, Protocol

import msgspec

from llmproxy.errors import Phase

# Lower-case name and value. Lists keep order and duplicates, so that unknown headers are forwarded
# unchanged.
Header = tuple[bytes, bytes]
Headers = list[Header]
# Returns an endpoint's bytes without what must not be shown.
Mask = Callable[[bytes], bytes]


def unmasked(text: bytes) -> bytes:
    """Return the text as it is: nothing in it is known to be secret."""
    return text


def masked_text(text: str, mask: Mask) -> str:
    """Return a text without what must not be shown."""
    return mask(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


class BodyReader(Protocol):
    """The rest of a request body that is still arriving."""

    async def read(self) -> bytes:
        """Return the next bytes, b"" at the end. Raises ClientError when the client is too slow."""


class Upload(Protocol):
    """A request body that is too big to be held in memory, or not complete yet.

    It can be sent more than once.
    """

    @property
    def length(self) -> int | None:
        """The size of the body in bytes, if the client announced it."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the whole body from its first byte; wait for the client where it must."""

    def renamed(self, model: str) -> Upload:
        """Return the same body under another model name."""


class Form(Upload, Protocol):
    """A multipart form that is still arriving, read until its model is known."""

    @property
    def model(self) -> str | None:
        """The field `model`; None if the form has none."""

    @property
    def stream(self) -> bool:
        """Whether the form asks for a stream (if that field comes before the model's)."""

    def close(self) -> None:
        """Free what is kept of it."""


class Sink(Protocol):
    """A writer of body bytes with back-pressure."""

    def write(self, chunk: bytes) -> bool:
        """Write body bytes. False means that the reader is behind: await `drain()` before more."""

    async def drain(self) -> None:
        """Wait until the reader has caught up."""


class Downstream(Sink, Protocol):
    """Where an answer is written to. The call's task is cancelled when the client leaves."""

    @property
    def connected(self) -> bool:
        """Whether the client is still connected."""

    @property
    def started(self) -> bool:
        """Whether the status line has been written: only the rest of this answer may follow."""

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Begin the answer. `length`: body size in bytes; None = unknown (chunked).

        `headers` carry no framing (content-length, transfer-encoding, connection).
        """

    def finish(self) -> None:
        """Complete the body."""

    def abort(self) -> None:
        """Close the connection, so that the client notices that the body is incomplete."""


class Client(Downstream, Protocol):
    """The Downstream of a client's own connection."""

    def keep_call(self, on_leave: Callable[[], None]) -> None:
        """From now on, call `on_leave` when the client leaves, and do not cancel the task."""


class Content(msgspec.Struct, frozen=True):
    """What the headers of an answer say about its body.

    `json`: JSON, or not specified. `events`: uncompressed server-sent events. `encoding`: b"" =
    none. `length`: bytes, if announced. `framed`: the body does not end with the connection.
    """

    json: bool
    events: bool
    encoding: bytes
    length: int | None
    framed: bool
    request_id: bytes | None  # the vendor's


STALLED_S = 600.0  # a client that reads nothing for so long has stopped


class PourTimes(msgspec.Struct, frozen=True):
    """How long what may take while a body is written to a sink, in seconds.

    `idle_s`: the longest silence between two pieces. `stalled_s`: the longest time in which the
    sink takes nothing. `quiet_s`: the silence after which `on_quiet` is called. Moments of
    `time.monotonic`: the first piece may come until `first_by`; `until` is the end in any case.
    """

    idle_s: float
    stalled_s: float
    quiet_s: float = inf
    until: float = inf
    first_by: float = 0.0


class UpstreamResponse(Protocol):
    """The answer of an endpoint, while it is read.

    `usage`: what the endpoint has reported so far, if the body is not as it wrote it.
    """

    status: int
    headers: Headers
    content: Content

    @property
    def usage(self) -> Any: ...  # noqa: D102 - a Usage, whose module imports this one

    @property
    def exhausted(self) -> bool:
        """Whether the body is complete and has been read to its end."""

    async def chunk(self, until: float, phase: Phase = "idle") -> bytes:
        """Return the next body bytes, b"" at the end. `until`: a moment of `time.monotonic`.

        Raises an UpstreamError when the body cannot be completed.
        """

    async def chunk_by(self, moment: float, until: float, phase: Phase) -> bytes | None:
        """Return what `chunk` returns, but None at `moment` if nothing has come until then."""

    async def pour(self, sink: Sink, times: PourTimes, on_quiet: Callable[[], None]) -> None:
        """Write the rest of the body to a sink as it arrives, at the sink's pace.

        `on_quiet`: called after each `quiet_s` without a chunk. Raises an UpstreamError when the
        body cannot be completed, ClientError when the sink has stalled.
        """

    def close(self) -> None:
        """Release the response. If its body was not read to the end, its connection is closed."""

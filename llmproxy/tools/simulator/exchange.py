"""The values that pass through the vendor: `Received`, then `ApiCall`, then `Reply`.

Nothing here touches a socket. A `Reply` is what to send; `sending.py` adds framing and faults.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import msgspec

Header = tuple[bytes, bytes]
Json = dict[str, object]

JSON_TYPE = (b"content-type", b"application/json")
SSE_TYPE = (b"content-type", b"text/event-stream; charset=utf-8")

_encode = msgspec.json.Encoder().encode


class ApiFlavour(Enum):
    """Whose API a request uses; it follows from the path."""

    OPENAI = "openai"
    AZURE_CLASSIC = "azure-classic"
    AZURE_V1 = "azure-v1"


class Framing(msgspec.Struct, frozen=True):
    """What a request allows in its answer: `chunked` not for HTTP/1.0, a `body` not for HEAD."""

    keep_alive: bool = True
    chunked: bool = True
    body: bool = True


class Received(msgspec.Struct, eq=False):
    """One request as it was sent: header names in their own case and order, the body unchunked."""

    method: str
    target: bytes
    headers: list[Header]
    framing: Framing
    body: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        """Return the value of the first header with a (lower-case) name."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None


class ApiCall(msgspec.Struct, eq=False):
    """A request whose path, query and credential have been checked.

    `operation`: the path after the prefix, for example `chat/completions`. `deployment`: the name
    in Azure's classic path. `refuse`: the answer is to be a refusal (a fault asked for it).
    `limits`: the rate-limit headers of the answer, once the request has been charged.
    """

    flavour: ApiFlavour
    method: str
    operation: str
    deployment: str | None
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    refuse: bool = False
    limits: list[Header] = msgspec.field(default_factory=list)

    @property
    def azure(self) -> bool:
        """Whether it uses one of Azure's two flavours."""
        return self.flavour is not ApiFlavour.OPENAI


class Reply(msgspec.Struct, eq=False):
    """An answer. `events` (each one chunk on the wire) instead of `body`: a stream.

    `output_tokens` sets the pace of a unary answer; `first_s` and `piece_s` are the seconds to
    wait before the first byte and between the pieces of a stream.
    """

    status: int = 200
    headers: list[Header] = msgspec.field(default_factory=list)
    body: bytes = b""
    events: Iterable[bytes] | None = None
    output_tokens: int = 0
    first_s: float = 0.0
    piece_s: float = 0.0


def json_reply(value: object, *, status: int = 200, output_tokens: int = 0) -> Reply:
    """Return a whole JSON answer."""
    return Reply(status, [JSON_TYPE], _encode(value), output_tokens=output_tokens)


def stream_reply(events: Iterable[bytes]) -> Reply:
    """Return an event stream."""
    return Reply(200, [SSE_TYPE, (b"cache-control", b"no-cache")], events=events)


def sse(value: object, event: str | None = None) -> bytes:
    """Encode one server-sent event with a JSON value."""
    named = b"" if event is None else b"event: %b\n" % event.encode()
    return b"%bdata: %b\n\n" % (named, _encode(value))

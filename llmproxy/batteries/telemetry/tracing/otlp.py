"""Writes spans in OTLP's protocol buffers.

Follows version 1 of the definitions in the repository open-telemetry/opentelemetry-proto, below
opentelemetry/proto/: collector/trace/v1/trace_service.proto (ExportTraceServiceRequest),
trace/v1/trace.proto (ResourceSpans, ScopeSpans, Span), common/v1/common.proto (KeyValue, AnyValue)
and resource/v1/resource.proto.

A message is a run of fields, and a field is a tag and a value. The tag is the field's number times
eight, plus the kind of its value: 0 = a varint, 1 = eight bytes, 2 = a length and that many bytes
(a text or another message), 5 = four bytes. Fields are written in the order of their numbers, and
those that have their default are left out, as protobuf's own encoder does: the bytes are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import Literal, NamedTuple

Value = str | int | float | bool
Kind = Literal["server", "client"]

_UINT64 = 2**64 - 1
_fixed64 = Struct("<Q").pack
_double = Struct("<d").pack
_times = Struct("<BQBQ").pack  # each behind its tag
_span_id = Struct(">Q").pack  # the only big-endian one: bytes as in `traceparent`

# Tags and values that are always the same. The numbers are those of Span's fields.
_KINDS: Mapping[Kind, bytes] = {"server": b"\x30\x02", "client": b"\x30\x03"}  # 6: SpanKind
_UNSET, _ERROR = b"\x7a\x00", b"\x7a\x02\x18\x02"  # 15: Status, in it 3: StatusCode
# 16: whether the parent is in another process is known (0x100), and it is (0x200).
_LOCAL_PARENT, _REMOTE_PARENT = b"\x85\x01\x00\x01\x00\x00", b"\x85\x01\x00\x03\x00\x00"


class SpanIds(NamedTuple):
    """Which span it is, of which trace, and below which. `parent_id`: None = the trace begins."""

    trace_id: bytes  # 16 bytes
    span_id: int
    parent_id: int | None
    parent_is_remote: bool
    state: str


def _varint(number: int) -> bytes:
    """Write seven bits a byte, the lowest first; the highest bit says that more follow."""
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)


_FEW = 2048
_SMALL = [_varint(number) for number in range(_FEW)]


def varint(number: int) -> bytes:
    """Return a number as a varint; one below 0 as what 64 bits make of it."""
    return _SMALL[number] if 0 <= number < _FEW else _varint(number & _UINT64)


def sized(message: bytes) -> bytes:
    """Return a message behind its length."""
    size = len(message)
    return (_SMALL[size] if size < _FEW else _varint(size)) + message


def text(value: str) -> bytes:
    """Return a text behind its length. What is no Unicode becomes a question mark."""
    return sized(value.encode("utf-8", "replace"))


@lru_cache(256)  # names are few: ours, and those that an operator gives to the service
def _key(name: str) -> bytes:
    return b"\x0a" + text(name)


@lru_cache(256)
def _before_a_double(name: str) -> bytes:
    key = _key(name)
    return varint(len(key) + 11) + key + b"\x12\x09\x21"


def attribute(name: str, value: Value) -> bytes:
    """Return a KeyValue behind its length."""
    if isinstance(value, str):
        written = b"\x0a" + text(value)
    elif isinstance(value, float):
        return _before_a_double(name) + _double(value)
    elif isinstance(value, bool):
        written = b"\x10\x01" if value else b"\x10\x00"
    else:
        written = b"\x18" + varint(value)
    return sized(_key(name) + b"\x12" + sized(written))


# For values that many spans have. Typed, as 1, 1.0 and True are equal.
recurring_attribute = lru_cache(2048, typed=True)(attribute)


def event(name: str, at: int, attributes: Sequence[bytes]) -> bytes:
    """Return an Event behind its length. `at`: Unix time in nanoseconds."""
    return sized(b"\x09" + _fixed64(at) + b"\x12" + text(name) + _repeated(b"\x1a", attributes))


def span(
    ids: SpanIds,
    name: str,
    kind: Kind,
    *,
    times: tuple[int, int],
    attributes: Sequence[bytes],
    events: Sequence[bytes] = (),
    failed: bool,
) -> bytes:
    """Return a Span behind its length. `times`: its start and end, Unix time in nanoseconds."""
    return sized(
        b"".join(
            (
                b"\x0a\x10" + ids.trace_id,
                b"\x12\x08" + _span_id(ids.span_id),
                b"\x1a" + text(ids.state) if ids.state else b"",
                b"" if ids.parent_id is None else b"\x22\x08" + _span_id(ids.parent_id),
                b"\x2a" + text(name),
                _KINDS[kind],
                _times(0x39, times[0], 0x41, times[1]),
                _repeated(b"\x4a", attributes),
                _repeated(b"\x5a", events),
                _ERROR if failed else _UNSET,
                _REMOTE_PARENT if ids.parent_is_remote else _LOCAL_PARENT,
            )
        )
    )


class RequestWriter:
    """Writes requests of one service. `resource`: what is said of it; `scope`: who made the spans,
    as name and version."""

    def __init__(self, resource: Mapping[str, Value], scope: tuple[str, str]) -> None:
        attributes = [attribute(name, value) for name, value in resource.items()]
        name, version = scope
        self._resource = b"\x0a" + sized(_repeated(b"\x0a", attributes))
        self._scope = b"\x0a" + sized(b"\x0a" + text(name) + b"\x12" + text(version))

    def request(self, spans: Sequence[bytes]) -> bytes:
        """Return an ExportTraceServiceRequest with these spans."""
        scope_spans = self._scope + _repeated(b"\x12", spans)
        return b"\x0a" + sized(self._resource + b"\x12" + sized(scope_spans))


def _repeated(tag: bytes, messages: Sequence[bytes]) -> bytes:
    """Return messages behind their lengths, each behind the tag."""
    return tag.join((b"", *messages))

"""Faults on demand: what a fault is, when it strikes, and how it changes a stream.

Faults come from `vendor.faults` in process, `PUT /_simulator/faults`, or the request header
`x-simulator-fault`, whose value is a spec such as `status:429:rate_limit_exceeded;retry-after=2`
or `reset-mid:3;vendor=demo-openai`. `sending.py` sends them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from random import Random
from typing import Literal, cast

import msgspec

from llmproxy.tools.simulator.errors import CODES, error_object, error_reply, known_error
from llmproxy.tools.simulator.exchange import ApiFlavour, Json, Received, Reply, sse

Then = Literal["keep", "close", "reset", "stall"]

# kind -> whether it needs a stream to strike
KINDS: dict[str, bool] = {
    "status": False,  # status:CODE[:error code]
    "refusal": False,  # the model declines, in a 200
    "reset-before": False,  # RST instead of an answer
    "close-before": False,  # FIN instead of an answer
    "stall-before": False,  # never a byte
    "reset-mid": False,  # RST after `after` stream chunks, or body bytes
    "close-mid": False,  # FIN there
    "stall-mid": False,  # silence there
    "malformed-chunk": False,  # an invalid chunk size there
    "malformed-status": False,  # an invalid status line
    "trickle": False,  # one byte at a time
    "bad-length": False,  # fewer bytes than content-length promises, then FIN
    "raw": False,  # only the given bytes
    "early-error": True,  # {"error": ...} as the first event of a 200
    "error-after-role": True,  # the same behind the preamble (or behind `after` events)
    "failed-first": True,  # response.failed right behind response.created
    "overloaded-event": True,  # the same with server_is_overloaded
    "missing-done": True,  # the last event is left out
}
EVENT_KINDS = frozenset(kind for kind, needs_stream in KINDS.items() if needs_stream)
# Nothing that the vendor would have answered is sent.
SILENT_KINDS = frozenset(
    ("reset-before", "close-before", "stall-before", "malformed-status", "raw")
)


class _Peek(msgspec.Struct):
    stream: bool | None = None


_PEEK = msgspec.json.Decoder(_Peek)


class StrikeCount(msgspec.Struct):
    """How many requests matched a fault, and how many of them it struck."""

    seen: int = 0
    struck: int = 0


class Fault(msgspec.Struct, eq=False, frozen=True):
    """One fault, and the requests that it strikes.

    `kind`: a key of KINDS, with its argument (`status:503`, `reset-mid:3`). `times`: how often in
    all, None = always. `every`: each N-th matching request. `probability`: of those, by the
    vendor's seed. `match`: part of the target. `stream`: only requests that ask for one (True) or
    do not (False). `vendor`: only the vendor of that name, for the header.
    `after`: chunks of a stream, or bytes of a body. `pause_s`: between the bytes of a `trickle`.
    `retry_after`, `retry_after_ms`: header values, `none` leaves out the usual one. `raw`: text
    (one character a byte) and pauses in seconds; `then`: what follows them.
    """

    kind: str
    times: int | None = None
    every: int = 1
    probability: float = 1.0
    match: str = ""
    stream: bool | None = None
    vendor: str | None = None
    after: int | None = None
    pause_s: float = 0.0
    retry_after: str | None = None
    retry_after_ms: str | None = None
    message: str | None = None
    raw: list[str | float] = msgspec.field(default_factory=list)
    then: Then = "keep"
    count: StrikeCount = msgspec.field(default_factory=StrikeCount)

    def __post_init__(self) -> None:
        kind, _, argument = self.kind.partition(":")
        if kind not in KINDS:
            raise ValueError(f"no fault is called '{kind}'; there are: {', '.join(KINDS)}")
        if kind == "status":
            self.status()
        elif argument:
            if not argument.isdigit():
                raise ValueError(f"'{self.kind}': expected a number behind the colon")
            msgspec.structs.force_setattr(self, "kind", kind)
            msgspec.structs.force_setattr(self, "after", int(argument))
        if self.every < 1:
            raise ValueError("a fault's `every` is at least 1")

    def status(self) -> tuple[int, str | None]:
        """Return status and error code of a `status` fault; a code alone is enough."""
        _, _, argument = self.kind.partition(":")
        number, _, code = argument.partition(":")
        if number in CODES:
            return CODES[number][0], number
        if not number.isdigit() or not 100 <= int(number) <= 999:
            raise ValueError(f"'{self.kind}': expected status:NUMBER or status:NUMBER:CODE")
        return int(number), code or None

    def strikes(self, received: Received, random: Random) -> bool:
        """Return whether the fault strikes this request, and count it."""
        if self.times is not None and self.count.struck >= self.times:
            return False
        if not self._concerns(received):
            return False
        self.count.seen += 1
        if self.count.seen % self.every:
            return False
        if self.probability < 1 and random.random() >= self.probability:
            return False
        self.count.struck += 1
        return True

    def described(self) -> dict[str, object]:
        """Return the fault and its counts as one flat object."""
        fields = cast("dict[str, object]", msgspec.to_builtins(self))
        return {**fields, **cast("dict[str, object]", fields.pop("count"))}

    def _concerns(self, received: Received) -> bool:
        if self.match and self.match.encode() not in received.target:
            return False
        wanted = True if self.kind in EVENT_KINDS else self.stream
        return wanted is None or _wants_stream(received.body) is wanted


def _wants_stream(body: bytes) -> bool:
    try:
        return _PEEK.decode(body).stream is True
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def raw(*pieces: bytes | float, then: Then = "keep", times: int | None = None) -> Fault:
    """Return a fault that answers with exactly these bytes; a number is a pause in seconds."""
    written = [item.decode("latin-1") if isinstance(item, bytes) else item for item in pieces]
    return Fault("raw", raw=written, then=then, times=times)


def parse_fault(spec: str) -> Fault:
    """Parse a fault from its spec: `kind[:argument][;key=value]...`; keys with `-` or `_`.

    Raises ValueError.
    """
    kind, *settings = (part.strip() for part in spec.split(";"))
    fields: dict[str, str] = {"kind": kind}
    for setting in filter(None, settings):
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"'{setting}' in '{spec}': expected key=value")
        fields[key.strip().replace("-", "_")] = value.strip()
    unknown = fields.keys() - set(Fault.__struct_fields__)
    if unknown:
        raise ValueError(f"a fault has no '{', '.join(sorted(unknown))}'")
    return msgspec.convert(fields, Fault, strict=False)


def status_reply(fault: Fault, flavour: ApiFlavour) -> Reply:
    """Return the answer of a `status` fault, worded as the vendor words it."""
    status, code = fault.status()
    reply = error_reply(known_error(status, code, fault.message), flavour)
    retry_after, retry_after_ms = fault.retry_after, fault.retry_after_ms
    # Vendors omit Retry-After where a person must act (docs/project/upstreams.md).
    if status == 429 and retry_after is None and code in ("rate_limit_exceeded", "slow_down", None):
        retry_after = "1"
        if flavour is not ApiFlavour.OPENAI and retry_after_ms is None:
            retry_after_ms = "1000"
    for name, value in ((b"retry-after-ms", retry_after_ms), (b"retry-after", retry_after)):
        if value not in (None, "none"):
            reply.headers.append((name, str(value).encode("latin-1")))
    return reply


# --- faults in a stream --------------------------------------------------------------------


def tampered(events: Iterable[bytes], fault: Fault, flavour: ApiFlavour) -> Iterator[bytes]:
    """Yield the events of a stream under one of the EVENT_KINDS."""
    rest = iter(events)
    match fault.kind:
        case "missing-done":
            yield from _all_but_last(rest)
        case "early-error":
            yield _error_event(fault, flavour, code=None)
        case "failed-first" | "overloaded-event":
            code = "server_is_overloaded" if fault.kind == "overloaded-event" else None
            first = next(rest)
            if first.startswith(b"event: response."):
                yield first
                yield _failed(first, fault, code or "server_error")
                return
            if code:  # chat has no such event: its preamble, then the error
                yield from _preamble(chain([first], rest), None, flavour)
            yield _error_event(fault, flavour, code=code)
        case _:
            sent = list(_preamble(rest, fault.after, flavour))
            yield from sent
            if sent and sent[0].startswith(b"event: response."):
                error = known_error(500, None, fault.message)
                number = len(sent)
                value: Json = {"type": "error", "code": "server_error", "message": error.message}
                yield sse({**value, "param": None, "sequence_number": number}, "error")
            else:
                yield _error_event(fault, flavour, code=None)


def _preamble(events: Iterator[bytes], after: int | None, flavour: ApiFlavour) -> Iterator[bytes]:
    wanted = after if after is not None else (1 if flavour is ApiFlavour.OPENAI else 2)
    for _ in range(wanted):
        event = next(events, None)
        if event is None:
            return
        yield event


def _all_but_last(events: Iterator[bytes]) -> Iterator[bytes]:
    held = next(events, None)
    for event in events:
        if held is not None:
            yield held
        held = event


def _error_event(fault: Fault, flavour: ApiFlavour, *, code: str | None) -> bytes:
    status = 503 if code else 500
    return sse({"error": error_object(known_error(status, code, fault.message), flavour)})


def _failed(created: bytes, fault: Fault, code: str) -> bytes:
    """Return `response.failed` for the response of a `response.created` event."""
    value = cast("Json", msgspec.json.decode(created.partition(b"data: ")[2]))
    message = known_error(503, code if code in CODES else None, fault.message).message
    response = cast("Json", value["response"])
    response |= {"status": "failed", "error": {"code": code, "message": message}}
    failed: Json = {"type": "response.failed", "response": response, "sequence_number": 1}
    return sse(failed, "response.failed")

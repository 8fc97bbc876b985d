"""The row of a finished call in the table `calls`: what queries ask for, and its trace."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from llmproxy.calls import TraceContext
from llmproxy.events import CallFinished
from llmproxy.operations import Usage
from llmproxy.steps import Attempt, Step

# Text, int, float and None only: drivers take a second look at any other type, bool and enums too.
Row = tuple[object, ...]

# The columns, in the order of a row's values.
COLUMNS = (
    *("id", "request_id", "ended_at", "instance", "caller", "team", "key_id", "end_user", "tags"),
    *("operation", "model", "group_name", "fallback", "endpoint", "status", "error"),
    *("error_source", "stream", "attempts", "cache"),
    *("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("estimated", "nano_usd", "basis", "saved_nano_usd", "first_byte_ms", "total_ms", "trace"),
)
_NO_TOKENS = (0, 0, 0, 0, 0, 0)
_NO_COST = (0, None, 0)
# PostgreSQL indexes no text that is much longer, and clients and vendors choose these.
MAX_CHARS = 256


class RowTrace(msgspec.Struct, omit_defaults=True, gc=False):
    """What is known of a call beside the columns: both together are the call again (`reading.py`).

    `usage`, `model`, `request_id`: only if the columns do not have all of it.
    """

    line: str = ""
    client: str | None = None
    received_at: float = 0.0
    waited_s: float = 0.0
    overhead_s: float = 0.0
    steps: list[Step] = []
    key_origin: str | None = None
    close_code: int | None = None
    context: TraceContext | None = None
    usage: Usage | None = None
    model: str | None = None
    request_id: bytes | None = None


_encode = msgspec.json.Encoder().encode
_trace_of = msgspec.json.Decoder(RowTrace).decode


def row_of(call: CallFinished, instance: str) -> Row:
    """Return the row of a call. PostgreSQL takes no NUL, so a text with one shows it otherwise."""
    record = call.record
    request, answer = record.request, record.answer
    usage, cost, first = answer.usage, record.cost, call.first_byte_s
    vendor_id, tags = answer.request_id, request.tags
    return (
        request.id or None,
        None if vendor_id is None else bounded(vendor_id.decode("latin-1")),
        call.ended_at,
        instance,
        request.caller,
        request.team,
        request.key,
        request.end_user,
        _encode(tags).decode() if tags else None,
        request.operation,
        None if request.model is None else bounded(request.model),
        record.group,
        record.fallback,
        record.endpoint,
        answer.status,
        answer.error,
        answer.error_source,
        int(request.stream),
        record.attempts,
        None if record.cache is None else str(record.cache),
        *(
            _NO_TOKENS
            if usage is None
            else (
                usage.input_tokens,
                usage.output_tokens,
                usage.cached_tokens,
                usage.cache_write_tokens,
                usage.reasoning_tokens,
                int(usage.estimated),
            )
        ),
        *(_NO_COST if cost is None else (cost.nano_usd, str(cost.basis), cost.saved_nano_usd)),
        None if first is None else first * 1000,
        call.total_s * 1000,
        _encode(_beside_columns(call)).decode(),
    )


def _beside_columns(call: CallFinished) -> RowTrace:
    record = call.record
    request, answer = record.request, record.answer
    usage, model, vendor_id = answer.usage, request.model, answer.request_id
    return RowTrace(
        request.line,
        request.client,
        request.received_at,
        record.waited_s,
        call.overhead_s,
        _without_messages(record.steps),
        record.key_origin,
        answer.close_code,
        request.trace,
        None if usage is None or _is_in_columns(usage) else usage,
        None if model is None or len(model) <= MAX_CHARS else model,
        None if vendor_id is None or len(vendor_id) <= MAX_CHARS else vendor_id,
    )


def _without_messages(steps: list[Step]) -> list[Step]:
    """Return steps without what endpoints said when they failed: they may quote the prompt."""
    if not any(isinstance(step, Attempt) and step.message for step in steps):
        return steps
    return [replace(step, message=None) if isinstance(step, Attempt) else step for step in steps]


def _is_in_columns(usage: Usage) -> bool:
    """Return whether the columns have all of a usage."""
    return (usage.input_tokens > 0 or usage.output_tokens > 0) and not (
        usage.audio_input_tokens
        or usage.audio_output_tokens
        or usage.image_input_tokens
        or usage.cache_hour_tokens
        or usage.searches
        or usage.service_tier is not None
        or usage.charged_usd is not None
        or usage.images
        or usage.seconds
    )


def bounded(text: str) -> str:
    """Return a text that the database can index; `...` at its end stands for more."""
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 3]}..."


def trace_of(text: str) -> RowTrace:
    """Return the trace of a row; an empty one if another version wrote it."""
    try:
        return _trace_of(text)
    except msgspec.MsgspecError:
        return RowTrace()

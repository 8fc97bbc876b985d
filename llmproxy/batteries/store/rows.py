"""The row of a finished call in the table `calls`: what queries ask for, and the whole record."""

from __future__ import annotations

import msgspec

from llmproxy.events import CallFinished

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
_encode = msgspec.json.Encoder().encode
_call_of = msgspec.json.Decoder(CallFinished).decode


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
        _encode(call).decode(),
    )


def bounded(text: str) -> str:
    """Return a text that the database can index; `...` at its end stands for more."""
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 3]}..."


def call_of(trace: str) -> CallFinished | None:
    """Return the call whose record is kept; None if another version wrote it."""
    try:
        return _call_of(trace)
    except msgspec.MsgspecError:
        return None

"""Errors in the Responses API: of a call, and at the end of a stream.

Codex reads the code of a failed response: it does not retry `context_length_exceeded` and
`insufficient_quota`, and all else (openai/codex, `codex-api/src/sse/responses.rs`).
"""

from __future__ import annotations

import msgspec

from llmproxy.batteries.translation.hub import ModelFailure

_STATUSES = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "slow_down": 503,
    "server_is_overloaded": 503,
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
}
# Anthropic has types, and words for what is a code here.
_CODES = {
    "overloaded_error": "server_is_overloaded",
    "rate_limit_error": "rate_limit_exceeded",
}
_CODES_OF_STATUS = {429: "rate_limit_exceeded", 503: "server_is_overloaded"}
_TOO_LONG = "prompt is too long"


class _Error(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class _Body(msgspec.Struct):
    error: _Error | None = None


def read_failure(status: int, body: bytes) -> ModelFailure:
    """Read an endpoint's error. What is no error of the dialect becomes its message."""
    try:
        error = msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = None
    if error is None:
        return ModelFailure(status=status, message=body[:1000].decode("utf-8", "replace"))
    return _failure_of(error, status)


def write_failure(failure: ModelFailure) -> bytes:
    """Write an error for a client."""
    error = {
        "message": failure.message,
        "type": failure.kind
        or ("server_error" if failure.status >= 500 else "invalid_request_error"),
        "param": failure.param,
        "code": code_of(failure),
    }
    return msgspec.json.encode({"error": error})


def failure_in_stream(error: msgspec.Raw) -> ModelFailure:
    """Read the error of a failed response, or of an error event."""
    try:
        read = msgspec.json.decode(error, type=_Error | None) or _Error()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        read = _Error(message=bytes(error)[:1000].decode("utf-8", "replace"))
    return _failure_of(read, _STATUSES.get(str(read.code), 500))


def code_of(failure: ModelFailure) -> str | None:
    """Return the code that clients of this dialect know for an error; None if there is none."""
    if failure.code is not None:
        return failure.code
    if failure.message.lower().startswith(_TOO_LONG):
        return "context_length_exceeded"
    code = _CODES.get(failure.kind) or _CODES_OF_STATUS.get(failure.status)
    return code or ("server_error" if failure.status >= 500 else None)


def _failure_of(error: _Error, status: int) -> ModelFailure:
    return ModelFailure(
        status=status,
        message=error.message or "",
        kind=error.type or "",
        code=None if error.code is None else str(error.code),
        param=error.param,
    )

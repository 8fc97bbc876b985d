"""Codes of errors in the Responses API, for errors of vendors that have only types and messages.

Codex reads the code of a failed response: it retries all but `context_length_exceeded` and
`insufficient_quota` (openai/codex, `codex-api/src/sse/responses.rs`).
"""

from __future__ import annotations

import msgspec

from llmproxy.batteries.translation import failures
from llmproxy.batteries.translation.failures import read_failure
from llmproxy.batteries.translation.hub import ModelFailure
from llmproxy.operations import RESPONSES

FAILED_STATUS = 500  # of an error in a stream whose code is unknown
_STATUSES = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "slow_down": 503,
    "server_is_overloaded": 503,
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
}
_CODES = {"overloaded_error": "server_is_overloaded", "rate_limit_error": "rate_limit_exceeded"}
_CODES_OF_STATUS = {429: "rate_limit_exceeded", 503: "server_is_overloaded"}
_TOO_LONG = "prompt is too long"


def failure_in_stream(error: bytes) -> ModelFailure:
    """Read the error of a failed response, or of an error event."""
    failure = read_failure(FAILED_STATUS, error)
    return msgspec.structs.replace(failure, status=_STATUSES.get(failure.code or "", FAILED_STATUS))


def with_code(failure: ModelFailure) -> ModelFailure:
    """Return a failure with the code that clients of this dialect know, if there is one."""
    if failure.code is not None:
        return failure
    code = _CODES.get(failure.kind) or _CODES_OF_STATUS.get(failure.status)
    if failure.message.lower().startswith(_TOO_LONG):
        code = "context_length_exceeded"
    elif code is None and failure.status >= FAILED_STATUS:
        code = "server_error"
    return msgspec.structs.replace(failure, code=code)


def write_failure(failure: ModelFailure) -> bytes:
    """Write an error for a client, with the code that it knows."""
    return failures.write_failure(with_code(failure), RESPONSES)

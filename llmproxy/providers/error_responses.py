"""What an answer with an error status means: vendors' status codes, error codes and words.

One table for all of them, because OpenAI's shape is the common one and the others' codes do not
collide with it. What is not known is judged by its status. The message of the error is for logs
and clients: short, printable, and without anything that looks like a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from llmproxy.errors import (
    Answer,
    CredentialRejected,
    Misconfigured,
    Overloaded,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    UpstreamError,
    UpstreamFailed,
)
from llmproxy.rules.encoding import readable
from llmproxy.rules.limits import retry_after_in_text, retry_after_s

MAX_PARSED_BYTES = 64 * 1024  # no vendor's error is longer; what is says nothing more
MAX_MESSAGE_CHARS = 300

# Of error.code and error.type, lower case (docs/facts/upstreams.md, "errors").
BILLING = frozenset(
    (
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_error",  # Anthropic
        "billing_hard_limit_reached",
        "billing_not_active",
    )
)
NO_SUCH_MODEL = frozenset(("model_not_found", "deploymentnotfound"))
THROTTLED = frozenset(("slow_down",))
OVERLOADED = frozenset(("server_is_overloaded", "overloaded_error"))
THE_CLIENTS_OWN = frozenset(
    (
        "content_filter",
        "content_policy_violation",
        "context_length_exceeded",
        "responsibleaipolicyviolation",
    )
)
# Anthropic tells an empty account with a 400 and no code of its own.
BILLING_WORDS = "credit balance is too low"
# vLLM and Anthropic tell a prompt that is too long in words only.
TOO_LONG = "context_length_exceeded"
TOO_LONG_WORDS = re.compile(r"maximum context length|context window|prompt is too long", re.I)
# vLLM, Ollama and others tell a missing model with a plain 404.
MODEL_WORDS = re.compile(r"\bmodel\b.*(?:not found|does not exist)", re.I | re.S)

AGAIN = frozenset((408, 409, 425))
# "Not implemented" is about the request: this software never does it. (llama.cpp answers so when
# it was started without embeddings.) Trying again, here or elsewhere, would not change that.
NEVER_AGAIN = frozenset((501, 505))
OVERLOADED_STATUS = frozenset((503, 529, 498))  # 498: Groq's flex tier is full

_KEY = re.compile(
    r"(?i:\bbearer\s+)\S+"
    r"|\b(?:sk|rk|pk|gsk|csk|xai|pplx|fw|hf|nvapi|tgp|key)[-_][A-Za-z0-9_*.-]{8,}"
    r"|\bAIza[A-Za-z0-9_-]{8,}"
    # Azure's and everybody's bare ones, and tokens: long, in one piece, with a digit
    r"|(?<![A-Za-z0-9+/_=-])(?=[A-Za-z+/_=-]*[0-9])[A-Za-z0-9+/_=-]{32,}"
    r"|[A-Za-z0-9_.-]{0,40}\*{3,}[A-Za-z0-9_.*-]*"  # what the vendor has masked itself
)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\uffff]+")


class ErrorResponse(msgspec.Struct, frozen=True):
    """What a body says: lower-case codes (error.code, error.type, ...) and its message."""

    codes: tuple[str, ...] = ()
    message: str = ""


def failure_of(
    answer: Answer, *, endpoint: str, wall_now: float, secrets: Sequence[bytes]
) -> UpstreamError | None:
    """The UpstreamError that an answer stands for; None below status 400."""
    if answer.status < 400:
        return None
    response = read(answer)
    kind = _kind(answer.status, response)
    wait_s = retry_after_s(answer.headers, wall_now=wall_now)
    if wait_s is None and kind is Throttled:
        wait_s = retry_after_in_text(response.message)
    failure = kind(
        _message(answer.status, response, secrets),
        endpoint=endpoint,
        retry_after_s=wait_s,
        answer=answer,
    )
    if "slow_down" in response.codes:
        failure.code = "slow_down"
    if kind is RequestRejected and _too_long(answer.status, response):
        failure.code = TOO_LONG
    return failure


def read(answer: Answer) -> ErrorResponse:
    """The codes and the message of an error body, in any of the shapes that vendors use."""
    body = _decoded(answer)
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ErrorResponse(message=body.decode("utf-8", "replace"))
    return ErrorResponse(tuple(_codes(value)), _words(value))


def _kind(status: int, response: ErrorResponse) -> type[UpstreamError]:
    codes = frozenset(response.codes)
    if codes & THE_CLIENTS_OWN and status < 500:
        return RequestRejected
    if status == 402 or (codes & BILLING and status < 500):
        return QuotaExhausted
    if codes & THROTTLED:
        return Throttled
    if status == 429:
        return Throttled
    if status in (401, 403):
        return CredentialRejected
    if _lacks_model(status, codes, response.message):
        return Misconfigured
    if status in OVERLOADED_STATUS or codes & OVERLOADED:
        return Overloaded
    if status in NEVER_AGAIN:
        return RequestRejected
    if status >= 500 or status in AGAIN:
        return UpstreamFailed
    if status == 400 and BILLING_WORDS in response.message:
        return QuotaExhausted
    return RequestRejected


def _too_long(status: int, response: ErrorResponse) -> bool:
    if TOO_LONG in response.codes:
        return True
    return status in (400, 413) and TOO_LONG_WORDS.search(response.message) is not None


def _lacks_model(status: int, codes: frozenset[str], message: str) -> bool:
    if status not in (400, 404):
        return False
    if codes & NO_SUCH_MODEL:
        return True
    return status == 404 and MODEL_WORDS.search(message) is not None


def _decoded(answer: Answer) -> bytes:
    body = answer.body[:MAX_PARSED_BYTES]
    for name, value in answer.headers:
        if name == b"content-encoding":
            return readable(answer.body, value, max_bytes=MAX_PARSED_BYTES) or b""
    return body


def _errors(value: object) -> Iterator[dict[str, object]]:
    """The objects in which an error may stand: {"error": {...}}, [{"error": {...}}], {...}."""
    if isinstance(value, list) and value:
        value = value[0]  # Gemini
    if isinstance(value, dict):
        error = value.get("error")
        if isinstance(error, dict):
            yield error
            inner = error.get("innererror") or error.get("inner_error")
            if isinstance(inner, dict):
                yield {"code": inner.get("code")}
        else:
            yield value


def _codes(value: object) -> Iterator[str]:
    for error in _errors(value):
        for key in ("code", "type"):
            code = error.get(key)
            if isinstance(code, str):
                yield code.lower()


def _words(value: object) -> str:
    if isinstance(value, dict):
        for key in ("error", "detail"):  # Ollama; FastAPI's
            if isinstance(words := value.get(key), str):
                return words
    for error in _errors(value):
        if isinstance(words := error.get("message"), str):
            return words
    return ""


def _message(status: int, response: ErrorResponse, secrets: Sequence[bytes]) -> str:
    """Status, code and the vendor's words."""
    code = next(iter(response.codes), "")
    words = response.message[: 4 * MAX_MESSAGE_CHARS]
    for secret in secrets:
        bare = secret.removeprefix(b"Bearer ").decode("latin-1")
        if bare:
            words = words.replace(bare, "***")
    words = _UNPRINTABLE.sub(" ", _KEY.sub("***", words)).strip()
    told = " ".join(part for part in (f"status {status}", code[:80]) if part)
    told = _UNPRINTABLE.sub(" ", _KEY.sub("***", told)) if code else told
    return f"{told}: {words}"[:MAX_MESSAGE_CHARS] if words else told[:MAX_MESSAGE_CHARS]

"""What a vendor's error means, as a status or as the first event of a stream.

One table for all vendors: OpenAI's shape is the common one, and the others' codes do not collide
with it. What a vendor says in words is in `wordings.py`. Codes and words come before the status,
which decides where they say nothing. The message of the failure is for
logs and clients: short, printable, and without anything that looks like a key.

Source: docs/project/upstreams.md, "errors".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from llmproxy.errors import (
    CONTENT_FILTER,
    CONTEXT_LENGTH_EXCEEDED,
    Answer,
    CredentialRejected,
    Misconfigured,
    OperationRefused,
    Overloaded,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    TooLarge,
    UpstreamError,
    UpstreamFailed,
)
from llmproxy.providers.wordings import About, about_of
from llmproxy.rules.encoding import readable
from llmproxy.rules.limits import retry_after_in_text, retry_after_s
from llmproxy.streams import Mask, masked_text

MAX_PARSED_BYTES = 64 * 1024  # no vendor's error is longer
MAX_MESSAGE_CHARS = 300


class Meaning(NamedTuple):
    """What an error code stands for: the status it comes with, and the failure it is.

    The status counts where an error has none of its own, in a stream. None: the status decides.
    """

    status: int
    failure: type[UpstreamError] | None = None


# `error.code` and `error.type` in lower case.
CODES = {
    # Money: a person must act.
    "insufficient_quota": Meaning(429, QuotaExhausted),
    "credit_balance_exhausted": Meaning(429, QuotaExhausted),
    "organization_spend_limit_exceeded": Meaning(429, QuotaExhausted),
    "organization_usage_limit_exceeded": Meaning(429, QuotaExhausted),
    "project_spend_limit_exceeded": Meaning(429, QuotaExhausted),
    "billing_error": Meaning(402, QuotaExhausted),  # Anthropic
    "billing_hard_limit_reached": Meaning(429, QuotaExhausted),
    "billing_not_active": Meaning(429, QuotaExhausted),
    "exceeded_current_quota_error": Meaning(429, QuotaExhausted),  # Moonshot
    "arrearage": Meaning(400, QuotaExhausted),  # Alibaba
    "1113": Meaning(429, QuotaExhausted),  # Z.ai
    # Rates
    "rate_limit_exceeded": Meaning(429),
    "rate_limit_error": Meaning(429),
    "too_many_requests": Meaning(429),
    "slow_down": Meaning(429, Throttled),
    # Load
    "server_is_overloaded": Meaning(503, Overloaded),
    "overloaded_error": Meaning(503, Overloaded),
    "overloaded": Meaning(503),
    "service_unavailable": Meaning(503),
    "timeout_error": Meaning(504),
    # Configuration
    "authentication_error": Meaning(401),
    "invalid_api_key": Meaning(401),
    "permission_error": Meaning(403),
    "model_not_found": Meaning(404, Misconfigured),
    "deploymentnotfound": Meaning(404, Misconfigured),
    "not_found_error": Meaning(404),
    # The client's own mistakes
    CONTEXT_LENGTH_EXCEEDED: Meaning(400, RequestRejected),
    "content_filter": Meaning(400, RequestRejected),
    "content_policy_violation": Meaning(400, RequestRejected),
    "responsibleaipolicyviolation": Meaning(400, RequestRejected),
    "badrequesterror": Meaning(400),
    "request_too_large": Meaning(413),
}
# Codes that begin like this are the client's own mistakes, too.
BAD_REQUEST_PREFIXES = (
    "invalid_",
    "unsupported_",
    "image_",
    "empty_image",
    "failed_to_download_image",
)
# Anthropic reports an empty account with a 400 and no code of its own.
BILLING_WORDS = "credit balance is too low"
# vLLM, Ollama and others report a missing model with a plain 404.
MODEL_WORDS = re.compile(r"\bmodel\b.*(?:not found|does not exist)", re.I | re.S)

TOO_LONG_STATUSES = frozenset((400, 413, 422, 500))  # 500: older llama.cpp
_LIMIT = re.compile(r"Limit:? ([0-9][0-9,]{0,15})", re.I)

RETRYABLE_4XX = frozenset((408, 409, 425))
# "Not implemented" is about the request: this software never does it. (llama.cpp answers so when it
# was started without embeddings.) Another try, here or elsewhere, would not change that.
NOT_RETRYABLE_5XX = frozenset((501, 505))
OVERLOADED_STATUSES = frozenset((503, 529, 498))  # 498: Groq's flex tier is full

_KEY = re.compile(
    r"(?i:\bbearer\s+)\S+"
    r"|\b(?:sk|rk|pk|gsk|csk|xai|pplx|fw|hf|nvapi|tgp|key)[-_][A-Za-z0-9_*.-]{8,}"
    r"|\bAIza[A-Za-z0-9_-]{8,}"
    # Keys without a prefix (Azure's) and tokens: long, in one piece, with a digit
    r"|(?<![A-Za-z0-9+/_=-])(?=[A-Za-z+/_=-]*[0-9])[A-Za-z0-9+/_=-]{32,}"
    r"|[A-Za-z0-9_.-]{0,40}\*{3,}[A-Za-z0-9_.*-]*"  # what the vendor has masked itself
)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\uffff]+")


class ErrorResponse(msgspec.Struct, frozen=True):
    """What an error's body says: codes in lower case (error.code, error.type, ...), the message,
    and a code that is a number."""

    codes: tuple[str, ...] = ()
    message: str = ""
    number: int | None = None


def parse_error(body: bytes) -> ErrorResponse:
    """Read an error in any of the shapes that vendors use, from a body or an event's data."""
    try:
        value = msgspec.json.decode(body[:MAX_PARSED_BYTES])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ErrorResponse(message=body[:MAX_PARSED_BYTES].decode("utf-8", "replace"))
    codes: list[str] = []
    number = None
    for error in _errors(value):
        for key in ("code", "type"):
            code = error.get(key)
            if isinstance(code, str):
                codes.append(code.lower())
            elif isinstance(code, int) and not isinstance(code, bool):
                number = code
    return ErrorResponse(tuple(codes), _words(value), number)


def failure_of(
    error: ErrorResponse,
    answer: Answer,
    *,
    endpoint: str,
    wall_now: float,
    mask: Mask,
) -> UpstreamError:
    """Return the failure that an error stands for.

    `answer`: what the endpoint answered. Below status 400 the error came inside a stream, and its
    own words say which status it would have had.
    """
    status = answer.status if answer.status >= 400 else _status_of(error)
    about = about_of(error.codes, error.message)
    kind = _kind(status, error, about)
    wait_s = retry_after_s(answer.headers, wall_now=wall_now)
    if wait_s is None and kind is Throttled:
        wait_s = retry_after_in_text(error.message)
    failure = kind(
        _message(status, error, mask), endpoint=endpoint, retry_after_s=wait_s, answer=answer
    )
    failure.status = status
    if "slow_down" in error.codes:
        failure.code = "slow_down"
    if kind is RequestRejected and about is About.TOO_LONG:
        failure.code = CONTEXT_LENGTH_EXCEEDED
    if kind is RequestRejected and about is About.CONTENT:
        failure.code = CONTENT_FILTER
    if isinstance(failure, RequestRejected):
        known = about is not None or any(code in CODES for code in error.codes)
        failure.unrecognised = not known
    if isinstance(failure, TooLarge) and (said := _LIMIT.search(error.message)) is not None:
        failure.limit_tokens = int(said[1].replace(",", ""))
    return failure


def readable_body(answer: Answer) -> bytes:
    """Return the body without its content-encoding, as far as an error reaches."""
    for name, value in answer.headers:
        if name == b"content-encoding":
            return readable(answer.body, value, max_bytes=MAX_PARSED_BYTES) or b""
    return answer.body


def _status_of(error: ErrorResponse) -> int:
    """Return the status that an error in a stream would have had."""
    for code in error.codes:
        meaning = CODES.get(code)
        if meaning is not None:
            return meaning.status
        if code.startswith(BAD_REQUEST_PREFIXES):
            return 400
    return error.number if error.number is not None and 400 <= error.number <= 599 else 500


def _kind(status: int, error: ErrorResponse, about: About | None) -> type[UpstreamError]:
    kinds = {CODES[code].failure for code in error.codes if code in CODES}
    if RequestRejected in kinds and status < 500:
        return RequestRejected
    if status == 402 or (QuotaExhausted in kinds and status < 500):
        return QuotaExhausted
    if about is not None and (kind := _kind_by_words(status, about)) is not None:
        return kind
    if Throttled in kinds or status == 429:
        return Throttled
    if status in (401, 403):
        # A page instead of JSON comes from a firewall, which may mind the prompt, not the key.
        is_page = status == 403 and error.message.lstrip().startswith("<")
        return OperationRefused if is_page else CredentialRejected
    if status == 404 and MODEL_WORDS.search(error.message) is not None:
        return Misconfigured
    if status in OVERLOADED_STATUSES or Overloaded in kinds:
        return Overloaded
    if status in NOT_RETRYABLE_5XX:
        return RequestRejected
    if status >= 500 or status in RETRYABLE_4XX:
        return UpstreamFailed
    if status == 400 and BILLING_WORDS in error.message:
        return QuotaExhausted
    # The bound of bodies of one endpoint, or of the server in front of it.
    return TooLarge if status == 413 else RequestRejected


def _kind_by_words(status: int, about: About) -> type[UpstreamError] | None:
    """Return the failure that a vendor's words stand for; None if they do not fit the status."""
    is_refusal = status in (401, 403)
    match about:
        case About.TOO_LARGE if status in (400, 413, 429):
            return TooLarge
        case About.TOO_LONG if status in TOO_LONG_STATUSES:
            return RequestRejected
        case About.CONTENT if status in (400, 403, 422):
            return RequestRejected
        case About.CREDENTIAL if status == 400 or is_refusal:
            return CredentialRejected
        case About.OPERATION if status in (400, 404, 422) or is_refusal:
            return OperationRefused
        case About.MODEL if is_refusal:
            return OperationRefused  # the key may still serve others (missing access)
        case About.MODEL if status in (400, 404, 422):
            return Misconfigured
        case _:
            return None


def _errors(value: object) -> Iterator[dict[str, object]]:
    """Yield the objects that may hold an error: {"error": {...}}, [{"error": {...}}], {...},
    {"response": {"error": {...}}} of a failed response, and {"errors": [{...}]}."""
    if isinstance(value, dict) and isinstance(errors := value.get("errors"), list):
        value = errors  # Cloudflare
    if isinstance(value, list) and value:
        value = value[0]  # Gemini
    if not isinstance(value, dict):
        return
    error = value.get("error")
    if not error and isinstance(response := value.get("response"), dict):
        error = response.get("error")
    choices = value.get("choices")
    if not error and isinstance(choices, list) and choices and isinstance(choices[0], dict):
        error = choices[0].get("error")  # OpenRouter
    if isinstance(error, dict):
        yield error
        inner = error.get("innererror") or error.get("inner_error")
        if isinstance(inner, dict):
            yield {"code": inner.get("code")}
    else:
        yield value


def _words(value: object) -> str:
    if isinstance(value, dict):
        for key in ("error", "detail"):  # Ollama; FastAPI's
            if isinstance(words := value.get(key), str):
                return words
    for error in _errors(value):
        if isinstance(words := error.get("message"), str):
            return words
    return ""


def _message(status: int, error: ErrorResponse, mask: Mask) -> str:
    """Return status, code and the vendor's words."""
    code = next(iter(error.codes), "")
    words = masked_text(error.message[: 4 * MAX_MESSAGE_CHARS], mask)
    words = _UNPRINTABLE.sub(" ", _KEY.sub("***", words)).strip()
    title = " ".join(part for part in (f"status {status}", code[:80]) if part)
    title = _UNPRINTABLE.sub(" ", _KEY.sub("***", title)) if code else title
    return f"{title}: {words}"[:MAX_MESSAGE_CHARS] if words else title[:MAX_MESSAGE_CHARS]

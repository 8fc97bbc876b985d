"""Server-sent events: where one ends, what it means for a call, and how to say that a stream broke.

Bytes are framed without being decoded; only events that may decide something are read, and never
changed. An event that is not understood counts as content, so that nothing is ever held back for
being unknown. Framing: WHATWG HTML, section 9.2.6, "Interpreting an event stream".
"""

from __future__ import annotations

import msgspec

from llmproxy.operations.sse import fields


class StreamError(msgspec.Struct, frozen=True):
    """An error event: the HTTP status that it would have been, its code and its text."""

    status: int
    code: str | None
    message: str


def early_error(event: bytes) -> StreamError:
    """The HTTP error that an error event stands for (docs/facts/upstreams.md, errors).

    Reads every dialect's shape, for compatible vendors mix them. Never raises: an error that says
    nothing is a 500.
    """
    _, data = fields(event)
    try:
        code, kind, message = _told_error(_chunk.decode(data))
    except _UNREADABLE:
        code, kind, message = None, None, data[:500].decode("utf-8", "replace")
    word = code if isinstance(code, str) else kind
    status = _status_of(word) or _status_of(kind)
    if status is None and isinstance(code, int) and 400 <= code <= 599:
        status = code
    return StreamError(
        status or 500, word, message or "The stream began with an error that has no message."
    )


# --- reading one event -----------------------------------------------------------------------

_ABSENT = msgspec.Raw(b"")


class _Chunk(msgspec.Struct, gc=False):
    """The fields of all dialects' events that decide what they are, still as JSON.

    They are decoded one by one: a strange value in one of them must not hide an error.
    """

    type: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    code: msgspec.Raw = _ABSENT
    message: msgspec.Raw = _ABSENT
    choices: msgspec.Raw = _ABSENT
    usage: msgspec.Raw = _ABSENT
    response: msgspec.Raw = _ABSENT
    content_block: msgspec.Raw = _ABSENT


_chunk = msgspec.json.Decoder(_Chunk)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_scalar = msgspec.json.Decoder(str | int | None)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_EMPTY = frozenset((b"", b"null", b"false", b"0", b'""', b"[]", b"{}"))


def _told_error(chunk: _Chunk) -> tuple[str | int | None, str | None, str | None]:
    """Code, type and message, wherever this dialect puts them."""
    if _truthy(chunk.error):
        error = _members(chunk.error)
        if not error:  # {"error": "a text"}
            return None, None, _text(chunk.error)
    elif inner := _members(_members(chunk.response).get("error", _ABSENT)):
        error = inner
    else:
        error = {"code": chunk.code, "message": chunk.message}
    return (
        _scalar_of(error.get("code", _ABSENT)),
        _text(error.get("type", _ABSENT)),
        _text(error.get("message", _ABSENT)),
    )


_WORDS_BY_STATUS = {
    400: "context_length_exceeded content_filter content_policy_violation badrequesterror",
    401: "authentication_error invalid_api_key",
    403: "permission_error",
    404: "not_found_error model_not_found deploymentnotfound",
    413: "request_too_large",
    429: "rate_limit_exceeded rate_limit_error too_many_requests slow_down insufficient_quota "
    "credit_balance_exhausted organization_spend_limit_exceeded project_spend_limit_exceeded "
    "organization_usage_limit_exceeded",
    503: "server_is_overloaded overloaded_error overloaded service_unavailable",
    504: "timeout_error",
}
_STATUS_BY_WORD = {
    word: status for status, words in _WORDS_BY_STATUS.items() for word in words.split()
}
_CLIENTS_OWN = ("invalid_", "unsupported_", "image_", "empty_image", "failed_to_download_image")


def _status_of(word: str | None) -> int | None:
    """The HTTP status for an error's code or type; None if it says nothing."""
    if word is None:
        return None
    word = word.lower()
    status = _STATUS_BY_WORD.get(word)
    if status is None and word.startswith(_CLIENTS_OWN):
        return 400
    return status


def _truthy(raw: msgspec.Raw) -> bool:
    return bytes(raw).strip() not in _EMPTY


def _members(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _object.decode(raw)
    except _UNREADABLE:
        return {}


def _scalar_of(raw: msgspec.Raw) -> str | int | None:
    try:
        value: str | int | None = _scalar.decode(raw)
    except _UNREADABLE:
        return None
    return value


def _text(raw: msgspec.Raw) -> str | None:
    value = _scalar_of(raw)
    return value if isinstance(value, str) else None

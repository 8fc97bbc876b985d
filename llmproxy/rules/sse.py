"""Server-sent events: where one ends, what it means for a call, and how to say that a stream broke.

Bytes are framed without being decoded; only events that may decide something are read, and never
changed. An event that is not understood counts as content, so that nothing is ever held back for
being unknown. Framing: WHATWG HTML, section 9.2.6, "Interpreting an event stream".
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, assert_never

import msgspec

from llmproxy.calls import Dialect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# --- framing ---------------------------------------------------------------------------------

_LINE_END = rb"(?:\r\n?+|\n)"
_EVENT_END = re.compile(_LINE_END + _LINE_END + rb"++")


def complete_length(buffer: bytes) -> int:
    """Bytes up to the end of the last complete event in `buffer`, which begins with an event.

    An event ends with an empty line; lines end with LF, CRLF or CR, mixed. Blank lines that
    follow belong to the event before them, blank lines at the start are an event of their own.
    A CR at the very end counts as a line end, for waiting would hold back a vendor's last event;
    should its LF still come, it is one more blank line.
    """
    if buffer.endswith((b"\n\n", b"\r\n\r\n")):
        return len(buffer)
    end = buffer.rfind(b"\n\n") + 2
    if b"\r" in buffer:
        end = max(end, buffer.rfind(b"\n\r") + 2, buffer.rfind(b"\r\r") + 2)
    if end == 1:  # nothing found
        end = 0
        if buffer[:1] not in (b"\n", b"\r"):
            return 0
    while buffer[end : end + 1] in (b"\n", b"\r"):
        end += 1
    return end


def split_events(buffer: bytes) -> tuple[list[bytes], bytes]:
    """The complete events with their terminators, and what is left; together they are `buffer`."""
    start = len(buffer) - len(buffer.lstrip(b"\r\n"))  # blank lines at the start
    events = [buffer[:start]] if start else []
    for terminator in _EVENT_END.finditer(buffer, start):
        events.append(buffer[start : terminator.end()])
        start = terminator.end()
    return events, buffer[start:]


# --- meaning ---------------------------------------------------------------------------------


class Kind(Enum):
    """What an event means for a call."""

    PREAMBLE = "preamble"  # nothing that a client would miss: may be held back and dropped
    CONTENT = "content"  # the first of these is the commit point
    ERROR = "error"  # the stream says that it failed
    END = "end"  # the stream says that it is complete


class StreamError(msgspec.Struct, frozen=True):
    """An error event: the HTTP status that it would have been, its code and its text."""

    status: int
    code: str | None
    message: str


def classify(event: bytes, dialect: Dialect) -> Kind:
    """What one event (with or without its terminator) means.

    A chunk that carries only usage is content; so is everything that is not understood.
    """
    name, data = _fields(event)
    if name == b"error":
        return Kind.ERROR
    if not data:
        return Kind.CONTENT if dialect is Dialect.OTHER else Kind.PREAMBLE
    if data.startswith(b"[DONE]"):
        return Kind.CONTENT if dialect is Dialect.OTHER else Kind.END
    try:
        chunk = _chunk.decode(data)
    except _UNREADABLE:
        return Kind.CONTENT
    if _truthy(chunk.error):
        return Kind.ERROR
    match dialect:
        case Dialect.CHAT:
            return _classify_chat(chunk)
        case Dialect.RESPONSES:
            kind = _text(chunk.type) or name.decode("latin-1")
            return _RESPONSES_KINDS.get(kind, Kind.CONTENT)
        case Dialect.MESSAGES:
            kind = _text(chunk.type) or name.decode("latin-1")
            if kind == "content_block_start" and _block_is_empty(chunk.content_block):
                return Kind.PREAMBLE
            return _MESSAGES_KINDS.get(kind, Kind.CONTENT)
        case Dialect.OTHER:
            return Kind.CONTENT
        case _:
            assert_never(dialect)


def early_error(event: bytes) -> StreamError:
    """The HTTP error that an error event stands for (docs/facts/upstreams.md, errors).

    Reads every dialect's shape, for compatible vendors mix them. Never raises: an error that says
    nothing is a 500.
    """
    _, data = _fields(event)
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


def said_end(tail: bytes, dialect: Dialect) -> bool:
    """Whether the last bytes of a stream (64 KiB are plenty) tell that it is complete.

    An error event is an end that was told, too. OTHER: no terminal event is known, so True.
    A `response.completed` longer than the tail is recognised by its usage, which OpenAI's
    Responses API gives in terminal events only.
    """
    if dialect is Dialect.OTHER:
        return True
    for event in _last_events(tail):
        if classify(event, dialect) in (Kind.END, Kind.ERROR):
            return True
        if dialect is Dialect.RESPONSES and not event.startswith((b"event:", b"data:", b":")):
            return _FINAL_USAGE.search(event) is not None
    return False


_LAST_EVENTS = 4  # comments and vendors' own events may follow the terminal one
_FINAL_USAGE = re.compile(rb'(?<!\\)"usage"\s*:\s*\{\s*"input_tokens"')


def _last_events(tail: bytes) -> Iterator[bytes]:
    """Events from the last one backwards, a few. The first of the tail may lack its beginning,
    the last one its terminator."""
    for _ in range(_LAST_EVENTS):
        tail = tail.rstrip(b"\r\n")
        if not tail:
            return
        start = complete_length(tail)
        yield tail[start:]
        tail = tail[:start]


# --- telling that it broke -------------------------------------------------------------------


def interruption(
    dialect: Dialect,
    *,
    message: str,
    code: str = "upstream_stream_interrupted",
    created: bytes | None = None,
    sequence_number: int | None = None,
) -> bytes:
    """What to write, at an event boundary, when a stream broke after the commit point.

    `created` is the `response.created` event that the client saw, `sequence_number` the next one;
    both are for RESPONSES. The top-level `error` in its events is ours: openai-python and -node
    raise on it, whereas they hand out a `response.failed` like any other event and then just end.
    OTHER: b"", for there is no event that every client understands; close without an end.
    """
    match dialect:
        case Dialect.CHAT:
            error = {"message": message, "type": "server_error", "param": None, "code": code}
            return _event(None, {"error": error})
        case Dialect.RESPONSES:
            return _responses_interruption(message, code, created, sequence_number)
        case Dialect.MESSAGES:
            kind = "overloaded_error" if "overloaded" in code else "api_error"
            told = {"type": "error", "error": {"type": kind, "message": message}}
            return _event("error", told)
        case Dialect.OTHER:
            return b""
        case _:
            assert_never(dialect)


def _responses_interruption(
    message: str, code: str, created: bytes | None, sequence_number: int | None
) -> bytes:
    error: dict[str, object] = {"type": "server_error", "code": code, "message": message}
    error["param"] = None
    number = {} if sequence_number is None else {"sequence_number": sequence_number}
    response = _known_response(created)
    if not response:
        told = {"type": "error", "code": code, "message": message, "param": None}
        return _event("error", {**told, **number, "error": error})
    failed = {**response, "status": "failed", "error": {"code": code, "message": message}}
    return _event(
        "response.failed",
        {"type": "response.failed", **number, "response": failed, "error": error},
    )


def _known_response(created: bytes | None) -> dict[str, msgspec.Raw]:
    if created is None:
        return {}
    try:
        return _members(_chunk.decode(_fields(created)[1]).response)
    except _UNREADABLE:
        return {}


def _event(name: str | None, payload: Mapping[str, object]) -> bytes:
    line = b"" if name is None else b"event: " + name.encode() + b"\n"
    text = msgspec.json.encode(payload)
    text = text.replace(b"\r", b" ").replace(b"\n", b" ")  # a vendor's, between JSON tokens
    return line + b"data: " + text + b"\n\n"


# --- reading one event -----------------------------------------------------------------------

_ABSENT = msgspec.Raw(b"")
_BOM = b"\xef\xbb\xbf"


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


class _Choice(msgspec.Struct, gc=False):
    delta: dict[str, msgspec.Raw] | None = None
    text: msgspec.Raw = _ABSENT  # legacy completions
    finish_reason: msgspec.Raw = _ABSENT
    logprobs: msgspec.Raw = _ABSENT


_chunk = msgspec.json.Decoder(_Chunk)
_choices = msgspec.json.Decoder(list[_Choice])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_scalar = msgspec.json.Decoder(str | int | None)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_EMPTY = frozenset((b"", b"null", b"false", b"0", b'""', b"[]", b"{}"))

_RESPONSES_KINDS = {
    "response.created": Kind.PREAMBLE,
    "response.queued": Kind.PREAMBLE,
    "response.in_progress": Kind.PREAMBLE,
    "response.completed": Kind.END,
    "response.incomplete": Kind.END,
    "response.failed": Kind.ERROR,
    "error": Kind.ERROR,
}
_MESSAGES_KINDS = {
    "message_start": Kind.PREAMBLE,
    "ping": Kind.PREAMBLE,
    "message_stop": Kind.END,
    "error": Kind.ERROR,
}


def _fields(event: bytes) -> tuple[bytes, bytes]:
    """The event's name and its data. A line that is no field counts as data: some vendors answer
    with a bare JSON error, and nothing that is not understood may look empty."""
    name = b""
    data = []
    for line in event.removeprefix(_BOM).splitlines():
        if line.startswith(b"data:"):
            data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            name = line[6:].strip()
        elif line and not line.startswith((b":", b"id", b"retry")):
            data.append(line)
    return name, b"\n".join(data)


def _classify_chat(chunk: _Chunk) -> Kind:
    if bytes(chunk.choices) == b"[]":  # Azure's prompt filter, unless it is the usage chunk
        return Kind.CONTENT if _truthy(chunk.usage) else Kind.PREAMBLE
    try:
        choices = _choices.decode(chunk.choices)
    except _UNREADABLE:
        return Kind.CONTENT
    return Kind.PREAMBLE if all(map(_says_nothing_yet, choices)) else Kind.CONTENT


def _says_nothing_yet(choice: _Choice) -> bool:
    if _truthy(choice.finish_reason) or _truthy(choice.logprobs) or _truthy(choice.text):
        return False
    if choice.delta is None:
        return choice.text is not _ABSENT
    return all(name == "role" or not _truthy(value) for name, value in choice.delta.items())


def _block_is_empty(raw: msgspec.Raw) -> bool:
    """A text or thinking block that only begins; a tool's name would already be content."""
    block = _members(raw)
    kind = _text(block.pop("type", _ABSENT))
    return kind in ("text", "thinking") and not any(map(_truthy, block.values()))


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

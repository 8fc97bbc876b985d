"""A JSON request body: the fields that routing needs, and how to replace the model's name.

A body is never built as Python values and never re-encoded: `peek` decodes a few top-level fields,
`with_model` replaces one value. Every byte outside that value stays as the client wrote it: key
order, spacing, duplicate keys, big numbers.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from llmproxy.errors import ClientError

_ABSENT = msgspec.Raw(b"")
BOM = b"\xef\xbb\xbf"
MAX_SPLICE_TRIES = 16  # candidates to try one by one before walking the whole body
MAX_WALKED_BYTES = 1 << 20  # the walk is Python: 0.1 s of the event loop at worst


class Labels(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The members of a body that say whom a call is for, as written."""

    user: msgspec.Raw = _ABSENT
    safety_identifier: msgspec.Raw = _ABSENT
    metadata: msgspec.Raw = _ABSENT


class Peek(msgspec.Struct, frozen=True, gc=False):
    """The top-level fields of a body that routing needs.

    `max_output_tokens` is the first that is present of `max_completion_tokens`,
    `max_output_tokens` and `max_tokens`, times `n` or `best_of` if one is above 1, because each
    answer may be that long. None as well if it is no whole number from 0 to 100 million; the
    endpoint judges that. The other two hold for dialects that read stored state (responses).
    `stateful`: runs in the background or in a conversation, so it must not be sent twice.
    `bound_to_account`: names a conversation or an earlier response, which live in one account.
    `thinks`: whether the model is to reason before it answers; None: nothing is said.
    `labels`: whom the call is for.
    """

    model: str | None = None
    stream: bool = False
    max_output_tokens: int | None = None
    stateful: bool = False
    bound_to_account: bool = False
    thinks: bool | None = None
    labels: Labels | None = None


def peek(body: bytes) -> Peek:
    """Read the fields that routing needs. Of duplicate keys the last counts, as in JSON parsers.

    Accepted although JSON forbids or discourages it: a byte-order mark, lone surrogates
    (`"\\ud83d"`: Node clients send them when a text is cut within an emoji) and, outside of
    `model`, invalid UTF-8; the endpoint judges them. Not accepted: NaN and Infinity.
    Raises ClientError (400) if the body is not a JSON object, `model` not a string or `stream` not
    a boolean.
    """
    try:
        seen = _usual.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _peek_leniently(body)
    limit = seen.max_completion_tokens
    if limit is None:
        limit = seen.max_output_tokens
        if limit is None:
            limit = seen.max_tokens
    if limit is not None:
        limit = _output_bound(limit, max(seen.n or 1, seen.best_of or 1, 1))
    in_conversation = seen.conversation is not _ABSENT and _given(seen.conversation)
    earlier = seen.previous_response_id
    return Peek(
        seen.model,
        seen.stream is True,
        limit,
        in_conversation or seen.background is True,
        in_conversation or (earlier is not _ABSENT and _given(earlier)),
        _thinks(seen),
        seen,
    )


def with_model(body: bytes, model: str) -> bytes:
    """Return the body with the value of the top-level `model` replaced, or added as first member.

    `body` is one that `peek` accepts. Raises ClientError (400) if it is not, and for a body above
    MAX_WALKED_BYTES whose `model` key is written with escapes.
    """
    value = msgspec.json.encode(model)
    place = _place_of_model(body, model, value)
    if place is None:
        return _with_first_member(body, value)
    start, end = place
    return b"".join((body[:start], value, body[end:]))


# --- reading ---------------------------------------------------------------------------------

T = TypeVar("T")

MAX_OUTPUT_TOKENS = 100_000_000  # of a call with all its answers; no vendor produces more


class _Undecoded(Labels, frozen=True, gc=False, kw_only=True):  # of both that follow
    conversation: msgspec.Raw = _ABSENT
    previous_response_id: msgspec.Raw = _ABSENT
    reasoning_effort: msgspec.Raw = _ABSENT
    reasoning: msgspec.Raw = _ABSENT
    thinking: msgspec.Raw = _ABSENT


class _Usual(_Undecoded, frozen=True, gc=False):
    """The fields as nearly every client sends them. Anything else takes the slower path."""

    model: str | None = None
    stream: bool | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    max_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None
    background: bool | None = None


class _AsWritten(_Undecoded, frozen=True, gc=False):
    """The same fields, with their values still as JSON."""

    model: msgspec.Raw = _ABSENT
    stream: msgspec.Raw = _ABSENT
    max_completion_tokens: msgspec.Raw = _ABSENT
    max_output_tokens: msgspec.Raw = _ABSENT
    max_tokens: msgspec.Raw = _ABSENT
    n: msgspec.Raw = _ABSENT
    best_of: msgspec.Raw = _ABSENT
    background: msgspec.Raw = _ABSENT


_usual = msgspec.json.Decoder(_Usual)
_as_written = msgspec.json.Decoder(_AsWritten)
_text_or_null = msgspec.json.Decoder(str | None)
_flag_or_null = msgspec.json.Decoder(bool | None)
_count = msgspec.json.Decoder(int)

# `"none"`, `{"effort": "minimal"}`, `{"type": "disabled"}`, `{"enabled": false}`
_NO_REASONING = re.compile(rb'"(?:none|minimal|disabled)"|false')

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_FILL = b"\x7f"  # allowed within strings, and nowhere else
MAX_FILLS = 64  # strings to fill one by one; more of them are no accident


def _peek_leniently(body: bytes) -> Peek:
    """Read a body that is unusual or wrong. Raises ClientError that says exactly what is wrong."""
    written = _members(body)
    limits = (written.max_completion_tokens, written.max_output_tokens, written.max_tokens)
    counts = (_counted(limit) for limit in limits)
    limit = next((count for count in counts if count is not None), None)
    answers = max(_counted(written.n) or 1, _counted(written.best_of) or 1)
    return Peek(
        _field(written.model, "model", _text_or_null),
        _field(written.stream, "stream", _flag_or_null) is True,
        None if limit is None else _output_bound(limit, answers),
        _given(written.conversation) or bytes(written.background).strip() == b"true",
        _given(written.conversation) or _given(written.previous_response_id),
        _thinks(written),
        written,
    )


def _members(body: bytes) -> _AsWritten:
    body = body.removeprefix(BOM)
    try:
        return _as_written.decode(body)
    except msgspec.ValidationError as error:
        raise _not_an_object(body) from error
    except RecursionError as error:
        raise ClientError("The JSON body of the request is nested too deeply.") from error
    except msgspec.DecodeError as error:
        # msgspec refuses lone surrogates anywhere. Only this copy is repaired; it has the same
        # length, so positions stay true.
        repaired = without_surrogates(body)
        if repaired != body:
            return _with_original_model(_members(repaired), repaired, body)
        raise _not_json(body, error) from error


def without_surrogates(body: bytes) -> bytes:
    """Return a copy of the same length, in which no string has an escaped surrogate.

    A string is filled from its first surrogate to the next quotation mark, at the speed of memory:
    10 MB of surrogates take milliseconds. What is lost by that is judged by the endpoint.
    """
    pieces: list[bytes] = []
    done = searched = 0
    for _ in range(MAX_FILLS):
        escape = _SURROGATE.search(body, searched)
        quote = -1 if escape is None else body.find(b'"', escape.start())
        if escape is None or quote < 0:
            return b"".join((*pieces, body[done:]))
        before = body[done : escape.start()]
        if (len(before) - len(before.rstrip(b"\\"))) % 2:
            searched = escape.end()  # an escaped backslash, and then no escape
            continue
        # Backslashes in front of the quotation mark stay, because they may escape it.
        filled = len(body[escape.start() : quote].rstrip(b"\\"))
        pieces += (before, _FILL * filled)
        done = searched = escape.start() + filled
    rest = body[done:].replace(b"\\ud", b"\\ue").replace(b"\\uD", b"\\uE")
    return b"".join((*pieces, rest))


def _with_original_model(written: _AsWritten, repaired: bytes, body: bytes) -> _AsWritten:
    """Return the fields of a repaired body, with the model as it is in the body itself."""
    model = bytes(written.model)
    at = repaired.find(model)
    original = body[at : at + len(model)]
    if original == model:
        return written
    if repaired.find(model, at + 1) >= 0 or _text(original) is None:
        raise ClientError("Write 'model' without escaped surrogates.", param="model")
    return msgspec.structs.replace(written, model=msgspec.Raw(original))


def _field(raw: msgspec.Raw, name: str, decoder: msgspec.json.Decoder[T]) -> T | None:
    if raw is _ABSENT:
        return None
    try:
        return decoder.decode(raw)
    except UnicodeDecodeError as error:
        raise ClientError(f"'{name}' is not valid UTF-8.", param=name) from error
    except msgspec.DecodeError as error:
        expected = "string" if name == "model" else "boolean"
        raise ClientError(
            f"Invalid type for '{name}': expected a {expected}, "
            f"but got {_kind(bytes(raw))} instead.",
            param=name,
            code="invalid_type",
        ) from error


def _output_bound(limit: int, answers: int) -> int | None:
    """Return how many tokens a call may produce; None if the number makes no sense."""
    bound = limit * answers
    return bound if 0 <= bound <= MAX_OUTPUT_TOKENS else None


def _counted(raw: msgspec.Raw) -> int | None:
    try:
        count = _count.decode(raw)
    except msgspec.DecodeError:
        return None
    return count if count >= 0 else None


def _given(raw: msgspec.Raw) -> bool:
    return bytes(raw).strip() not in (b"", b"null")


def _thinks(seen: _Usual | _AsWritten) -> bool | None:
    """Return what the body says about reasoning: OpenAI's two ways, and Anthropic's."""
    effort, reasoning, thinking = seen.reasoning_effort, seen.reasoning, seen.thinking
    if effort is _ABSENT and reasoning is _ABSENT and thinking is _ABSENT:
        return None
    for raw in (effort, reasoning, thinking):
        if _given(raw):
            return _NO_REASONING.search(bytes(raw)) is None
    return None


def _kind(value: bytes) -> str:
    kinds = {b'"': "a string", b"t": "a boolean", b"f": "a boolean", b"n": "null"}
    kinds |= {b"[": "an array", b"{": "an object"}
    return kinds.get(value.strip()[:1], "a number")


def _not_an_object(body: bytes) -> ClientError:
    return ClientError(
        "The JSON body of the request must be an object with the parameters as its members, "
        f"but it is {_kind(body)}.",
        code="invalid_type",
    )


def _not_json(body: bytes, error: Exception) -> ClientError:
    if not body.strip():
        return ClientError("The body of the request is empty; a JSON object was expected.")
    what = str(error).removeprefix("JSON is malformed: ")
    if what == "Input data was truncated":
        what = f"it ends after {len(body)} bytes and is not complete"
    return ClientError(
        f"We could not parse the JSON body of your request: {what}. "
        "The body must be valid JSON in UTF-8; check quotes, commas and the content-type."
    )


# --- splicing --------------------------------------------------------------------------------

_MODEL_KEY = b'"model"'
_BACKSLASH = 0x5C
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_VALUE = rb"[ \t\n\r]*:[ \t\n\r]*(" + STRING + rb"|null)"
_VALUE_AFTER_KEY = re.compile(_VALUE, re.DOTALL)
_FIRST_MEMBER = re.compile(rb'(?:\xef\xbb\xbf)?[ \t\n\r]*\{[ \t\n\r]*"model"' + _VALUE, re.DOTALL)
OPENING = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\n\r]*\{")
_FIRST_BYTE = re.compile(rb"[ \t\n\r]*(.)", re.DOTALL)
_TOKEN = re.compile(STRING + rb"|[\[\]{}]", re.DOTALL)

Place = tuple[int, int]  # offsets of a value: [start, end)


def _place_of_model(body: bytes, model: str, value: bytes) -> Place | None:
    """Return the position of the effective top-level `model` value; None without one.

    A quotation mark inside a JSON string is always escaped, so `"model"` followed by a colon and
    not preceded by a backslash is a key, at any depth. The last ones are tried first: openai-python
    writes `model` after `messages`, and of duplicates the last counts.
    """
    first = _FIRST_MEMBER.match(body)
    if first and _is_effective(body[first.end(1) :], model, value):
        return first.span(1)
    end = len(body)
    for _ in range(MAX_SPLICE_TRIES):
        end = body.rfind(_MODEL_KEY, 0, end)
        if end < 0:
            break
        found = _VALUE_AFTER_KEY.match(body, end + len(_MODEL_KEY))
        if found is None or body[end - 1] == _BACKSLASH:
            continue
        if _is_effective(body[found.end(1) :], model, value):
            return found.span(1)
    if peek(_with_first_member(body, value)).model == model:
        return None  # any other top-level `model`, however it is written, would have won
    return _walk_to_model(body)


def _is_effective(rest: bytes, model: str, value: bytes) -> bool:
    """Whether a `model` key is the one that counts, judged by the body after its value.

    Put behind a new opening, the rest is one whole JSON object only if it closes exactly one brace,
    which is the case only if the key was at depth one. No nesting needs to be counted:

        {"messages": [{"model": "a"}], "model": "b", "n": 1}
                                    └┬─────────────────────┘       rest of "a"
                      {"model":"new"}], "model": "b", "n": 1}      not JSON: "a" is nested
                                                 └┬───────┘        rest of "b"
                                   {"model":"new", "n": 1}         JSON: "b" is at the top

    A later `model` at the top would win as a duplicate, and `peek` would return that one.
    """
    try:
        return peek(b'{"model":' + value + rest).model == model
    except ClientError:
        return False


def _with_first_member(body: bytes, value: bytes) -> bytes:
    opening = OPENING.match(body)
    if opening is None:
        raise _not_an_object(body)
    rest = body[opening.end() :]
    next_byte = _FIRST_BYTE.match(rest)
    comma = b"" if next_byte is None or next_byte[1] == b"}" else b","
    return b"".join((opening[0], b'"model":', value, comma, rest))


def _walk_to_model(body: bytes) -> Place | None:
    """Find the position token by token: for keys with escapes and for many nested `model` keys."""
    if len(body) > MAX_WALKED_BYTES:
        raise ClientError(
            "The 'model' of this request cannot be distinguished safely from nested ones. "
            'Write its key as plain "model", as the first member of the body.',
            param="model",
        )
    depth, place = 0, None
    for token in _TOKEN.finditer(body):
        text = token[0]
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and _spells_model(text):
            found = _VALUE_AFTER_KEY.match(body, token.end())
            place = found.span(1) if found else place
    return place


def _spells_model(key: bytes) -> bool:
    return key == _MODEL_KEY or (b"\\u" in key and _text(key) == "model")


def _text(string: bytes) -> str | None:
    try:
        text: str | None = _text_or_null.decode(string)
        return text
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # a lone surrogate, or bytes that are not UTF-8: not the key

"""Whether a whole answer with a success status holds what was asked for.

Vendors, gateways and CDNs report failures with status 200: an error object, a document without an
answer in it, a page of HTML, nothing at all. What is not understood counts as an answer.

Sources: the vendors' API references for the member that holds an answer; for the failures,
OpenRouter's "Errors" (an error at the top or inside a choice) and reports of clients' users.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from functools import reduce

import msgspec

from llmproxy.operations.answers import ANSWER, AnswerKind
from llmproxy.operations.dialects.base import (
    ABSENT,
    UNREADABLE,
    is_error_in_list,
    is_truthy,
    text_of,
)
from llmproxy.operations.usage import Counts, Usage


class _UsualChoice(msgspec.Struct, gc=False):
    message: msgspec.Raw = ABSENT
    error: None = None
    finish_reason: str | None = None


class _UsualChat(msgspec.Struct, gc=False):
    """A chat completion as nearly every vendor writes it. Anything else takes the slower path."""

    choices: list[_UsualChoice]
    object: str | None = None
    type: None = None
    error: None = None
    usage: Counts | None = None
    service_tier: msgspec.Raw = ABSENT

    @property
    def is_answer(self) -> bool:
        """Whether it certainly holds an answer."""
        if not self.choices or self.object == "error":
            return False
        first = self.choices[0]
        return len(first.message) > len(b"null") and first.finish_reason != "error"


class _Whole(msgspec.Struct, gc=False):
    """The members that matter, still as JSON. One of the last five holds the answer."""

    usage: msgspec.Raw = ABSENT
    service_tier: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    object: msgspec.Raw = ABSENT
    type: msgspec.Raw = ABSENT
    status: msgspec.Raw = ABSENT
    choices: msgspec.Raw = ABSENT
    output: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT
    results: msgspec.Raw = ABSENT


class _Image(msgspec.Struct, gc=False):
    b64_json: str | None = None
    url: str | None = None


class _Choice(msgspec.Struct, gc=False):
    message: msgspec.Raw = ABSENT
    text: msgspec.Raw = ABSENT  # the older completions
    delta: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    finish_reason: msgspec.Raw = ABSENT

    @property
    def failed(self) -> bool:
        """Whether the choice is an error instead of an answer (OpenRouter)."""
        return is_truthy(self.error) or bytes(self.finish_reason) == b'"error"'

    @property
    def says_something(self) -> bool:
        """Whether the choice holds an answer, be it an empty one, or the reason for none."""
        if self.failed:
            return False
        held = (self.message, self.text, self.delta)
        if any(bytes(value) not in _NOTHING for value in held):
            return True
        return bytes(self.finish_reason) not in _NO_REASON


_usual = msgspec.json.Decoder(_UsualChat)
_whole = msgspec.json.Decoder(_Whole)
_counts = msgspec.json.Decoder(Counts)
_choices = msgspec.json.Decoder(list[_Choice | None])
_images = msgspec.json.Decoder(list[_Image])
_list = msgspec.json.Decoder(list[msgspec.Raw])
_NOTHING = frozenset((b"", b"null"))
_EMPTY_LISTS = _NOTHING | {b"[]"}
_NO_REASON = _NOTHING | {b'"stop"'}  # for an absent answer
_ERROR = b'"error"'
# Lone surrogates, of a text that was cut within an emoji; and the numbers that only Python writes.
_REPAIRS = ((rb"\ud", rb"\ue"), (rb"\uD", rb"\uE"), (b"NaN", b"null"), (b"Infinity", b"1e99"))
_LONGEST_EMPTY = 64  # bytes: no empty list is longer, so longer ones are not read for it


def read_answer(body: bytes, member: str | None) -> tuple[AnswerKind, Usage | None]:
    """Say what a whole body is, and return the usage that it reports.

    `member`: where the operation's answers are. None: the operation promises no particular form,
    and only an error is recognised.
    """
    if member == "choices":
        try:
            usual = _usual.decode(body)
        except UNREADABLE:
            pass
        else:
            if usual.is_answer:
                return ANSWER, None if usual.usage is None else usual.usage.usage(
                    usual.service_tier
                )
    if not body.startswith(b"{"):
        body = body.removeprefix(BOM_UTF8).lstrip()
        if not body.startswith(b"{"):
            return _without_object(body, member) if body else AnswerKind.UNREADABLE, None
    try:
        whole = _whole.decode(body)
    except RecursionError:  # nested deeper than we read
        return ANSWER, None
    except UNREADABLE:
        if (repaired := reduce(lambda text, pair: text.replace(*pair), _REPAIRS, body)) != body:
            return read_answer(repaired, member)
        return AnswerKind.UNREADABLE, None
    kind = _kind_of(whole, member)
    return kind, _usage_in(whole) if kind is ANSWER else None


def _usage_in(whole: _Whole) -> Usage | None:
    if not len(whole.usage):
        images = _images_in(whole.data)
        return Usage(0, 0, images=images) if images else None
    try:
        return _counts.decode(whole.usage).usage(whole.service_tier)
    except UNREADABLE:
        return None


def _images_in(raw: msgspec.Raw) -> int:
    """Return how many images a list of answers has."""
    if _is_empty_list(raw):
        return 0
    try:
        return sum(bool(one.b64_json or one.url) for one in _images.decode(raw))
    except UNREADABLE:
        return 0


def _kind_of(whole: _Whole, member: str | None) -> AnswerKind:
    if (len(whole.error) and is_truthy(whole.error)) or _is_error(whole):
        return AnswerKind.ERROR
    match member:
        case None:
            return ANSWER
        case "choices":
            kind = _kind_of_choices(whole.choices)
        case "output":
            kind = _kind_of_response(whole)
        case "content":  # Anthropic's may be an empty list
            is_empty = len(whole.content) <= len(b"null") and bytes(whole.content) in _NOTHING
            kind = AnswerKind.EMPTY if is_empty else ANSWER
        case _:
            kind = AnswerKind.EMPTY if _is_empty_list(getattr(whole, member)) else ANSWER
    if kind is AnswerKind.EMPTY and _answers_otherwise(whole):
        return ANSWER  # not understood
    return kind


def _is_error(whole: _Whole) -> bool:
    """Whether its `object` or its `type` is "error"."""
    if len(_ERROR) not in (len(whole.object), len(whole.type)):
        return False
    return any(bytes(kind) == _ERROR for kind in (whole.object, whole.type))


def _answers_otherwise(whole: _Whole) -> bool:
    """Whether a member that another operation's answers have holds something."""
    lists = (whole.output, whole.content, whole.data, whole.results)
    return not all(map(_is_empty_list, lists)) or _kind_of_choices(whole.choices) is ANSWER


def _without_object(start: bytes, member: str | None) -> AnswerKind:
    """Judge a body that is no JSON object."""
    if start.startswith(b"["):  # Gemini puts its errors into a list
        try:
            listed = _list.decode(start)
        except UNREADABLE:
            return AnswerKind.UNREADABLE
        if is_error_in_list(start):
            return AnswerKind.ERROR
        return AnswerKind.ANSWER if listed else AnswerKind.EMPTY
    return AnswerKind.ANSWER if member is None else AnswerKind.UNREADABLE


def _kind_of_choices(raw: msgspec.Raw) -> AnswerKind:
    if len(raw) <= len(b"null") and bytes(raw) in _NOTHING:
        return AnswerKind.EMPTY
    try:
        choices = _choices.decode(raw)
    except UNREADABLE:
        return AnswerKind.ANSWER  # not understood
    there = [choice for choice in choices if choice is not None]
    if any(choice.says_something for choice in there):
        return AnswerKind.ANSWER
    return AnswerKind.ERROR if any(choice.failed for choice in there) else AnswerKind.EMPTY


def _kind_of_response(whole: _Whole) -> AnswerKind:
    status = text_of(whole.status)
    if status == "failed":
        return AnswerKind.ERROR
    # One that is still under way, or ended before it was complete, may have no output.
    if status not in (None, "completed"):
        return AnswerKind.ANSWER
    return AnswerKind.EMPTY if _is_empty_list(whole.output) else AnswerKind.ANSWER


def _is_empty_list(raw: msgspec.Raw) -> bool:
    """Whether a member is absent, null or a list without members."""
    return len(raw) < _LONGEST_EMPTY and bytes(raw).translate(None, b" \t\r\n") in _EMPTY_LISTS

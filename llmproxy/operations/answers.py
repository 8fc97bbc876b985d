"""What a body with a success status is, as far as its beginning and its usage say."""

from __future__ import annotations

from codecs import BOM_UTF8
from enum import StrEnum

from llmproxy.operations.usage import Usage, usage_of


class AnswerKind(StrEnum):
    """What a whole body is."""

    ANSWER = "answer"
    EMPTY = "empty"  # in the right form, without an answer in it
    ERROR = "error"  # it says that something failed
    UNREADABLE = "unreadable"  # blank, cut, or not the JSON that was promised


ANSWER = AnswerKind.ANSWER  # compared for every answer; the attribute of an enum is slow


def take_as_answer(body: bytes, member: str | None) -> tuple[AnswerKind, Usage | None]:
    """Take a whole body as the answer, and return the usage that it reports (a `ReadAnswer`)."""
    del member
    return ANSWER, usage_of(body)


def begins_as_json(start: bytes) -> bool:
    """Whether the beginning of a body can be that of a JSON answer."""
    return start.removeprefix(BOM_UTF8).lstrip()[:1] in (b"{", b"[", b"")


def begins_as_events(start: bytes) -> bool:
    """Whether the beginning of a body is that of an event stream, whatever its content-type."""
    return start.lstrip().startswith((b"data:", b"event:", b":", b"id:", b"retry:"))

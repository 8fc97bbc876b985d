"""Whether an answer is whole, in either form: it told no error, and all of it ended by itself."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from llmproxy.cache.representations.recorded_stream import DONE, UNREADABLE, chunk_in, last_data
from llmproxy.operations import CHAT, operation_at

# Why a choice ended well. `content_filter` and others may go differently the next time.
ENDED_WELL = frozenset(("stop", "length", "tool_calls", "function_call"))
MAX_ERRORS = 16  # keys of that name that are looked at
_FINISHES = re.compile(rb'"finish_reason"\s*:\s*"(\w+)"')
_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\{\s*"index"\s*:\s*(\d+)')


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _Answer(msgspec.Struct, gc=False):
    error: Any = None
    status: str | None = None
    choices: list[_Choice] | None = None


class _Response(msgspec.Struct, gc=False):
    status: str | None = None
    error: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str | None = None
    response: _Response | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_EVENT = msgspec.json.Decoder(_Event)


def is_complete(body: bytes, operation: str) -> bool:
    """Whether the body of a 200 is a complete answer."""
    try:
        told = _ANSWER.decode(body)
    except UNREADABLE:
        return False
    if told.error is not None:
        return False
    if operation == "responses":
        return told.status == "completed"
    if operation_at(operation).dialect is not CHAT:
        return True
    return bool(told.choices) and all(
        choice.finish_reason in ENDED_WELL for choice in told.choices or ()
    )


def stream_is_complete(events: bytes, operation: str) -> bool:
    """The same of a recorded stream, which must have said its end."""
    if operation == "responses":
        return completed(events) is not None
    if last_data(events, 1) != [DONE] or _tells_error(events):
        return False
    finishes = _FINISHES.findall(events)
    choices = set(_CHOICES.findall(events))
    ended_well = ENDED_WELL.issuperset(each.decode() for each in set(finishes))
    return bool(finishes) and ended_well and len(finishes) >= len(choices)


def completed(events: bytes) -> bytes | None:
    """The data of the event that ends a response well; None if that is not the stream's end."""
    for data in last_data(events, 2):
        if data == DONE:  # some compatible vendors add it
            continue
        try:
            event = _EVENT.decode(data)
        except UNREADABLE:
            return None
        response = event.response if event.type == "response.completed" else None
        if response is None or response.status != "completed" or response.error is not None:
            return None
        return data
    return None


def _tells_error(events: bytes) -> bool:
    """Whether an event says that the stream failed: by its name, or by an error of its own."""
    if events.startswith(b"event: error") or b"\nevent: error" in events:
        return True
    at = -1
    for _ in range(MAX_ERRORS):
        at = events.find(b'"error"', at + 1)
        if at < 0:
            return False
        start, end = events.rfind(b"\n", 0, at) + 1, events.find(b"\n", at)
        chunk = chunk_in(events[start:end])
        if chunk is None or chunk.error:
            return True
    return True

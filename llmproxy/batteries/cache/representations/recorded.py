"""Reading recorded answers: what they contain, and whether they are complete.

An answer is complete if it reports no error and all of it ended by itself. This runs on the event
loop, so a stream's bytes are searched, and few of its events decoded. The search for a key cannot
be misled by the text of an answer: inside a JSON string, the key's quotes would be escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from llmproxy.operations import CHAT, MESSAGES, operation_at

DONE = b"[DONE]"
# Why a choice ended well. After `content_filter` and others, the next answer may be another one.
ENDED_WELL = frozenset(("stop", "length", "tool_calls", "function_call"))
# The same of a message. After `refusal` and `pause_turn`, the next answer may be another one.
STOPPED_WELL = frozenset(("end_turn", "max_tokens", "stop_sequence", "tool_use"))
MAX_ERRORS = 16  # keys "error" that are examined
_LAST_LINES = 8  # of a stream; its last two data lines are among them
_FINISHES = re.compile(rb'"finish_reason"\s*:\s*"(\w+)"')
_STOPS = re.compile(rb'"stop_reason"\s*:\s*"(\w+)"')
_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\{\s*"index"\s*:\s*(\d+)')


class _RecordedChoice(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _JsonAnswer(msgspec.Struct, gc=False):
    error: Any = None
    status: str | None = None
    stop_reason: str | None = None
    choices: list[_RecordedChoice] | None = None


class _RecordedChunk(msgspec.Struct, gc=False):
    choices: list[Any] | None = None
    usage: Any = None
    error: Any = None


class _Response(msgspec.Struct, gc=False):
    status: str | None = None
    error: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str | None = None
    response: _Response | None = None


_ANSWER = msgspec.json.Decoder(_JsonAnswer)
_CHUNK = msgspec.json.Decoder(_RecordedChunk)
_EVENT = msgspec.json.Decoder(_Event)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def is_complete(body: bytes, operation: str) -> bool:
    """Whether the body of a 200 is a complete answer."""
    try:
        answer = _ANSWER.decode(body)
    except _UNREADABLE:
        return False
    if answer.error is not None:
        return False
    if operation == "responses":
        return answer.status == "completed"
    dialect = operation_at(operation).dialect
    if dialect is MESSAGES:
        return answer.stop_reason in STOPPED_WELL
    if dialect is not CHAT:
        return True
    return bool(answer.choices) and all(
        choice.finish_reason in ENDED_WELL for choice in answer.choices or ()
    )


def stream_is_complete(events: bytes, operation: str) -> bool:
    """Whether a recorded stream is a complete answer; it must contain its last event."""
    if operation == "responses":
        return completed(events) is not None
    if operation_at(operation).dialect is MESSAGES:
        return _message_is_complete(events)
    if _last_data(events, 1) != [DONE] or _contains_error(events):
        return False
    finishes = _FINISHES.findall(events)
    choices = set(_CHOICES.findall(events))
    ended_well = ENDED_WELL.issuperset(reason.decode() for reason in set(finishes))
    return bool(finishes) and ended_well and len(finishes) >= len(choices)


def _message_is_complete(events: bytes) -> bool:
    last, stops = _last_data(events, 1), _STOPS.findall(events)
    try:
        ended = bool(last) and _EVENT.decode(last[0]).type == "message_stop"
    except _UNREADABLE:
        return False
    if not ended or _contains_error(events):
        return False
    return bool(stops) and stops[-1].decode() in STOPPED_WELL


def completed(events: bytes) -> bytes | None:
    """Return the data of `response.completed`; None if the stream does not end with it."""
    for data in _last_data(events, 2):
        if data == DONE:  # some compatible vendors add it
            continue
        try:
            event = _EVENT.decode(data)
        except _UNREADABLE:
            return None
        response = event.response if event.type == "response.completed" else None
        if response is None or response.status != "completed" or response.error is not None:
            return None
        return data
    return None


def without_usage(events: bytes, operation: str) -> bytes:
    """Return a recorded chat without its usage chunk, for a client that did not ask for usage.

    Everything else stays as it is, also usage that a vendor sends beside a choice.
    """
    at = -1 if operation == "responses" else events.rfind(b'"usage"')
    if at < 0:
        return events
    start = events.rfind(b"\n", 0, at) + 1
    end = events.find(b"\n", at)
    chunk = _chunk_in(events[start:end])
    if chunk is None or chunk.choices != [] or chunk.usage is None:
        return events
    rest = events[end + 1 :]
    blank = len(rest) - len(rest.lstrip(b"\r\n"))  # the end of the event
    return events[:start] + rest[blank:]


def data_of(events: bytes) -> Iterator[bytes]:
    """Yield the data of each event.

    Raises ValueError for an event that is not one line of data, as all vendors send it.
    """
    for line in events.splitlines():
        if line.startswith(b"data:"):
            yield line[5:].strip()
        elif line and not line.startswith((b":", b"event:", b"id:", b"retry:")):
            raise ValueError("not a field of an event")


def _last_data(events: bytes, count: int) -> list[bytes]:
    """Return the data of the last events, the last one first."""
    lines = events.rstrip(b"\r\n").rsplit(b"\n", _LAST_LINES)[-_LAST_LINES:]
    data = [line[5:].strip() for line in reversed(lines) if line.startswith(b"data:")]
    return data[:count]


def _contains_error(events: bytes) -> bool:
    """Whether an event reports a failure: by its name, or by a key `error`."""
    if events.startswith(b"event: error") or b"\nevent: error" in events:
        return True
    at = -1
    for _ in range(MAX_ERRORS):
        at = events.find(b'"error"', at + 1)
        if at < 0:
            return False
        start, end = events.rfind(b"\n", 0, at) + 1, events.find(b"\n", at)
        chunk = _chunk_in(events[start:end])
        if chunk is None or chunk.error:
            return True
    return True


def _chunk_in(line: bytes) -> _RecordedChunk | None:
    """Return the chunk in a line of data; None for any other line."""
    try:
        return _CHUNK.decode(line.strip()[5:]) if line.startswith(b"data:") else None
    except _UNREADABLE:
        return None

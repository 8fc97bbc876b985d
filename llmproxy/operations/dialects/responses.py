"""OpenAI's responses: typed events, ended by `response.completed` and its kin.

Source: OpenAI's API reference, "Streaming events" of the Responses API.
"""

from __future__ import annotations

import re

import msgspec

from llmproxy.errors import StreamBroken
from llmproxy.operations import sse
from llmproxy.operations.dialects.base import (
    ABSENT,
    END,
    ERROR,
    LAST_EVENTS,
    UNREADABLE,
    Dialect,
    EventKind,
    is_truthy,
    kind_of_unreadable,
    members,
    text_of,
)

_KINDS = {
    "response.created": EventKind.PREAMBLE,
    "response.queued": EventKind.PREAMBLE,
    "response.in_progress": EventKind.PREAMBLE,
    "response.completed": EventKind.END,
    "response.incomplete": EventKind.END,
    "response.failed": EventKind.ERROR,
    "error": EventKind.ERROR,
}
_FINAL_USAGE = re.compile(rb'(?<!\\)"usage"\s*:\s*\{\s*"input_tokens"')


class _ResponseEvent(msgspec.Struct, gc=False):
    type: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    response: msgspec.Raw = ABSENT
    item: msgspec.Raw = ABSENT


_response_event = msgspec.json.Decoder(_ResponseEvent)


class _Responses(Dialect):
    """The dialect of responses."""

    __slots__ = ()

    name = "responses"
    reads_stored_state = True

    def model_list(self, names: list[str], created: int) -> dict[str, object]:
        """Return what Codex can read, and what leaves it its own list (decision 043)."""
        return {"models": []}

    def _kind_of(self, name: bytes, data: bytes) -> EventKind:
        try:
            event = _response_event.decode(data)
        except UNREADABLE:
            return kind_of_unreadable(data)
        if is_truthy(event.error):
            return EventKind.ERROR
        kind = text_of(event.type) or name.decode("latin-1")
        if kind == "response.output_item.added" and _is_empty_item(event.item):
            return EventKind.PREAMBLE
        return _KINDS.get(kind, EventKind.CONTENT)

    def ends_empty(self, event: bytes) -> bool:
        """False for the finished response; `[DONE]`, which some vendors add, holds nothing."""
        return sse.fields(event)[1].startswith(b"[DONE]")

    def is_complete(self, tail: bytes) -> bool:
        """Whether the stream reports its end.

        A `response.completed` longer than the tail is recognised by its usage, which only terminal
        events have.
        """
        for event in sse.last_events(tail, LAST_EVENTS):
            if self.classify(event) in (END, ERROR):
                return True
            if not event.startswith((b"event:", b"data:", b":")):  # its beginning is cut off
                return _FINAL_USAGE.search(event) is not None
        return False

    def interruption(
        self, message: str, code: str = StreamBroken.code, *, beginning: bytes = b""
    ) -> bytes:
        """Return a failed response, or an error event if the response is not known.

        Its top-level `error` is ours: openai-python and openai-node raise on that, but hand out a
        `response.failed` like any other event, and then just end.
        """
        error = {"type": "server_error", "code": code, "message": message, "param": None}
        response = _created_response(beginning)
        if not response:
            own = {"type": "error", "code": code, "message": message, "param": None}
            return sse.event_of("error", {**own, "error": error})
        failed = {**response, "status": "failed", "error": {"code": code, "message": message}}
        payload = {"type": "response.failed", "response": failed, "error": error}
        return sse.event_of("response.failed", payload)


def _is_empty_item(raw: msgspec.Raw) -> bool:
    """Whether a message or reasoning only begins; a tool's name would already be content."""
    item = members(raw)
    if text_of(item.get("type", ABSENT)) not in ("message", "reasoning"):
        return False
    return not any(is_truthy(item.get(name, ABSENT)) for name in ("content", "summary"))


def _created_response(beginning: bytes) -> dict[str, msgspec.Raw]:
    """Return the response as the stream's first event gives it; empty if it does not."""
    events, _ = sse.split_events(beginning)
    try:
        return members(_response_event.decode(sse.fields(events[0])[1]).response)
    except (*UNREADABLE, IndexError):
        return {}


RESPONSES = _Responses()

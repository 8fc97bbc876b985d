"""A messages stream -> events."""

from __future__ import annotations

import msgspec

from llmproxy.batteries.translation.failures import read_failure
from llmproxy.batteries.translation.framing import EventCutter
from llmproxy.batteries.translation.hub import (
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    AnswerTokens,
    FinishReason,
    SignOfLife,
    Thinking,
    ToolCall,
)
from llmproxy.batteries.translation.hub.sequence import PartSequence
from llmproxy.batteries.translation.messages.answers import (
    FINISHES,
    NO_TOKENS,
    ContentBlock,
    MessageTokens,
)
from llmproxy.batteries.translation.messages.thinking import unsealed
from llmproxy.operations import sse

# Of the errors that a stream can end with; Anthropic's page "Errors".
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _Head(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: MessageTokens | None = None


class _BlockDelta(msgspec.Struct):
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _StreamedEvent(msgspec.Struct):
    type: str = ""
    message: _Head | None = None
    content_block: ContentBlock | None = None
    delta: _BlockDelta | None = None
    usage: MessageTokens | None = None


_event = msgspec.json.Decoder(_StreamedEvent)


class MessagesEventReader:
    """Reads one stream. `_finish`: why the answer ends, and by which text, once that is told."""

    __slots__ = ("_events", "_finish", "_parts", "_tokens")

    def __init__(self) -> None:
        self._events = EventCutter()
        self._parts = PartSequence()
        self._tokens: AnswerTokens | None = None
        self._finish: tuple[FinishReason, str | None] = (FinishReason.DONE, None)

    def read(self, chunk: bytes) -> list[AnswerEvent]:
        """Return the events that are complete with these bytes. b"" = the stream has ended."""
        events = self._events.cut(chunk) if chunk else self._events.rest_as_event()
        return [said for event in events for said in self._read_event(event)]

    def _read_event(self, event: bytes) -> list[AnswerEvent]:
        if sse.is_comment(event):
            return [SignOfLife()] if event.strip() else []
        _, data = sse.fields(event)
        try:
            read = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return [AnswerFailed(read_failure(500, data))]
        match read.type:
            case "message_start":
                return self._start(read.message or _Head())
            case "content_block_start" if read.content_block is not None:
                return self._begin(read.content_block)
            case "content_block_delta" if read.delta is not None:
                return self._grow(read.delta)
            case "content_block_stop":
                return self._parts.end()
            case "message_delta":
                self._note_end(read)
                return []
            case "message_stop":
                finish, stop_text = self._finish
                return [*self._parts.end(), AnswerFinished(finish, self._tokens, stop_text)]
            case "ping":
                return [SignOfLife()]
            case "error":
                failure = read_failure(500, data)
                status = _STATUSES.get(failure.kind, 500)
                return [AnswerFailed(msgspec.structs.replace(failure, status=status))]
            case _:
                return []  # Anthropic adds events; clients are told to ignore what they do not know

    def _start(self, head: _Head) -> list[AnswerEvent]:
        if head.usage is not None:
            self._tokens = head.usage.counted()
        return [AnswerStarted(head.id, head.model, self._tokens)]

    def _begin(self, block: ContentBlock) -> list[AnswerEvent]:
        part = block.part()
        if part is None:
            return self._parts.end()
        if not isinstance(part, ToolCall):
            return self._parts.begin(part)
        given = "" if part.arguments in ("{}", "null") else part.arguments
        begun = self._parts.begin(msgspec.structs.replace(part, arguments=""))
        return [*begun, *self._parts.grow(text=given)]

    def _grow(self, delta: _BlockDelta) -> list[AnswerEvent]:
        if self._parts.open is None:
            return []  # of a block that has no part
        text = delta.text or delta.partial_json or delta.thinking or ""
        if delta.signature is None or not isinstance(self._parts.open, Thinking):
            return self._parts.grow(text=text)
        seal = unsealed("", delta.signature, "")
        return self._parts.grow(
            text=text,
            signature=seal.signature or "",
            encrypted=seal.encrypted or "",
            thinking_id=seal.id or "",
        )

    def _note_end(self, read: _StreamedEvent) -> None:
        if read.usage is not None:
            self._tokens = read.usage.counted(self._tokens or NO_TOKENS)
        if read.delta is not None:
            finish = FINISHES.get(read.delta.stop_reason or "", FinishReason.DONE)
            self._finish = (finish, read.delta.stop_sequence)

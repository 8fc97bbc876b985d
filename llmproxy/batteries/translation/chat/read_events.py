"""A chat stream -> events.

Vendors may mix the arguments of parallel tool calls, and send the usage before, with or after the
reason for the end, or not at all.
"""

from __future__ import annotations

import msgspec

from llmproxy.batteries.translation.chat.answers import (
    FINISHES,
    CalledTool,
    ChatTokens,
    ReasoningDetail,
    SpokenMessage,
    call_of,
    finish_of,
)
from llmproxy.batteries.translation.failures import read_failure
from llmproxy.batteries.translation.framing import EventCutter
from llmproxy.batteries.translation.hub import (
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    AnswerTokens,
    FinishReason,
    PlainText,
    Refusal,
    SignOfLife,
    Thinking,
    ToolCall,
)
from llmproxy.batteries.translation.hub.sequence import PartSequence
from llmproxy.operations import sse
from llmproxy.operations.dialects.base import is_truthy

DONE = b"[DONE]"
FAILED_STATUS = 500  # of an error in a stream that tells none


class _ChoiceInPieces(msgspec.Struct):
    delta: SpokenMessage | None = None
    finish_reason: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"")


class _ChunkOfChat(msgspec.Struct):
    id: str = ""
    model: str = ""
    created: int | None = None
    choices: list[_ChoiceInPieces] | None = None
    usage: ChatTokens | None = None
    error: msgspec.Raw = msgspec.Raw(b"")


_chunk = msgspec.json.Decoder(_ChunkOfChat)
_arguments = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ChatEventReader:
    """Reads one stream.

    `_call`: the open call: its index, its arguments so far. `_waiting`: calls that began while
    another one was not complete, by their index, with the arguments that came since; `_late`: the
    text that did.
    """

    __slots__ = (
        "_call",
        "_called",
        "_events",
        "_finish",
        "_late",
        "_parts",
        "_started",
        "_tokens",
        "_waiting",
    )

    def __init__(self) -> None:
        self._events = EventCutter()
        self._started = False
        self._parts = PartSequence()
        self._call: tuple[int, str] = (-1, "")
        self._called = False
        self._waiting: dict[int, ToolCall] = {}
        self._late = ""
        self._finish: FinishReason | None = None
        self._tokens: AnswerTokens | None = None

    def read(self, chunk: bytes) -> list[AnswerEvent]:
        """Return the events that are complete with these bytes. b"" = the stream has ended."""
        events = self._events.cut(chunk) if chunk else self._events.rest_as_event()
        read = [said for event in events for said in self._read_event(event)]
        return read if chunk else read + self._end()

    def _read_event(self, event: bytes) -> list[AnswerEvent]:
        if sse.is_comment(event):
            return [SignOfLife()] if event.strip() else []
        _, data = sse.fields(event)
        if data.startswith(DONE):
            return self._end()
        try:
            chunk = _chunk.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return [AnswerFailed(read_failure(FAILED_STATUS, data))]
        if is_truthy(chunk.error):
            return [AnswerFailed(read_failure(FAILED_STATUS, data))]
        return self._read_chunk(chunk)

    def _read_chunk(self, chunk: _ChunkOfChat) -> list[AnswerEvent]:
        if chunk.usage is not None:
            self._tokens = chunk.usage.counted()
        events: list[AnswerEvent] = []
        for choice in (chunk.choices or ())[:1]:
            if is_truthy(choice.error):
                return [AnswerFailed(read_failure(FAILED_STATUS, bytes(choice.error)))]
            if not self._started:
                self._started = True
                events.append(AnswerStarted(chunk.id, chunk.model, None, chunk.created))
            if choice.delta is not None:
                events += self._read_delta(choice.delta)
            if choice.finish_reason is not None:
                self._finish = FINISHES.get(choice.finish_reason, FinishReason.DONE)
        if self._finish is not None and self._tokens is not None:
            events += self._end()
        return events

    def _read_delta(self, delta: SpokenMessage) -> list[AnswerEvent]:
        events: list[AnswerEvent] = []
        if delta.reasoning_details:
            for detail in delta.reasoning_details:
                events += self._read_detail(detail)
        elif thought := delta.reasoning_content or delta.reasoning:
            events += self._parts.grow_text(Thinking, thought)
        if text := delta.text():
            if isinstance(self._parts.open, ToolCall) and not _is_whole(self._call[1]):
                self._late += text
            else:
                events += self._parts.grow_text(PlainText, text)
        if delta.refusal:
            events += self._parts.grow_text(Refusal, delta.refusal)
        for called in delta.tool_calls or ():
            events += self._read_call(called)
        return events

    def _read_detail(self, detail: ReasoningDetail) -> list[AnswerEvent]:
        thinking = detail.thinking()
        if thinking.redacted is not None:
            return self._parts.begin(thinking)
        events = self._parts.grow_text(Thinking, thinking.text)
        return events + self._parts.grow(
            signature=thinking.signature or "",
            encrypted=thinking.encrypted or "",
            thinking_id=thinking.id or "",
        )

    def _read_call(self, called: CalledTool) -> list[AnswerEvent]:
        piece = call_of(called)
        if isinstance(self._parts.open, ToolCall):
            index, so_far = self._call
            if called.index == index and piece.id in ("", self._parts.open.id):
                self._call = (index, so_far + piece.arguments)
                return self._parts.grow(text=piece.arguments)
            if called.index in self._waiting or not _is_whole(so_far):
                return self._wait(called.index, piece)
        return self._begin_call(called.index, piece)

    def _wait(self, index: int, piece: ToolCall) -> list[AnswerEvent]:
        """Hold a piece back: its call began while another one was not complete."""
        held = self._waiting.get(index)
        if held is not None:
            arguments = held.arguments + piece.arguments
            piece = msgspec.structs.replace(held, arguments=arguments)
        self._waiting[index] = piece
        return []

    def _begin_call(self, index: int, piece: ToolCall) -> list[AnswerEvent]:
        self._called, self._call = True, (index, piece.arguments)
        begun = msgspec.structs.replace(piece, arguments="")
        return [*self._parts.begin(begun), *self._parts.grow(text=piece.arguments)]

    def _end(self) -> list[AnswerEvent]:
        """Return the end of the answer, if its reason has come; the relay notices a missing one."""
        if self._finish is None:
            return []
        events: list[AnswerEvent] = []
        for index, call in self._waiting.items():
            events += self._begin_call(index, call)
        if self._late:
            events += self._parts.grow_text(PlainText, self._late)
        finish = finish_of(self._finish, self._called)
        events += [*self._parts.end(), AnswerFinished(finish, self._tokens)]
        self._waiting, self._late, self._finish = {}, "", None
        return events


def _is_whole(arguments: str) -> bool:
    try:
        _arguments.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True

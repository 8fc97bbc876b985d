"""Events -> a messages stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from llmproxy.batteries.error_events import error_event
from llmproxy.batteries.translation.failures import write_failure
from llmproxy.batteries.translation.hub import (
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    PartEnded,
    PartGrew,
    PartStarted,
    PlainText,
    Question,
    Refusal,
    SignOfLife,
    Thinking,
    ToolCall,
)
from llmproxy.batteries.translation.hub.growing import grown
from llmproxy.batteries.translation.messages.answers import (
    NO_TOKENS,
    finish_name,
    may_be_shown,
    written_tokens,
)
from llmproxy.batteries.translation.messages.thinking import sealed
from llmproxy.operations import MESSAGES, sse

_COMMENT = b": ka\n\n"  # before the answer begins: it belongs to no answer
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class MessagesEventWriter:
    """Writes one stream.

    `_index`: of the block that is open, or was last. `_open`: its part, with all that came of it;
    None: no block is open, or the client is not shown it.
    """

    __slots__ = ("_index", "_open", "_question", "_started")

    def __init__(self, question: Question) -> None:
        self._question = question
        self._started = False
        self._index = -1
        self._open: PlainText | ToolCall | Thinking | Refusal | None = None

    def write(self, events: Iterable[AnswerEvent]) -> bytes:
        """Return whole server-sent events."""
        return b"".join(map(self._write, events))

    def _write(self, event: AnswerEvent) -> bytes:
        match event:
            case AnswerStarted():
                return self._start(event)
            case PartStarted():
                return self._begin(event.part)
            case PartGrew():
                return self._grow(event)
            case PartEnded():
                return self._end()
            case AnswerFinished():
                return self._finish(event)
            case AnswerFailed():
                body = write_failure(event.failure, MESSAGES)
                return error_event(MESSAGES, body) or b""
            case SignOfLife():
                return _PING if self._started else _COMMENT
            case _:
                assert_never(event)

    def _start(self, event: AnswerStarted) -> bytes:
        self._started = True
        message: dict[str, object] = {"id": event.id, "type": "message", "role": "assistant"}
        message |= {"model": event.model, "content": []}
        message |= {"stop_reason": None, "stop_sequence": None}
        message["usage"] = written_tokens(event.tokens or NO_TOKENS)
        return _event("message_start", {"message": message})

    def _begin(self, part: PlainText | ToolCall | Thinking | Refusal) -> bytes:
        if isinstance(part, Thinking) and not may_be_shown(part, self._question):
            return b""
        self._open, self._index = part, self._index + 1
        block: dict[str, object]
        match part:
            case PlainText() | Refusal():
                block, text = {"type": "text", "text": ""}, part.text
            case ToolCall():
                block = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
                text = part.arguments
            case Thinking(redacted=str(data)):
                block, text = {"type": "redacted_thinking", "data": data}, ""
            case Thinking():
                block = {"type": "thinking", "thinking": "", "signature": ""}
                text = part.text
        begun = _event("content_block_start", {"index": self._index, "content_block": block})
        return begun + self._delta(text)

    def _grow(self, grew: PartGrew) -> bytes:
        if self._open is None:
            return b""
        self._open = grown(self._open, grew)
        return self._delta(grew.text)

    def _delta(self, text: str) -> bytes:
        match self._open:
            case _ if not text:
                return b""
            case ToolCall():
                delta = {"type": "input_json_delta", "partial_json": text}
            case Thinking():
                delta = {"type": "thinking_delta", "thinking": text}
            case _:
                delta = {"type": "text_delta", "text": text}
        return _event("content_block_delta", {"index": self._index, "delta": delta})

    def _end(self) -> bytes:
        part, self._open = self._open, None
        if part is None:
            return b""
        seal = b""
        if isinstance(part, Thinking) and (signature := sealed(part)):
            delta = {"type": "signature_delta", "signature": signature}
            seal = _event("content_block_delta", {"index": self._index, "delta": delta})
        return seal + _event("content_block_stop", {"index": self._index})

    def _finish(self, event: AnswerFinished) -> bytes:
        reason = finish_name(event.finish, event.stop_text)
        delta = {"stop_reason": reason, "stop_sequence": event.stop_text}
        usage = written_tokens(event.tokens or NO_TOKENS)
        return _event("message_delta", {"delta": delta, "usage": usage}) + _event(
            "message_stop", {}
        )


def _event(kind: str, payload: dict[str, object]) -> bytes:
    return sse.event_of(kind, {"type": kind, **payload})

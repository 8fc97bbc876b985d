"""Events -> a chat stream, as OpenAI writes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from llmproxy.batteries.translation.chat.answers import (
    finish_name,
    is_freeform,
    must_come_back,
    written_call,
    written_tokens,
)
from llmproxy.batteries.translation.chat.thinking import details_of
from llmproxy.batteries.translation.hub import (
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    AnswerTokens,
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
from llmproxy.operations import CHAT, sse

_DONE = b"data: [DONE]\n\n"
_COMMENT = b": ka\n\n"


class ChatEventWriter:
    """Writes one stream. `_open`: the part that is open, with all that came of it."""

    __slots__ = ("_calls", "_head", "_open", "_question", "_thoughts")

    def __init__(self, question: Question) -> None:
        self._question = question
        self._head: dict[str, object] = {}
        self._open: PlainText | ToolCall | Thinking | Refusal | None = None
        self._calls = self._thoughts = -1

    def write(self, events: Iterable[AnswerEvent]) -> bytes:
        """Return whole server-sent events."""
        return b"".join(map(self._write, events))

    def _write(self, event: AnswerEvent) -> bytes:
        match event:
            case AnswerStarted():
                self._head = {"id": event.id, "object": "chat.completion.chunk"}
                self._head |= {"created": event.created or 0, "model": event.model}
                return self._chunk({"role": "assistant", "content": ""})
            case PartStarted():
                return self._begin(event.part)
            case PartGrew():
                return self._grow(event)
            case PartEnded():
                return self._end()
            case AnswerFinished():
                return self._finish(event)
            case AnswerFailed():
                failure = event.failure
                return CHAT.interruption(failure.message, failure.code or failure.kind)
            case SignOfLife():
                return _COMMENT
            case _:
                assert_never(event)

    def _begin(self, part: PlainText | ToolCall | Thinking | Refusal) -> bytes:
        self._open = part
        if isinstance(part, ToolCall):
            self._calls += 1
            if is_freeform(part, self._question):
                return b""  # written whole, when it is complete
            function = {"name": part.name, "arguments": part.arguments}
            head = {"index": self._calls, "id": part.id, "type": "function"}
            return self._chunk({"tool_calls": [{**head, "function": function}]})
        if isinstance(part, Thinking):
            self._thoughts += 1
        return self._text(part, part.text)

    def _grow(self, grew: PartGrew) -> bytes:
        if self._open is None:
            return b""
        self._open = grown(self._open, grew)
        if not isinstance(self._open, ToolCall):
            return self._text(self._open, grew.text)
        if is_freeform(self._open, self._question):
            return b""
        delta = {"index": self._calls, "function": {"arguments": grew.text}}
        return self._chunk({"tool_calls": [delta]})

    def _text(self, part: PlainText | Thinking | Refusal, text: str) -> bytes:
        if not text:
            return b""
        match part:
            case PlainText():
                return self._chunk({"content": text})
            case Thinking():
                return self._chunk({"reasoning_content": text})
            case Refusal():
                return self._chunk({"refusal": text})

    def _end(self) -> bytes:
        part, self._open = self._open, None
        if isinstance(part, Thinking) and must_come_back(part):
            return self._chunk({"reasoning_details": [details_of(part, self._thoughts)]})
        if isinstance(part, ToolCall) and is_freeform(part, self._question):
            call = {"index": self._calls, **written_call(part, self._question)}
            return self._chunk({"tool_calls": [call]})
        return b""

    def _finish(self, event: AnswerFinished) -> bytes:
        tokens = event.tokens
        if self._question.wants_usage:
            last = self._chunk({}, finish_name(event.finish))
            usage = b"" if tokens is None else self._usage(tokens)
            return last + usage + _DONE
        return self._chunk({}, finish_name(event.finish), tokens) + _DONE

    def _chunk(
        self,
        delta: dict[str, object],
        finish: str | None = None,
        tokens: AnswerTokens | None = None,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self._head, "choices": [choice]}
        if tokens is not None:
            chunk["usage"] = written_tokens(tokens)
        elif self._question.wants_usage:
            chunk["usage"] = None
        return sse.event_of(None, chunk)

    def _usage(self, tokens: AnswerTokens) -> bytes:
        return sse.event_of(None, {**self._head, "choices": [], "usage": written_tokens(tokens)})

"""Whole messages."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llmproxy.batteries.translation.hub import (
    AnswerTokens,
    FinishReason,
    ModelAnswer,
    PlainText,
    Question,
    Refusal,
    Thinking,
    ToolCall,
)
from llmproxy.batteries.translation.hub.language import UnreadableAnswer
from llmproxy.batteries.translation.messages.thinking import block_of, unsealed

FINISHES = {
    "end_turn": FinishReason.DONE,
    "stop_sequence": FinishReason.DONE,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.OUTPUT_LIMIT,
    "model_context_window_exceeded": FinishReason.CONTEXT_FULL,
    "refusal": FinishReason.REFUSED,
    "pause_turn": FinishReason.PAUSED,
}
_FINISH_NAMES = {finish: name for name, finish in FINISHES.items() if name != "stop_sequence"}
# Ends that may come within the arguments of a call.
_CUT = (FinishReason.OUTPUT_LIMIT, FinishReason.CONTEXT_FULL, FinishReason.REFUSED)
NO_TOKENS = AnswerTokens(input=0, output=0)


class ContentBlock(msgspec.Struct):
    """A block of an answer, whole or as it begins."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")

    def part(self) -> PlainText | ToolCall | Thinking | None:
        """Return it as a part; None of what only Anthropic's own tools write."""
        match self.type:
            case "text":
                return PlainText(text=self.text or "")
            case "tool_use":
                arguments = bytes(self.input).decode()
                return ToolCall(id=self.id or "", name=self.name or "", arguments=arguments)
            case "thinking":
                return unsealed(self.thinking or "", self.signature or "", "")
            case "redacted_thinking":
                return Thinking(redacted=self.data or "")
            case _:
                return None


class _ThinkingTokens(msgspec.Struct):
    thinking_tokens: int | None = None


class MessageTokens(msgspec.Struct):
    """The member `usage`: of a whole answer, of its beginning or of its end."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _ThinkingTokens | None = None

    def counted(self, before: AnswerTokens = NO_TOKENS) -> AnswerTokens:
        """Return them as the hub counts them. `before`: what the beginning has told."""
        read, written = self.cache_read_input_tokens, self.cache_creation_input_tokens
        read = before.cache_read if read is None else read
        written = before.cache_written if written is None else written
        uncached = self.input_tokens
        if uncached is None:
            uncached = before.input - before.cache_read - before.cache_written
        details = self.output_tokens_details
        return AnswerTokens(
            input=uncached + read + written,
            output=before.output if self.output_tokens is None else self.output_tokens,
            cache_read=read,
            cache_written=written,
            reasoning=before.reasoning if details is None else details.thinking_tokens,
        )


class _WholeMessage(msgspec.Struct):
    content: list[ContentBlock]
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: MessageTokens | None = None


_message = msgspec.json.Decoder(_WholeMessage)


def read_answer(body: bytes) -> ModelAnswer:
    """Read a whole answer. Raises UnreadableAnswer."""
    try:
        whole = _message.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableAnswer(str(error)) from None
    return ModelAnswer(
        id=whole.id,
        model=whole.model,
        parts=tuple(part for block in whole.content if (part := block.part()) is not None),
        finish=FINISHES.get(whole.stop_reason or "", FinishReason.DONE),
        stop_text=whole.stop_sequence,
        tokens=None if whole.usage is None else whole.usage.counted(),
    )


# ---- writing


def write_answer(answer: ModelAnswer, question: Question) -> bytes:
    """Write a whole answer. Raises UnreadableAnswer for arguments that are no JSON object."""
    whole = {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": list(_blocks(answer, question)),
        "stop_reason": finish_name(answer.finish, answer.stop_text),
        "stop_sequence": answer.stop_text,
        "usage": written_tokens(answer.tokens or NO_TOKENS),
    }
    return msgspec.json.encode(whole)


def may_be_shown(thinking: Thinking, question: Question) -> bool:
    """Return whether a client may be given thinking, which it will send back."""
    if thinking.signature is not None or thinking.redacted is not None:
        return True
    return question.foreign_thinking


def _blocks(answer: ModelAnswer, question: Question) -> Iterator[dict[str, object]]:
    cut = answer.finish in _CUT
    for part in answer.parts:
        match part:
            case ToolCall() if cut and not _is_object(part.arguments):
                continue  # an end that came within its arguments: there is no call to be made
            case PlainText() | Refusal():
                yield {"type": "text", "text": part.text}
            case Thinking():
                if may_be_shown(part, question):
                    yield block_of(part)
            case ToolCall():
                yield {
                    "type": "tool_use",
                    "id": part.id,
                    "name": part.name,
                    "input": _input(part.arguments),
                }


def _input(arguments: str) -> msgspec.Raw:
    if not _is_object(arguments):
        raise UnreadableAnswer("the arguments of a tool call are no JSON object")
    return msgspec.Raw((arguments.strip() or "{}").encode())


def _is_object(arguments: str) -> bool:
    try:
        _object.decode(arguments.strip() or "{}")
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def finish_name(finish: FinishReason, stop_text: str | None) -> str:
    """Return messages' `stop_reason`."""
    if finish is FinishReason.DONE and stop_text is not None:
        return "stop_sequence"
    return _FINISH_NAMES[finish]


def written_tokens(tokens: AnswerTokens) -> dict[str, object]:
    """Return the member `usage`."""
    written: dict[str, object] = {
        "input_tokens": max(0, tokens.input - tokens.cache_read - tokens.cache_written),
        "cache_creation_input_tokens": tokens.cache_written,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output,
    }
    if tokens.reasoning is not None:
        written["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return written

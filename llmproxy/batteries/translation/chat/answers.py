"""Whole chat completions, and their errors."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llmproxy.batteries.translation.chat.thinking import ANTHROPICS, details_of
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
from llmproxy.batteries.translation.hub.freeform import input_of
from llmproxy.batteries.translation.hub.language import UnreadableAnswer

FINISHES = {
    "stop": FinishReason.DONE,
    "length": FinishReason.OUTPUT_LIMIT,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.REFUSED,
}
_FINISH_NAMES = {
    FinishReason.DONE: "stop",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.OUTPUT_LIMIT: "length",
    FinishReason.CONTEXT_FULL: "length",
    FinishReason.REFUSED: "content_filter",
    FinishReason.PAUSED: "stop",
}


class ReasoningDetail(msgspec.Struct):
    """An item of `reasoning_details`, whole or in a stream."""

    type: str = ""
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    format: str | None = None

    def thinking(self) -> Thinking:
        """Return it as thinking."""
        text = self.text or self.summary or ""
        if self.data is not None and self.format == ANTHROPICS:
            return Thinking(redacted=self.data)
        signature = self.signature or None
        return Thinking(text=text, signature=signature, encrypted=self.data, id=self.id)


class CalledFunction(msgspec.Struct):
    """The function, or the freeform tool, of a call."""

    name: str | None = None
    arguments: str | None = None
    input: str | None = None


class CalledTool(msgspec.Struct):
    """An item of `tool_calls`, whole or in a stream."""

    index: int = 0
    id: str | None = None
    function: CalledFunction | None = None
    custom: CalledFunction | None = None


class SpokenMessage(msgspec.Struct):
    """An assistant's message, or a delta of one."""

    content: msgspec.Raw = msgspec.Raw(b"null")
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    tool_calls: list[CalledTool] | None = None

    def text(self) -> str:
        """Return its text; Mistral's reasoning models give it in a list."""
        if bytes(self.content) == b"null":
            return ""
        if bytes(self.content)[:1] == b'"':
            return _text.decode(self.content)
        return "".join(item.text for item in _items.decode(self.content))


class _ContentItem(msgspec.Struct):
    text: str = ""


class _TokenDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class ChatTokens(msgspec.Struct):
    """The member `usage`."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _TokenDetails | None = None
    completion_tokens_details: _TokenDetails | None = None

    def counted(self) -> AnswerTokens:
        """Return them as the hub counts them."""
        read = self.prompt_tokens_details or _TokenDetails()
        wrote = self.completion_tokens_details or _TokenDetails()
        return AnswerTokens(
            input=self.prompt_tokens,
            output=self.completion_tokens,
            cache_read=read.cached_tokens or 0,
            cache_written=read.cache_write_tokens or 0,
            reasoning=wrote.reasoning_tokens,
        )


class _WholeChoice(msgspec.Struct):
    message: SpokenMessage
    finish_reason: str | None = None


class _WholeChatAnswer(msgspec.Struct):
    choices: list[_WholeChoice]
    id: str = ""
    model: str = ""
    created: int | None = None
    usage: ChatTokens | None = None


_text = msgspec.json.Decoder(str)
_items = msgspec.json.Decoder(list[_ContentItem])
_answer = msgspec.json.Decoder(_WholeChatAnswer)


def read_answer(body: bytes) -> ModelAnswer:
    """Read a whole answer. Raises UnreadableAnswer."""
    try:
        whole = _answer.decode(body)
        choice = whole.choices[0]
        parts = tuple(_parts(choice.message))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError) as error:
        raise UnreadableAnswer(str(error)) from None
    finish = FINISHES.get(choice.finish_reason or "", FinishReason.DONE)
    return ModelAnswer(
        id=whole.id,
        model=whole.model,
        parts=parts,
        finish=finish_of(finish, any(isinstance(part, ToolCall) for part in parts)),
        tokens=None if whole.usage is None else whole.usage.counted(),
        created=whole.created,
    )


def finish_of(told: FinishReason, calls: bool) -> FinishReason:
    """Return why an answer ended: some vendors say `stop` although they call tools."""
    return FinishReason.TOOL_CALLS if calls and told is FinishReason.DONE else told


def _parts(message: SpokenMessage) -> Iterator[PlainText | ToolCall | Thinking | Refusal]:
    thought = message.reasoning_content or message.reasoning
    if message.reasoning_details:
        yield from (detail.thinking() for detail in message.reasoning_details)
    elif thought:
        yield Thinking(text=thought)
    if text := message.text():
        yield PlainText(text=text)
    if message.refusal:
        yield Refusal(text=message.refusal)
    yield from map(call_of, message.tool_calls or ())


def call_of(called: CalledTool) -> ToolCall:
    """Return a call of a tool."""
    if called.custom is not None:
        name, text = called.custom.name or "", called.custom.input or ""
        return ToolCall(id=called.id or "", name=name, arguments=text, freeform=True)
    function = called.function or CalledFunction()
    arguments = function.arguments or ""
    return ToolCall(id=called.id or "", name=function.name or "", arguments=arguments)


# ---- writing


def write_answer(answer: ModelAnswer, question: Question) -> bytes:
    """Write a whole answer."""
    texts = [part.text for part in answer.parts if isinstance(part, PlainText)]
    refusals = [part.text for part in answer.parts if isinstance(part, Refusal)]
    thoughts = [part for part in answer.parts if isinstance(part, Thinking)]
    calls = [part for part in answer.parts if isinstance(part, ToolCall)]
    message: dict[str, object] = {"role": "assistant"}
    message["content"] = "".join(texts) if texts else None
    message["refusal"] = "".join(refusals) if refusals else None
    if thought := "\n\n".join(part.text for part in thoughts if part.text):
        message["reasoning_content"] = thought
    if any(must_come_back(part) for part in thoughts):
        message["reasoning_details"] = [details_of(part, i) for i, part in enumerate(thoughts)]
    if calls:
        message["tool_calls"] = [written_call(call, question) for call in calls]
    choice = {"index": 0, "message": message, "logprobs": None}
    choice["finish_reason"] = _FINISH_NAMES[answer.finish]
    head = {"id": answer.id, "object": "chat.completion", "created": answer.created or 0}
    whole: dict[str, object] = {**head, "model": answer.model, "choices": [choice]}
    if answer.tokens is not None:
        whole["usage"] = written_tokens(answer.tokens)
    return msgspec.json.encode(whole)


def finish_name(finish: FinishReason) -> str:
    """Return chat's `finish_reason`."""
    return _FINISH_NAMES[finish]


def must_come_back(thinking: Thinking) -> bool:
    """Return whether its vendor can check it, so that the client should send it back."""
    return (thinking.signature or thinking.redacted or thinking.encrypted) is not None


def is_freeform(call: ToolCall, question: Question) -> bool:
    """Return whether the client offered this tool as one that takes a text."""
    return any(tool.freeform and tool.name == call.name for tool in question.tools)


def written_call(call: ToolCall, question: Question) -> dict[str, object]:
    """Return an item of `tool_calls`."""
    if is_freeform(call, question):
        text = call.arguments if call.freeform else input_of(call.arguments)
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": text}}
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def written_tokens(tokens: AnswerTokens) -> dict[str, object]:
    """Return the member `usage`."""
    read = {"cached_tokens": tokens.cache_read}
    if tokens.cache_written:
        read["cache_write_tokens"] = tokens.cache_written
    written: dict[str, object] = {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": read,
    }
    if tokens.reasoning is not None:
        written["completion_tokens_details"] = {"reasoning_tokens": tokens.reasoning}
    return written

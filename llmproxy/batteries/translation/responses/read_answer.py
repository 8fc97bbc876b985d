"""Reads a whole response of an endpoint, and the parts of it that the events of a stream repeat.

Items that only OpenAI's own tools make are passed over: no translated call asks for such a tool.
"""

from __future__ import annotations

import msgspec

from llmproxy.batteries.translation.hub import (
    AnswerTokens,
    FinishReason,
    ModelAnswer,
    PlainText,
    Refusal,
    Thinking,
    ToolCall,
)
from llmproxy.batteries.translation.hub.language import UnreadableAnswer
from llmproxy.batteries.translation.responses.names import joined

NOTHING = msgspec.Raw(b"null")
AnswerPart = PlainText | ToolCall | Thinking | Refusal


class ContentPart(msgspec.Struct, gc=False):
    """A part of a message, or of reasoning."""

    type: str = ""
    text: str = ""
    refusal: str = ""


class OutputItem(msgspec.Struct):
    """One item of the output, of any type."""

    type: str = ""
    id: str | None = None
    content: list[ContentPart] | None = None
    summary: list[ContentPart] | None = None
    encrypted_content: str | None = None
    call_id: str = ""
    name: str = ""
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class WholeResponse(msgspec.Struct):
    """A response, as far as it is read."""

    id: str = ""
    model: str = ""
    status: str | None = None
    created_at: float | None = None
    output: list[msgspec.Raw] | None = None
    usage: _Usage | None = None
    incomplete_details: _Incomplete | None = None
    error: msgspec.Raw = NOTHING

    def tokens(self) -> AnswerTokens | None:
        """Return the usage; None if it is not told."""
        usage = self.usage
        if usage is None:
            return None
        read = usage.input_tokens_details or _InputDetails()
        written = usage.output_tokens_details or _OutputDetails()
        return AnswerTokens(
            input=usage.input_tokens,
            output=usage.output_tokens,
            cache_read=read.cached_tokens or 0,
            cache_written=read.cache_write_tokens or 0,
            reasoning=written.reasoning_tokens,
        )

    def finish(self, *, calls: bool, refuses: bool) -> FinishReason:
        """Return why the answer ended. `calls`, `refuses`: what its parts are."""
        if self.status == "incomplete":
            cut_by = self.incomplete_details.reason if self.incomplete_details else None
            if cut_by == "content_filter":
                return FinishReason.REFUSED
            return FinishReason.OUTPUT_LIMIT
        if calls:
            return FinishReason.TOOL_CALLS
        return FinishReason.REFUSED if refuses else FinishReason.DONE

    def created(self) -> int | None:
        """Return the Unix seconds at which it began."""
        return None if self.created_at is None else int(self.created_at)


_response = msgspec.json.Decoder(WholeResponse)
_item = msgspec.json.Decoder(OutputItem)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_answer(body: bytes) -> ModelAnswer:
    """Read an endpoint's whole answer. Raises UnreadableAnswer."""
    response = read_response(body)
    if response.status in ("failed", "cancelled") or response.status in ("queued", "in_progress"):
        raise UnreadableAnswer(f"The response is {response.status}.")
    parts = [part for raw in response.output or () for part in parts_of(read_item(raw))]
    return ModelAnswer(
        id=response.id,
        model=response.model,
        parts=tuple(parts),
        finish=response.finish(
            calls=any(isinstance(part, ToolCall) for part in parts),
            refuses=any(isinstance(part, Refusal) for part in parts),
        ),
        tokens=response.tokens(),
        created=response.created(),
    )


def read_response(raw: bytes | msgspec.Raw) -> WholeResponse:
    """Read a response. Raises UnreadableAnswer."""
    try:
        return _response.decode(raw)
    except _UNREADABLE as error:
        raise UnreadableAnswer(f"This is no response: {error}") from None


def read_item(raw: msgspec.Raw) -> OutputItem:
    """Read an output item. Raises UnreadableAnswer."""
    try:
        return _item.decode(raw)
    except _UNREADABLE as error:
        raise UnreadableAnswer(f"This is no output item: {error}") from None


def parts_of(item: OutputItem) -> list[AnswerPart]:
    """Return what an item says; nothing of an item that no translated call can ask for."""
    match item.type:
        case "message":
            return [said for part in item.content or () if (said := said_in(part)) is not None]
        case "function_call" | "custom_tool_call":
            return [call_of(item)]
        case "reasoning":
            return [thinking_of(item)]
        case _:
            return []


def said_in(part: ContentPart) -> PlainText | Refusal | None:
    """Return what a part of a message says."""
    if part.type == "refusal":
        return Refusal(text=part.refusal)
    return PlainText(text=part.text) if part.type == "output_text" else None


def call_of(item: OutputItem) -> ToolCall:
    """Return the call of a function or a custom tool."""
    freeform = item.type == "custom_tool_call"
    return ToolCall(
        id=item.call_id,
        name=joined(item.namespace, item.name),
        arguments=(item.input if freeform else item.arguments) or "",
        freeform=freeform,
    )


def thinking_of(item: OutputItem) -> Thinking:
    """Return reasoning: its summary, or else its own words."""
    shown = item.summary or item.content or ()
    return Thinking(
        text="\n\n".join(piece.text for piece in shown),
        encrypted=item.encrypted_content,
        id=item.id,
    )

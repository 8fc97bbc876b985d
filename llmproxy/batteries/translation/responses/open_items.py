"""The output item that is being written, as events while its parts grow and whole at its end.

Each class yields the events of its kind without their place in the output, which the writer adds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from llmproxy.batteries.translation.hub import (
    PartGrew,
    PlainText,
    Refusal,
    Thinking,
    Tool,
    ToolCall,
)
from llmproxy.batteries.translation.hub.freeform import input_of
from llmproxy.batteries.translation.responses.sealed import seal

Members = dict[str, object]
Told = Iterator[tuple[str, Members]]
AnyPart = PlainText | ToolCall | Thinking | Refusal


class OpenItem(Protocol):
    """An output item between `response.output_item.added` and `response.output_item.done`."""

    def added(self) -> Members:
        """Return the item as it is before its first part."""

    def start_part(self, part: AnyPart) -> Told:
        """Begin a part, which may hold text already."""

    def grow(self, event: PartGrew) -> Told:
        """Go on with the part."""

    def end_part(self) -> Told:
        """End the part."""

    def done(self) -> Members:
        """Return the complete item."""


def item_for(part: AnyPart, suffix: str, tools: tuple[Tool, ...]) -> OpenItem:
    """Return a new item that begins with this part. `suffix`: ends its id."""
    match part:
        case PlainText() | Refusal():
            return MessageItem(f"msg_{suffix}")
        case Thinking():
            return ReasoningItem(f"rs_{suffix}")
        case ToolCall():
            tool = next((tool for tool in tools if tool.name == part.name), None)
            if part.freeform or (tool is not None and tool.freeform):
                return CustomCallItem(f"ctc_{suffix}", part, tool)
            if tool is not None and tool.finds_tools:
                return SearchCallItem(f"tsc_{suffix}", part, tool)
            return FunctionCallItem(f"fc_{suffix}", part, tool)


class MessageItem:
    """A message: texts and refusals."""

    __slots__ = ("_content", "_id", "_refusing", "_text")

    def __init__(self, item_id: str) -> None:
        self._id = item_id
        self._content: list[Members] = []
        self._text: list[str] = []  # of the open part
        self._refusing = False

    def added(self) -> Members:
        """Return the item without content."""
        return {**self._item([]), "status": "in_progress"}

    def start_part(self, part: AnyPart) -> Told:
        """Begin a text or a refusal."""
        assert isinstance(part, PlainText | Refusal)  # noqa: S101 - see item_for
        self._refusing = isinstance(part, Refusal)
        self._text.clear()
        yield "response.content_part.added", {**self._at(), "part": self._part("")}
        yield from self._add(part.text)

    def grow(self, event: PartGrew) -> Told:
        """Add text."""
        return self._add(event.text)

    def end_part(self) -> Told:
        """Complete the part."""
        text = "".join(self._text)
        part = self._part(text)
        if self._refusing:
            yield "response.refusal.done", {**self._at(), "refusal": text}
        else:
            yield "response.output_text.done", {**self._at(), "text": text, "logprobs": []}
        yield "response.content_part.done", {**self._at(), "part": part}
        self._content.append(part)

    def done(self) -> Members:
        """Return the message."""
        return self._item(self._content)

    def _add(self, text: str) -> Told:
        if not text:
            return
        self._text.append(text)
        if self._refusing:
            yield "response.refusal.delta", {**self._at(), "delta": text}
        else:
            yield "response.output_text.delta", {**self._at(), "delta": text, "logprobs": []}

    def _at(self) -> Members:
        return {"item_id": self._id, "content_index": len(self._content)}

    def _part(self, text: str) -> Members:
        if self._refusing:
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def _item(self, content: list[Members]) -> Members:
        item = {"id": self._id, "type": "message", "status": "completed"}
        return {**item, "role": "assistant", "content": content}


class ReasoningItem:
    """Thinking: its words are the summary, what its vendor wants back is `encrypted_content`."""

    __slots__ = ("_encrypted", "_id", "_part", "_signature", "_text")

    def __init__(self, item_id: str) -> None:
        self._id = item_id
        self._part = Thinking()
        self._text: list[str] = []
        self._signature: list[str] = []
        self._encrypted: list[str] = []

    def added(self) -> Members:
        """Return the item without a summary."""
        return {"id": self._id, "type": "reasoning", "summary": []}

    def start_part(self, part: AnyPart) -> Told:
        """Begin to think."""
        assert isinstance(part, Thinking)  # noqa: S101 - see item_for
        self._part = part
        return self.grow(
            PartGrew(0, part.text, signature=part.signature or "", encrypted=part.encrypted or "")
        )

    def grow(self, event: PartGrew) -> Told:
        """Add text, or more of what the vendor wants back."""
        if event.signature:
            self._signature.append(event.signature)
        if event.encrypted:
            self._encrypted.append(event.encrypted)
        if not event.text:
            return
        if not self._text:
            begun = {"type": "summary_text", "text": ""}
            yield "response.reasoning_summary_part.added", {**self._at(), "part": begun}
        self._text.append(event.text)
        yield "response.reasoning_summary_text.delta", {**self._at(), "delta": event.text}

    def end_part(self) -> Told:
        """Complete the summary."""
        if not self._text:
            return
        text = "".join(self._text)
        yield "response.reasoning_summary_text.done", {**self._at(), "text": text}
        part = {"type": "summary_text", "text": text}
        yield "response.reasoning_summary_part.done", {**self._at(), "part": part}

    def done(self) -> Members:
        """Return the reasoning, with what the vendor wants back."""
        text = "".join(self._text)
        thinking = Thinking(
            text=text,
            signature="".join(self._signature) or None,
            redacted=self._part.redacted,
            encrypted="".join(self._encrypted) or None,
        )
        summary = [{"type": "summary_text", "text": text}] if text else []
        item = {"id": self._id, "type": "reasoning", "summary": summary}
        return {**item, "encrypted_content": seal(thinking)}

    def _at(self) -> Members:
        return {"item_id": self._id, "summary_index": 0}


class _CallItem:
    """What the calls of all kinds of tools have in common."""

    __slots__ = ("_call", "_id", "_said", "_tool")

    def __init__(self, item_id: str, call: ToolCall, tool: Tool | None) -> None:
        self._id = item_id
        self._call = call
        self._tool = tool
        self._said: list[str] = []  # of the arguments

    def start_part(self, part: AnyPart) -> Told:
        """Begin the call."""
        assert isinstance(part, ToolCall)  # noqa: S101 - see item_for
        return self._add(part.arguments)

    def grow(self, event: PartGrew) -> Told:
        """Add to the arguments."""
        return self._add(event.text)

    def _add(self, text: str) -> Told:
        if text:
            self._said.append(text)
            yield from self._tell(text)

    def _tell(self, text: str) -> Told:  # noqa: ARG002 - a search tells none
        """Yield the event of a piece of the arguments, if there is one."""
        return iter(())

    def _item(self, kind: str, **members: object) -> Members:
        item = {"id": self._id, "type": kind, "status": "completed", "call_id": self._call.id}
        return {**item, **members}

    def _names(self) -> dict[str, str]:
        """Return the name of the tool that is called as the client knows it."""
        if self._tool is None or self._tool.namespaced is None:
            return {"name": self._call.name}
        namespace, name = self._tool.namespaced
        return {"name": name, "namespace": namespace}


class FunctionCallItem(_CallItem):
    """A call of a function, in its namespace if it has one."""

    __slots__ = ()

    def added(self) -> Members:
        """Return the call without arguments."""
        return {**self._whole(""), "status": "in_progress"}

    def end_part(self) -> Told:
        """Complete the arguments. Clients parse them: none at all are an empty object."""
        if not self._said:
            yield from self._add("{}")
        done = {"arguments": "".join(self._said), "name": self._names()["name"]}
        yield "response.function_call_arguments.done", {"item_id": self._id, **done}

    def done(self) -> Members:
        """Return the call."""
        return self._whole("".join(self._said))

    def _tell(self, text: str) -> Told:
        yield "response.function_call_arguments.delta", {"item_id": self._id, "delta": text}

    def _whole(self, arguments: str) -> Members:
        return self._item("function_call", **self._names(), arguments=arguments)


class CustomCallItem(_CallItem):
    """A call of a freeform tool. Where the endpoint has called a function in its place, the input
    is known when the arguments are complete, and comes in one piece."""

    __slots__ = ("_input",)

    def __init__(self, item_id: str, call: ToolCall, tool: Tool | None) -> None:
        super().__init__(item_id, call, tool)
        self._input = ""

    def added(self) -> Members:
        """Return the call without its input."""
        return {**self.done(), "status": "in_progress"}

    def end_part(self) -> Told:
        """Complete the input."""
        said = "".join(self._said)
        self._input = said if self._call.freeform else input_of(said)
        if not self._call.freeform and self._input:
            yield self._delta(self._input)
        yield "response.custom_tool_call_input.done", {"item_id": self._id, "input": self._input}

    def done(self) -> Members:
        """Return the call."""
        return self._item("custom_tool_call", **self._names(), input=self._input)

    def _tell(self, text: str) -> Told:
        if self._call.freeform:
            yield self._delta(text)

    def _delta(self, text: str) -> tuple[str, Members]:
        return "response.custom_tool_call_input.delta", {"item_id": self._id, "delta": text}


class SearchCallItem(_CallItem):
    """A search for tools, which the client does. Its arguments are told when it is complete."""

    __slots__ = ()

    def added(self) -> Members:
        """Return the search without arguments."""
        return {**self._whole(_NO_ARGUMENTS), "status": "in_progress"}

    def end_part(self) -> Told:
        """Complete the arguments."""
        return iter(())

    def done(self) -> Members:
        """Return the search."""
        return self._whole(_object_in("".join(self._said)))

    def _whole(self, arguments: msgspec.Raw) -> Members:
        return self._item("tool_search_call", execution="client", arguments=arguments)


_NO_ARGUMENTS = msgspec.Raw(b"{}")
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _object_in(arguments: str) -> msgspec.Raw:
    """Return arguments as a JSON object; an empty one if they are none."""
    try:
        _object.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return _NO_ARGUMENTS
    return msgspec.Raw(arguments.encode())

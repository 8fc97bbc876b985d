"""A Question -> a chat request.

Written for the many vendors that take less than OpenAI: texts are strings where they can be, and
the older names are used where only OpenAI knows the newer ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from llmproxy.batteries.translation.chat.thinking import details_of
from llmproxy.batteries.translation.hub import (
    Attachment,
    Destination,
    Part,
    Picture,
    PlainText,
    Question,
    Refusal,
    Role,
    Said,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    WrittenQuestion,
)
from llmproxy.batteries.translation.hub.freeform import SCHEMA, arguments_of, described
from llmproxy.batteries.translation.losses import Losses
from llmproxy.batteries.translation.openai import (
    MAX_ID,
    MAX_USER,
    bounded,
    effort_of,
    model_reasons,
)
from llmproxy.batteries.translation.sources import data_url

OF_OPENAI = frozenset(("openai", "azure", "azure-classic"))
# Vendors whose chat takes earlier thinking back (docs/project/upstreams.md).
TAKES_THINKING = frozenset(("deepseek", "openrouter"))
TAKES_CACHE_MARKS = frozenset(("openrouter",))
TAKES_TOP_K = frozenset(("openrouter", "vllm"))
_REASONING_VENDORS = frozenset(("openrouter", "xai", "gemini", "deepseek"))
_PARTED = "\n\n"


def write_question(question: Question, destination: Destination) -> WrittenQuestion:
    """Write a request for an endpoint."""
    losses = Losses(question)
    writer = _Writer(destination, losses)
    body: dict[str, object] = {} if question.model is None else {"model": question.model}
    body["messages"] = [message for turn in question.turns for message in writer.messages(turn)]
    if question.turns and question.turns[-1].role is Role.ASSISTANT:
        for part in question.turns[-1].parts[-1:]:  # the beginning of the answer, as Anthropic's
            losses.part(part.path)
    _write_tools(question, writer, body)
    _write_sampling(question, destination, body, losses)
    if question.stop:
        body["stop"] = list(question.stop)
    if question.answer_format is not None:
        body["response_format"] = _response_format(question)
    if question.user is not None:
        body["user"] = bounded(question.user, MAX_USER)
    _write_reasoning(question, destination, body, losses)
    body |= question.also
    if question.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return WrittenQuestion(msgspec.json.encode(body), tuple(losses.lost), tuple(losses.hints))


def _write_tools(question: Question, writer: _Writer, body: dict[str, object]) -> None:
    if question.tools:
        body["tools"] = [writer.tool(tool) for tool in question.tools]
        if question.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = question.parallel_tool_calls
    if question.tool_choice is not None:
        body["tool_choice"] = _tool_choice(question.tool_choice)


def _write_sampling(
    question: Question, destination: Destination, body: dict[str, object], losses: Losses
) -> None:
    if question.max_output_tokens is not None:
        of_openai = destination.provider in OF_OPENAI
        bound = "max_completion_tokens" if of_openai else "max_tokens"
        body[bound] = question.max_output_tokens
    for name in ("temperature", "top_p"):
        if (value := getattr(question, name)) is not None:
            body[name] = value
    if question.top_k is not None:
        if destination.provider in TAKES_TOP_K:
            body["top_k"] = question.top_k
        else:
            losses.member("top_k")


class _Writer:
    """Writes the messages and tools of one question."""

    __slots__ = ("_losses", "_provider")

    def __init__(self, destination: Destination, losses: Losses) -> None:
        self._provider = destination.provider
        self._losses = losses

    def messages(self, turn: Said) -> list[dict[str, object]]:
        """Return the messages of a turn: results of tools are messages of their own."""
        match turn.role:
            case Role.SYSTEM:
                return [{"role": "system", "content": self._content(turn.parts)}]
            case Role.ASSISTANT:
                return [self._assistants(turn.parts)]
            case Role.USER:
                return self._users(turn.parts)

    def tool(self, tool: Tool) -> dict[str, object]:
        """Return a tool."""
        self._mark(tool.cache)
        if tool.freeform and self._provider in OF_OPENAI:
            custom = {"name": tool.name, "description": tool.description}
            custom = {name: value for name, value in custom.items() if value is not None}
            extra = {} if tool.text_format is None else {"format": tool.text_format}
            return {"type": "custom", "custom": {**custom, **extra}}
        description = described(tool) if tool.freeform else tool.description
        schema = SCHEMA if tool.freeform else tool.schema
        members: dict[str, object | None] = {"name": tool.name, "description": description}
        members |= {"parameters": schema, "strict": tool.strict}
        given = {name: value for name, value in members.items() if value is not None}
        return {"type": "function", "function": given}

    def _users(self, parts: tuple[Part, ...]) -> list[dict[str, object]]:
        messages: list[dict[str, object]] = []
        rest: list[Part] = []
        for part in parts:
            if not isinstance(part, ToolResult):
                rest.append(part)
                continue
            self._mark(part.cache)
            texts = [shown.text for shown in part.content if isinstance(shown, PlainText)]
            pictures = [shown for shown in part.content if not isinstance(shown, PlainText)]
            text = _PARTED.join(texts) or ("(see the next message)" if pictures else "")
            if part.failed:
                text = f"Error: {text}"
            call_id = bounded(part.call_id, MAX_ID)
            messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
            if pictures:
                rest.append(PlainText(text=f"What the tool call {call_id} gave:"))
                rest += pictures
        if rest:
            messages.append({"role": "user", "content": self._content(rest)})
        return messages

    def _assistants(self, parts: tuple[Part, ...]) -> dict[str, object]:
        said = [part for part in parts if isinstance(part, PlainText)]
        refused = [part.text for part in parts if isinstance(part, Refusal)]
        calls = [part for part in parts if isinstance(part, ToolCall)]
        thoughts = [part for part in parts if isinstance(part, Thinking)]
        for part in parts:
            if not isinstance(part, PlainText | Refusal | ToolCall | Thinking):
                self._losses.part(part.path)
        message: dict[str, object] = {"role": "assistant"}
        message["content"] = self._content(said) if said else None
        if refused:
            message["refusal"] = _PARTED.join(refused)
        if calls:
            message["tool_calls"] = [self._call(call) for call in calls]
        if thoughts and self._provider in TAKES_THINKING:
            message |= self._thoughts(thoughts)
        # Elsewhere thinking is left out, as its vendors themselves do with that of earlier turns.
        return message

    def _thoughts(self, thoughts: list[Thinking]) -> dict[str, object]:
        if self._provider == "openrouter":
            details = [details_of(thinking, number) for number, thinking in enumerate(thoughts)]
            return {"reasoning_details": details}
        text = _PARTED.join(thinking.text for thinking in thoughts if thinking.text)
        return {"reasoning_content": text} if text else {}

    def _call(self, call: ToolCall) -> dict[str, object]:
        call_id = bounded(call.id, MAX_ID)
        if call.freeform and self._provider in OF_OPENAI:
            custom = {"name": call.name, "input": call.arguments}
            return {"id": call_id, "type": "custom", "custom": custom}
        arguments = arguments_of(call.arguments) if call.freeform else call.arguments or "{}"
        function = {"name": call.name, "arguments": arguments}
        return {"id": call_id, "type": "function", "function": function}

    def _content(self, parts: Iterable[Part]) -> object:
        """Return the content of a message: a text if it can be one."""
        parts = list(parts)
        marked = any(getattr(part, "cache", None) is not None for part in parts)
        takes_marks = self._provider in TAKES_CACHE_MARKS
        if marked and not takes_marks:
            self._losses.hint("cache_control")
        texts = [part.text for part in parts if isinstance(part, PlainText)]
        if len(texts) == len(parts) and not (marked and takes_marks):
            return _PARTED.join(texts)
        items = []
        for part in parts:
            item = self._item(part)
            if item is None:
                self._losses.part(part.path)
                continue
            if takes_marks and (ttl := getattr(part, "cache", None)) is not None:
                item["cache_control"] = {"type": "ephemeral"} | ({"ttl": ttl} if ttl else {})
            items.append(item)
        return items

    def _item(self, part: Part) -> dict[str, object] | None:
        match part:
            case PlainText():
                return {"type": "text", "text": part.text}
            case Picture() if part.file_id is None:
                url = part.url
                if part.base64 is not None:
                    url = data_url(part.media_type, part.base64)
                detail = {} if part.detail is None else {"detail": part.detail}
                return {"type": "image_url", "image_url": {"url": url, **detail}}
            case Attachment(text=str(text)):
                name = part.name or "document"
                return {"type": "text", "text": f"<document name={name!r}>\n{text}\n</document>"}
            case Attachment(base64=str(base64)):
                written = data_url(part.media_type or "application/pdf", base64)
                file = {"filename": part.name or "document.pdf", "file_data": written}
                return {"type": "file", "file": file}
            case _:
                return None

    def _mark(self, cache: str | None) -> None:
        if cache is not None and self._provider not in TAKES_CACHE_MARKS:
            self._losses.hint("cache_control")


def _tool_choice(choice: ToolChoice) -> object:
    if choice.kind is ToolChoiceKind.NAMED:
        return {"type": "function", "function": {"name": choice.name}}
    return "required" if choice.kind is ToolChoiceKind.ANY else choice.kind.value


def _response_format(question: Question) -> dict[str, object]:
    wanted = question.answer_format
    if wanted is None or wanted.schema is None:
        return {"type": "json_object"}
    members: dict[str, object | None] = {"name": wanted.name or "answer", "schema": wanted.schema}
    members |= {"description": wanted.description, "strict": wanted.strict}
    given = {name: value for name, value in members.items() if value is not None}
    return {"type": "json_schema", "json_schema": given}


def _write_reasoning(
    question: Question, destination: Destination, body: dict[str, object], losses: Losses
) -> None:
    """Write how much the model is to think, if it is one of those that take it."""
    wanted = question.reasoning
    if wanted is None:
        return
    model = destination.model or question.model or ""
    if destination.provider not in _REASONING_VENDORS and not model_reasons(model):
        if wanted.enabled is not False:
            losses.hinted_member("reasoning")
        return
    if (effort := effort_of(wanted, model)) is not None:
        body["reasoning_effort"] = effort

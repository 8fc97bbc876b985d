"""A chat request -> a Question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import msgspec

from llmproxy.batteries.translation.chat.thinking import read_thinking
from llmproxy.batteries.translation.fields import Fields, fields_of
from llmproxy.batteries.translation.hub import (
    AnswerFormat,
    Attachment,
    CacheMark,
    Part,
    Picture,
    PlainText,
    Question,
    Reasoning,
    Refusal,
    Role,
    Said,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    alternating,
)
from llmproxy.batteries.translation.hub.question import Effort
from llmproxy.batteries.translation.sources import read_data_url
from llmproxy.errors import ClientError

# Values that say the same as their absence.
NEUTRAL = {
    "n": (b"1",),
    "frequency_penalty": (b"0", b"0.0"),
    "presence_penalty": (b"0", b"0.0"),
    "logit_bias": (b"{}",),
    "logprobs": (b"false",),
    "top_logprobs": (b"0",),
    "modalities": (b'["text"]',),
    "functions": (b"[]",),
}
SHARED = (
    *("metadata", "store", "service_tier", "prompt_cache_key", "prompt_cache_options"),
    *("prompt_cache_retention", "safety_identifier", "verbosity"),
)
_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "tool": Role.USER,
    "assistant": Role.ASSISTANT,
}
_CHOICES = {
    "auto": ToolChoiceKind.AUTO,
    "none": ToolChoiceKind.NONE,
    "required": ToolChoiceKind.ANY,
}
EFFORTS = frozenset(get_args(Effort))


def read_question(body: bytes) -> Question:
    """Read a request. Raises ClientError, naming the member, for one that is wrong."""
    unknown: list[str] = []
    paths: dict[str, str] = {"answer_format": "response_format", "reasoning": "reasoning_effort"}
    fields = fields_of(body, unknown)
    fields.leave_out(NEUTRAL)
    turns = alternating(turn for message in fields.objects("messages") for turn in _turns(message))
    tools = tuple(tool for item in fields.objects("tools") if (tool := _tool(item)))
    limits = {name: fields.integer(name) for name in ("max_completion_tokens", "max_tokens")}
    for name, value in limits.items():
        if value is not None:
            paths.setdefault("max_output_tokens", name)
    options = fields.within("stream_options")
    question = Question(
        model=fields.text("model"),
        turns=turns,
        tools=tools,
        tool_choice=_tool_choice(fields),
        parallel_tool_calls=fields.flag("parallel_tool_calls"),
        max_output_tokens=limits["max_completion_tokens"] or limits["max_tokens"],
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.integer("top_k"),
        stop=_stop(fields),
        answer_format=_answer_format(fields),
        reasoning=_reasoning(fields),
        user=fields.text("user"),
        stream=fields.flag("stream") or False,
        wants_usage=options is not None and options.flag("include_usage") is True,
        also={name: raw for name in SHARED if (raw := fields.take(name)) is not None},
        paths=paths,
    )
    if options is not None:
        options.flag("include_obfuscation")  # about the size of packets on OpenAI's own line
        options.end()
    fields.end()
    return msgspec.structs.replace(question, unknown=tuple(unknown))


def _turns(message: Fields) -> Iterator[Said]:
    name = message.needed_text("role")
    role = _ROLES.get(name)
    if role is None:
        message.not_carried()
        return
    if name == "tool":
        call_id = message.needed_text("tool_call_id")
        yield Said(
            role, (ToolResult(call_id=call_id, content=_result(message), path=message.path),)
        )
    elif role is Role.ASSISTANT:
        parts = [*read_thinking(message), *_content(message)]
        if refusal := message.text("refusal"):
            parts.append(Refusal(text=refusal, path=message.at("refusal")))
        parts += [call for item in message.objects("tool_calls") if (call := _tool_call(item))]
        yield Said(role, tuple(parts))
    else:
        yield Said(role, tuple(_content(message)))
    message.end()


def _result(message: Fields) -> tuple[PlainText | Picture | Attachment, ...]:
    parts = []
    for part in _content(message):
        if isinstance(part, PlainText | Picture | Attachment):
            parts.append(part)
        else:
            message.unknown.append(part.path)
    return tuple(parts)


def _content(message: Fields) -> Iterator[Part]:
    """Yield the parts of a message's content, which is a text or a list."""
    if message.is_text("content"):
        yield PlainText(text=message.needed_text("content"), path=message.at("content"))
        return
    for item in message.objects("content"):
        part = _part(item)
        if part is not None:
            yield part


def _part(item: Fields) -> Part | None:
    kind, path, cache = item.needed_text("type"), item.path, _cache_mark(item)
    part: Part | None = None
    if kind == "text":
        part = PlainText(text=item.needed_text("text"), cache=cache, path=path)
    elif kind == "refusal":
        part = Refusal(text=item.needed_text("refusal"), path=path)
    elif kind == "image_url" and (image := item.within("image_url")):
        url, detail = image.needed_text("url"), image.text("detail")
        media_type, base64 = read_data_url(url) or (None, None)
        link = None if base64 is not None else url
        part = Picture(
            media_type=media_type, base64=base64, url=link, detail=detail, cache=cache, path=path
        )
        image.end()
    elif kind == "file" and (file := item.within("file")):
        part = _attachment(file, cache, path)
        file.end()
    if part is None:
        item.not_carried()
    else:
        item.end()
    return part


def _attachment(file: Fields, cache: CacheMark | None, path: str) -> Attachment:
    written, name, file_id = file.text("file_data"), file.text("filename"), file.text("file_id")
    media_type = base64 = None
    if written is not None:
        media_type, base64 = read_data_url(written) or ("application/pdf", written)
    return Attachment(
        media_type=media_type, base64=base64, name=name, file_id=file_id, cache=cache, path=path
    )


def _cache_mark(item: Fields) -> CacheMark | None:
    """Return a mark in OpenAI's form, or in Anthropic's, which OpenRouter's clients send."""
    openais, anthropics = item.take("prompt_cache_breakpoint"), item.within("cache_control")
    if anthropics is not None:
        ttl = anthropics.text("ttl")
        return "1h" if ttl == "1h" else "5m" if ttl == "5m" else ""
    return None if openais is None else ""


def _tool_call(item: Fields) -> ToolCall | None:
    call_id, kind = item.needed_text("id"), item.text("type") or "function"
    call = None
    if (function := item.within("function")) is not None and kind == "function":
        name, arguments = function.needed_text("name"), function.text("arguments") or ""
        call = ToolCall(id=call_id, name=name, arguments=arguments, path=item.path)
        function.end()
    elif (custom := item.within("custom")) is not None and kind == "custom":
        name, text = custom.needed_text("name"), custom.text("input") or ""
        call = ToolCall(id=call_id, name=name, arguments=text, freeform=True, path=item.path)
        custom.end()
    if call is None:
        item.not_carried()
    else:
        item.end()
    return call


def _tool(item: Fields) -> Tool | None:
    kind, cache, tool = item.text("type"), _cache_mark(item), None
    if kind == "function" and (function := item.within("function")):
        tool = Tool(
            name=function.needed_text("name"),
            description=function.text("description"),
            schema=function.take("parameters"),
            strict=function.flag("strict"),
            cache=cache,
            path=item.path,
        )
        function.end()
    elif kind == "custom" and (custom := item.within("custom")):
        name, description = custom.needed_text("name"), custom.text("description")
        text_format = custom.take("format")
        tool = Tool(
            name=name,
            description=description,
            freeform=True,
            text_format=text_format,
            cache=cache,
            path=item.path,
        )
        custom.end()
    if tool is None:
        item.not_carried()
    else:
        item.end()
    return tool


def _tool_choice(fields: Fields) -> ToolChoice | None:
    if fields.is_text("tool_choice"):
        kind = _CHOICES.get(fields.needed_text("tool_choice"))
        if kind is None:
            raise ClientError("`tool_choice` is unknown.", param="tool_choice")
        return ToolChoice(kind)
    choice = fields.within("tool_choice")
    if choice is None:
        return None
    kind_name = choice.text("type")
    named = choice.within(kind_name) if kind_name in ("function", "custom") else None
    if named is None:
        choice.not_carried()
        return None
    name = named.needed_text("name")
    named.end()
    choice.end()
    return ToolChoice(ToolChoiceKind.NAMED, name)


def _stop(fields: Fields) -> tuple[str, ...]:
    if fields.is_text("stop"):
        return (fields.needed_text("stop"),)
    return tuple(fields.texts("stop") or ())


def _answer_format(fields: Fields) -> AnswerFormat | None:
    given = fields.within("response_format")
    if given is None:
        return None
    kind, answer_format = given.text("type"), None
    if kind == "json_object":
        answer_format = AnswerFormat()
    elif kind == "json_schema" and (schema := given.within("json_schema")):
        answer_format = AnswerFormat(
            schema=schema.take("schema"),
            name=schema.text("name"),
            description=schema.text("description"),
            strict=schema.flag("strict"),
        )
        schema.end()
    elif kind != "text":
        given.not_carried()
    given.end()
    return answer_format


def _reasoning(fields: Fields) -> Reasoning | None:
    effort = fields.text("reasoning_effort")
    if effort is None:
        return None
    if effort not in EFFORTS:
        fields.unknown.append("reasoning_effort")
        return None
    known = msgspec.convert(effort, Effort)
    return Reasoning(enabled=effort != "none", effort=known)

"""A messages request -> a Question."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

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
    Role,
    Said,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    alternating,
)
from llmproxy.batteries.translation.hub.question import Effort
from llmproxy.batteries.translation.messages.thinking import unsealed
from llmproxy.errors import ClientError

# Values that say the same as their absence.
_NEUTRAL_OF_TOOL = {
    "defer_loading": (b"false",),
    "allowed_callers": (b'["direct"]',),
    # how the vendor's own line carries the arguments
    "eager_input_streaming": (b"true", b"false"),
}
_NEUTRAL_OF_BLOCK = {"citations": (b"[]", b'{"enabled":false}'), "caller": (b'{"type":"direct"}',)}
_NEUTRAL = {"mcp_servers": (b"[]",), "speed": (b'"standard"',)}
_CHOICES = {
    "auto": ToolChoiceKind.AUTO,
    "none": ToolChoiceKind.NONE,
    "any": ToolChoiceKind.ANY,
    "tool": ToolChoiceKind.NAMED,
}
_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
_TIERS = {"auto": msgspec.Raw(b'"auto"'), "standard_only": msgspec.Raw(b'"default"')}
_EFFORTS = frozenset(("low", "medium", "high", "xhigh", "max"))
PATHS = {
    "stop": "stop_sequences",
    "max_output_tokens": "max_tokens",
    "reasoning": "thinking",
    "user": "metadata.user_id",
    "answer_format": "output_config.format",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}


def read_question(body: bytes) -> Question:
    """Read a request. Raises ClientError, naming the member, for one that is wrong."""
    unknown: list[str] = []
    fields = fields_of(body, unknown)
    fields.leave_out(_NEUTRAL)
    system = tuple(_blocks(fields, "system"))
    turns = [Said(Role.SYSTEM, system)] if system else []
    turns += [_turn(message) for message in fields.objects("messages")]
    fields.take("cache_control")  # marks the end of the prompt: a hint, as on a block
    choice, parallel = _tool_choice(fields)
    output = fields.within("output_config")
    answer_format = _answer_format(output, fields)
    tier = fields.text("service_tier")
    if tier is not None and tier not in _TIERS:
        unknown.append("service_tier")
    question = Question(
        model=fields.text("model"),
        turns=alternating(turns),
        tools=tuple(tool for item in fields.objects("tools") if (tool := _tool(item))),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_output_tokens=fields.integer("max_tokens"),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.integer("top_k"),
        stop=tuple(fields.texts("stop_sequences") or ()),
        answer_format=answer_format,
        reasoning=_reasoning(fields, output),
        user=_user(fields),
        stream=fields.flag("stream") or False,
        also={"service_tier": _TIERS[tier]} if tier in _TIERS else {},
        paths=PATHS,
    )
    if output is not None:
        output.end()
    _read_context_management(fields)
    fields.end()
    return msgspec.structs.replace(question, unknown=tuple(unknown))


def _turn(message: Fields) -> Said:
    name = message.needed_text("role")
    if name not in _ROLES:
        raise ClientError(f"`{message.at('role')}` is unknown.", param=message.at("role"))
    parts = tuple(_blocks(message, "content"))
    message.end()
    return Said(_ROLES[name], parts)


def _blocks(fields: Fields, name: str) -> Iterator[Part]:
    """Yield the parts of a content, which is a text or a list of blocks."""
    if fields.is_text(name):
        yield PlainText(text=fields.needed_text(name), path=fields.at(name))
        return
    for block in fields.objects(name):
        part = _part(block)
        if part is None:
            block.not_carried()
        else:
            block.end()
            yield part


def _part(block: Fields) -> Part | None:
    block.leave_out(_NEUTRAL_OF_BLOCK)
    kind, path, cache = block.needed_text("type"), block.path, _cache_mark(block)
    match kind:
        case "text":
            return PlainText(text=block.needed_text("text"), cache=cache, path=path)
        case "image":
            return _picture(block, cache)
        case "document":
            return _attachment(block, cache)
        case "tool_use":
            arguments = bytes(block.take("input") or b"{}").decode()
            return ToolCall(
                id=block.needed_text("id"),
                name=block.needed_text("name"),
                arguments=arguments,
                cache=cache,
                path=path,
            )
        case "tool_result":
            return ToolResult(
                call_id=block.needed_text("tool_use_id"),
                content=tuple(_result(block)),
                failed=block.flag("is_error") or False,
                cache=cache,
                path=path,
            )
        case "thinking":
            return unsealed(block.text("thinking") or "", block.text("signature") or "", path)
        case "redacted_thinking":
            return Thinking(redacted=block.needed_text("data"), path=path)
        case _:
            return None


def _result(block: Fields) -> Iterator[PlainText | Picture | Attachment]:
    for part in _blocks(block, "content"):
        if isinstance(part, PlainText | Picture | Attachment):
            yield part
        else:
            block.unknown.append(part.path)


def _picture(block: Fields, cache: CacheMark | None) -> Picture | None:
    source = block.within("source")
    if source is None or source.text("type") not in ("base64", "url", "file"):
        return None
    media_type, base64 = source.text("media_type"), source.text("data")
    url, file_id = source.text("url"), source.text("file_id")
    source.end()
    return Picture(
        media_type=media_type,
        base64=base64,
        url=url,
        file_id=file_id,
        cache=cache,
        path=block.path,
    )


def _attachment(block: Fields, cache: CacheMark | None) -> Attachment | None:
    source = block.within("source")
    kind = None if source is None else source.text("type")
    if source is None or kind not in ("base64", "text", "url", "file"):
        return None
    media_type, written = source.text("media_type"), source.text("data")
    url, file_id = source.text("url"), source.text("file_id")
    source.end()
    return Attachment(
        media_type=media_type,
        base64=written if kind == "base64" else None,
        text=written if kind == "text" else None,
        url=url,
        file_id=file_id,
        name=block.text("title"),
        cache=cache,
        path=block.path,
    )


def _cache_mark(fields: Fields) -> CacheMark | None:
    mark = fields.within("cache_control")
    if mark is None:
        return None
    ttl = mark.text("ttl")
    return "1h" if ttl == "1h" else "5m" if ttl == "5m" else ""


def _tool(item: Fields) -> Tool | None:
    item.leave_out(_NEUTRAL_OF_TOOL)
    if item.text("type") not in (None, "custom"):
        item.not_carried()  # a tool that Anthropic runs, or has trained the model for
        return None
    tool = Tool(
        name=item.needed_text("name"),
        description=item.text("description"),
        schema=item.take("input_schema"),
        strict=item.flag("strict"),
        cache=_cache_mark(item),
        path=item.path,
    )
    item.end()
    return tool


def _tool_choice(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    choice = fields.within("tool_choice")
    if choice is None:
        return None, None
    kind = _CHOICES.get(choice.needed_text("type"))
    if kind is None:
        raise ClientError("`tool_choice.type` is unknown.", param="tool_choice.type")
    one_at_a_time, name = choice.flag("disable_parallel_tool_use"), choice.text("name")
    choice.end()
    parallel = None if one_at_a_time is None else not one_at_a_time
    return ToolChoice(kind, name if kind is ToolChoiceKind.NAMED else None), parallel


def _answer_format(output: Fields | None, fields: Fields) -> AnswerFormat | None:
    given = None if output is None else output.within("format")
    given = given or fields.within("output_format")  # its older place
    if given is None:
        return None
    schema = given.take("schema")
    if given.text("type") != "json_schema" or schema is None:
        given.not_carried()
        return None
    given.end()
    return AnswerFormat(schema=schema)


def _reasoning(fields: Fields, output: Fields | None) -> Reasoning | None:
    thinking, effort = fields.within("thinking"), None
    if output is not None and (given := output.text("effort")) is not None:
        if given in _EFFORTS:
            effort = msgspec.convert(given, Effort)
        else:
            fields.unknown.append("output_config.effort")
    if thinking is None:
        return None if effort is None else Reasoning(effort=effort)
    kind, display = thinking.text("type"), thinking.text("display")
    if kind not in ("enabled", "adaptive", "disabled"):
        thinking.not_carried()
    budget = thinking.integer("budget_tokens")
    thinking.end()
    return Reasoning(
        enabled=kind != "disabled",
        effort=effort,
        budget_tokens=budget,
        shown=None if display is None else display != "omitted",
    )


def _user(fields: Fields) -> str | None:
    metadata = fields.within("metadata")
    if metadata is None:
        return None
    user = metadata.text("user_id")
    metadata.end()
    return user


def _read_context_management(fields: Fields) -> None:
    """Read what the vendor may remove from the prompt. To keep or remove earlier thinking says
    nothing to another vendor's model, which does not get it; anything else is named."""
    management = fields.within("context_management")
    if management is None:
        return
    for edit in management.objects("edits"):
        if (edit.text("type") or "").startswith("clear_thinking"):
            edit.take("keep")
            edit.end()
        else:
            edit.not_carried()
    management.end()

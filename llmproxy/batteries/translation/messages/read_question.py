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
    ToolCall,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    alternating,
)
from llmproxy.batteries.translation.hub.question import Effort
from llmproxy.batteries.translation.messages.offered import OfferedTools, cache_mark
from llmproxy.batteries.translation.messages.thinking import unsealed
from llmproxy.errors import ClientError

# Values that say the same as their absence.
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
    offered = OfferedTools(fields)
    turns, effort = _conversation(fields, offered)
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
        tools=offered.offered(),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_output_tokens=fields.integer("max_tokens"),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.integer("top_k"),
        stop=tuple(fields.texts("stop_sequences") or ()),
        answer_format=answer_format,
        reasoning=_reasoning(fields, output, effort),
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


def _conversation(fields: Fields, offered: OfferedTools) -> tuple[list[Said], Effort | None]:
    """Return the turns, and the effort that the last message about it asks for."""
    turns = [Said(Role.SYSTEM, tuple(_blocks(fields, "system", offered)))]
    passing: list[Said] = []  # shown until the user's next message
    effort: Effort | None = None
    for message in fields.objects("messages"):
        name = message.needed_text("role")
        if name not in _ROLES:
            raise ClientError(f"`{message.at('role')}` is unknown.", param=message.at("role"))
        turn = Said(_ROLES[name], tuple(_blocks(message, "content", offered)))
        if name == "user" and passing:
            turns = [said for said in turns if not any(said is one for one in passing)]
            passing = []
        elif name == "system":
            output = message.within("output_config")
            effort = _effort(output, message) or effort
            if output is not None:
                output.end()
            if message.text("clear_at") == "next_user_message":
                passing.append(turn)
        message.end()
        turns.append(turn)
    return [turn for turn in turns if turn.parts or turn.role is not Role.SYSTEM], effort


def _effort(output: Fields | None, fields: Fields) -> Effort | None:
    given = None if output is None else output.text("effort")
    if output is None or given is None:
        return None
    if given not in _EFFORTS:
        fields.unknown.append(output.at("effort"))
        return None
    effort: Effort = msgspec.convert(given, Effort)
    return effort


def _blocks(fields: Fields, name: str, offered: OfferedTools) -> Iterator[Part]:
    """Yield the parts of a content, which is a text or a list of blocks."""
    if fields.is_text(name):
        yield PlainText(text=fields.needed_text(name), path=fields.at(name))
        return
    for block in fields.objects(name):
        part = _part(block, offered)
        if part is None:
            block.not_carried()
        else:
            block.end()
            yield part


def _part(block: Fields, offered: OfferedTools) -> Part | None:
    block.leave_out(_NEUTRAL_OF_BLOCK)
    kind, path, cache = block.needed_text("type"), block.path, cache_mark(block)
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
                content=tuple(_result(block, offered)),
                failed=block.flag("is_error") or False,
                cache=cache,
                path=path,
            )
        case "thinking":
            return unsealed(block.text("thinking") or "", block.text("signature") or "", path)
        case "tool_reference" | "tool_addition" | "tool_removal":
            return offered.changed(block, kind)
        case "redacted_thinking":
            return Thinking(redacted=block.needed_text("data"), path=path)
        case _:
            return None


def _result(block: Fields, offered: OfferedTools) -> Iterator[PlainText | Picture | Attachment]:
    for part in _blocks(block, "content", offered):
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


def _reasoning(fields: Fields, output: Fields | None, later: Effort | None) -> Reasoning | None:
    """Read how the model is to think. `later`: the effort that a message asks for since."""
    thinking = fields.within("thinking")
    effort = _effort(output, fields)
    effort = later or effort
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

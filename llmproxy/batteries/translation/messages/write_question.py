"""A Question -> a messages request."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

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
    ToolChoiceKind,
    ToolResult,
    WrittenQuestion,
    alternating,
)
from llmproxy.batteries.translation.hub.freeform import SCHEMA, arguments_of, described
from llmproxy.batteries.translation.losses import Losses
from llmproxy.batteries.translation.messages.models import (
    always_thinks,
    output_bound_of,
    refuses_sampling,
    thinks_adaptively,
    version_of,
)
from llmproxy.batteries.translation.messages.thinking import block_of
from llmproxy.errors import ClientError

_NO_ARGUMENTS = msgspec.Raw(b'{"type":"object","properties":{}}')
_NOT_OF_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_TIERS = {b'"auto"': "auto", b'"default"': "standard_only"}
# Members of OpenAI's whose absence does not change an answer.
_HINTS = frozenset(
    (
        *("metadata", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
        "safety_identifier",
    )
)
_NEUTRAL = {"store": b"false", "verbosity": b'"medium"'}
# About as much as OpenAI's models think, in tokens; for models that take a bound.
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384}
_MIN_BUDGET = 1024
_MAX_BUDGET = 24576
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


def write_question(question: Question, destination: Destination) -> WrittenQuestion:
    """Write a request for an endpoint. Raises ClientError for arguments that are no JSON."""
    losses = Losses(question)
    model = destination.model or question.model or ""
    max_tokens = (
        question.max_output_tokens or destination.max_output_tokens or output_bound_of(model)
    )
    body: dict[str, object] = {} if question.model is None else {"model": question.model}
    body["max_tokens"] = max_tokens
    system = [part for turn in question.turns if turn.role is Role.SYSTEM for part in turn.parts]
    if system:
        body["system"] = _system(system, losses)
    spoken = alternating(turn for turn in question.turns if turn.role is not Role.SYSTEM)
    messages = [_message(turn, losses) for turn in spoken]
    body["messages"] = [message for message in messages if message["content"]]
    if question.tools:
        body["tools"] = [_tool(tool) for tool in question.tools]
    _write_tool_choice(question, body)
    _write_reasoning(question, model, body, losses)
    _write_sampling(question, model, body, losses)
    _write_answer_format(question, body, losses)
    _write_shared(question, body, losses)
    if question.stream:
        body["stream"] = True
    return WrittenQuestion(msgspec.json.encode(body), tuple(losses.lost), tuple(losses.hints))


def _system(parts: list[Part], losses: Losses) -> object:
    """Return the system prompt: every message of system or developer, wherever it stood."""
    texts = [part for part in parts if isinstance(part, PlainText)]
    for part in parts:
        if not isinstance(part, PlainText):
            losses.part(part.path)
    if len(texts) == 1 and texts[0].cache is None:
        return texts[0].text
    return _blocks(texts, losses)


def _message(turn: Said, losses: Losses) -> dict[str, object]:
    parts: Iterable[Part] = turn.parts
    if turn.role is Role.USER:  # results of tools must come first
        parts = sorted(parts, key=lambda part: not isinstance(part, ToolResult))
    return {"role": turn.role.value, "content": _blocks(parts, losses)}


def _blocks(parts: Iterable[Part], losses: Losses) -> list[dict[str, object]]:
    blocks = []
    for part in parts:
        if isinstance(part, PlainText | Refusal) and not part.text.strip():
            continue  # the vendor refuses a text without letters
        if isinstance(part, Thinking) and part.signature is None and part.redacted is None:
            continue  # another vendor's; this one takes only what it has sealed
        block = _block(part, losses)
        if block is None:
            losses.part(part.path)
            continue
        if (ttl := getattr(part, "cache", None)) is not None:
            block["cache_control"] = {"type": "ephemeral"} | ({"ttl": ttl} if ttl else {})
        blocks.append(block)
    return blocks


def _block(part: Part, losses: Losses) -> dict[str, object] | None:
    match part:
        case PlainText() | Refusal():
            return {"type": "text", "text": part.text}
        case Picture():
            return _picture(part, losses)
        case Attachment():
            return _document(part)
        case ToolCall():
            arguments = _arguments(part)
            call_id = _id(part.id)
            return {"type": "tool_use", "id": call_id, "name": part.name, "input": arguments}
        case ToolResult():
            block: dict[str, object] = {"type": "tool_result", "tool_use_id": _id(part.call_id)}
            if part.content:
                block["content"] = _blocks(part.content, losses)
            return block | ({"is_error": True} if part.failed else {})
        case Thinking():
            return block_of(part)


def _picture(part: Picture, losses: Losses) -> dict[str, object] | None:
    if part.detail not in (None, "auto"):
        losses.hint(f"{part.path}.image_url.detail")
    if part.base64 is not None:
        source = {"type": "base64", "media_type": part.media_type, "data": part.base64}
    elif part.url is not None:
        source = {"type": "url", "url": part.url}
    else:
        return None  # a file of another vendor
    return {"type": "image", "source": source}


def _document(part: Attachment) -> dict[str, object] | None:
    if part.base64 is not None and part.media_type == "application/pdf":
        source = {"type": "base64", "media_type": part.media_type, "data": part.base64}
    elif part.text is not None:
        source = {"type": "text", "media_type": "text/plain", "data": part.text}
    elif part.url is not None:
        source = {"type": "url", "url": part.url}
    else:
        return None
    title = {} if part.name is None else {"title": part.name}
    return {"type": "document", "source": source, **title}


def _arguments(call: ToolCall) -> msgspec.Raw:
    """Return a call's arguments as the JSON object that the vendor wants."""
    text = arguments_of(call.arguments) if call.freeform else call.arguments.strip() or "{}"
    try:
        _object.decode(text)
    except (msgspec.DecodeError, RecursionError):
        message = f"The arguments of `{call.path}` are no JSON object, which this endpoint wants."
        raise ClientError(message, param=call.path) from None
    return msgspec.Raw(text.encode())


def _id(call_id: str) -> str:
    """Return an id that the vendor takes; equal for equal ids."""
    return _NOT_OF_AN_ID.sub("_", call_id)


def _tool(tool: Tool) -> dict[str, object]:
    schema = SCHEMA if tool.freeform else tool.schema or _NO_ARGUMENTS
    description = described(tool) if tool.freeform else tool.description
    written: dict[str, object] = {"name": tool.name, "input_schema": schema}
    if description is not None:
        written["description"] = description
    if tool.strict is not None:
        written["strict"] = tool.strict
    if tool.cache is not None:
        ttl = {"ttl": tool.cache} if tool.cache else {}
        written["cache_control"] = {"type": "ephemeral", **ttl}
    return written


def _write_tool_choice(question: Question, body: dict[str, object]) -> None:
    choice, parallel = question.tool_choice, question.parallel_tool_calls
    if not question.tools or (choice is None and parallel in (None, True)):
        return  # without tools, and with the vendor's defaults, there is nothing to choose
    kind = ToolChoiceKind.AUTO if choice is None else choice.kind
    written: dict[str, object] = {"type": kind.value}
    if kind is ToolChoiceKind.NAMED and choice is not None:
        written = {"type": "tool", "name": choice.name}
    if parallel is not None and kind is not ToolChoiceKind.NONE:
        written["disable_parallel_tool_use"] = not parallel
    body["tool_choice"] = written


def _is_told_to_think(body: dict[str, object]) -> bool:
    thinking = body.get("thinking")
    return isinstance(thinking, dict) and thinking["type"] != "disabled"


def _write_sampling(
    question: Question, model: str, body: dict[str, object], losses: Losses
) -> None:
    refused = refuses_sampling(model) or _is_told_to_think(body)
    for name, most in (("temperature", 1.0), ("top_p", 1.0), ("top_k", None)):
        value = getattr(question, name)
        if value is None or (refused and value == most):
            continue
        if refused or (most is not None and value > most):
            losses.member(name)
        else:
            body[name] = value
    if not all(text.strip() for text in question.stop):
        losses.member("stop")  # it refuses a text that is only space
    elif question.stop:
        body["stop_sequences"] = list(question.stop)


def _write_reasoning(
    question: Question, model: str, body: dict[str, object], losses: Losses
) -> None:
    wanted = question.reasoning
    if wanted is None:
        return
    shown: dict[str, object] = {}
    if wanted.shown is not None:
        shown = {"display": "summarized" if wanted.shown else "omitted"}
    adaptive = thinks_adaptively(model)
    if wanted.enabled is False:
        if always_thinks(model):
            losses.hinted_member("reasoning")
        elif adaptive or version_of(model) is None:
            body["thinking"] = {"type": "disabled"}
        return
    forced = question.tool_choice is not None and question.tool_choice.kind in (
        ToolChoiceKind.ANY,
        ToolChoiceKind.NAMED,
    )
    if adaptive:
        if forced:
            losses.hinted_member("reasoning")
        else:
            body["thinking"] = {"type": "adaptive", **shown}
        if wanted.effort is not None:
            effort = "low" if wanted.effort == "minimal" else wanted.effort
            body["output_config"] = {"effort": effort}
        return
    budget = _budget(question)
    if budget is None or forced:  # with a forced tool the vendor refuses thinking
        losses.hinted_member("reasoning")
    else:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        most = body["max_tokens"]
        if isinstance(most, int) and budget >= most:
            body["max_tokens"] = budget + most


def _budget(question: Question) -> int | None:
    """Return how many tokens an older model may think; None: the client's bound leaves too few."""
    wanted = question.reasoning
    if wanted is None:
        return None
    budget = wanted.budget_tokens or _BUDGETS.get(wanted.effort or "medium", _MAX_BUDGET)
    if question.max_output_tokens is not None:
        budget = min(budget, question.max_output_tokens // 2)
    return budget if budget >= _MIN_BUDGET else None


def _write_answer_format(question: Question, body: dict[str, object], losses: Losses) -> None:
    wanted = question.answer_format
    if wanted is None:
        return
    if wanted.schema is None:
        losses.member("answer_format")
        return
    output = body.get("output_config")
    written = {"type": "json_schema", "schema": wanted.schema}
    body["output_config"] = {**(output if isinstance(output, dict) else {}), "format": written}


def _write_shared(question: Question, body: dict[str, object], losses: Losses) -> None:
    user = question.user
    for name, raw in question.also.items():
        value = bytes(raw).strip()
        if name == "service_tier" and value in _TIERS:
            body["service_tier"] = _TIERS[value]
        elif name == "safety_identifier" and user is None:
            user = _text.decode(raw) if value.startswith(b'"') else None
        elif name in _HINTS:
            losses.hinted_member(name)
        elif value != _NEUTRAL.get(name):
            losses.member(name)
    if user is not None:
        body["metadata"] = {"user_id": user}

"""Writing a Responses request.

It is stateless: `store` is false, and reasoning is asked for in `encrypted_content`, in which the
client's dialect can carry it to the next turn.
"""

from __future__ import annotations

import msgspec

from llmproxy.batteries.translation.hub import (
    AnswerFormat,
    Destination,
    PlainText,
    Question,
    Reasoning,
    Role,
    Said,
    Tool,
    ToolChoice,
    ToolChoiceKind,
    WrittenQuestion,
)
from llmproxy.batteries.translation.losses import Losses
from llmproxy.batteries.translation.openai import MAX_USER, bounded, effort_of, model_reasons
from llmproxy.batteries.translation.responses.read_question import SHARED
from llmproxy.batteries.translation.responses.write_items import write_items

# The parameters of a function that says nothing of its parameters.
NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
MIN_OUTPUT = 16  # tokens; the API refuses a lower bound


def write_question(question: Question, destination: Destination) -> WrittenQuestion:
    """Write a request for an endpoint."""
    losses = Losses(question)
    turns = question.turns
    body: dict[str, object] = {} if question.model is None else {"model": question.model}
    instructions = _instructions(turns)
    if instructions is not None:
        body["instructions"] = instructions
        turns = turns[1:]
    body["input"] = write_items(turns, losses)
    if question.tools:
        body["tools"] = [write_tool(tool) for tool in question.tools]
    if question.tool_choice is not None:
        body["tool_choice"] = write_tool_choice(question.tool_choice, question.tools)
    for name in ("parallel_tool_calls", "temperature", "top_p"):
        if (value := getattr(question, name)) is not None:
            body[name] = value
    _write_bounded(question, body, losses)
    model = destination.model or question.model or ""
    reasons = model_reasons(model)
    reasoning = write_reasoning(question.reasoning, model)
    if reasoning is not None and reasons:
        body["reasoning"] = reasoning
    elif reasoning is not None and reasoning.get("effort") != "none":
        losses.hinted_member("reasoning")
    if (text := write_text(question)) is not None:
        body["text"] = text
    if reasons:  # other models refuse the request for it
        body["include"] = ["reasoning.encrypted_content"]
    body |= {name: question.also[name] for name in SHARED if name in question.also}
    body["store"] = False
    if question.stream:
        body["stream"] = True
    _name_losses(question, losses)
    return WrittenQuestion(msgspec.json.encode(body), tuple(losses.lost), tuple(losses.hints))


def _write_bounded(question: Question, body: dict[str, object], losses: Losses) -> None:
    """Write what the API takes within bounds only."""
    if (most := question.max_output_tokens) is not None:
        body["max_output_tokens"] = max(most, MIN_OUTPUT)
        if most < MIN_OUTPUT:
            losses.hinted_member("max_output_tokens")
    if question.user is not None:
        body["user"] = bounded(question.user, MAX_USER)


def write_tool(tool: Tool) -> dict[str, object]:
    """Return a tool as its caller declares it, without its namespace."""
    if tool.finds_tools:
        search = {"type": "tool_search", "execution": "client", "description": tool.description}
        return {**search, "parameters": tool.schema}
    written: dict[str, object] = {"type": "custom" if tool.freeform else "function"}
    written["name"] = tool.name
    if tool.description is not None:
        written["description"] = tool.description
    if tool.freeform:
        if tool.text_format is not None:
            written["format"] = tool.text_format
        return written
    written["parameters"] = NO_PARAMETERS if tool.schema is None else tool.schema
    # Absent means "strict if the schema allows" here, and "not strict" in all other dialects.
    written["strict"] = tool.strict or False
    return written


def write_tool_choice(choice: ToolChoice, tools: tuple[Tool, ...]) -> object:
    """Return which tools are to be called."""
    match choice.kind:
        case ToolChoiceKind.AUTO | ToolChoiceKind.NONE:
            return choice.kind.value
        case ToolChoiceKind.ANY:
            return "required"
        case ToolChoiceKind.NAMED:
            freeform = any(tool.freeform for tool in tools if tool.name == choice.name)
            return {"type": "custom" if freeform else "function", "name": choice.name}


def write_reasoning(reasoning: Reasoning | None, model: str) -> dict[str, object] | None:
    """Return how the model is to reason; None = nothing is said of it."""
    if reasoning is None:
        return None
    written: dict[str, object] = {}
    if (effort := effort_of(reasoning, model)) is not None:
        written["effort"] = effort
    if reasoning.shown:
        written["summary"] = "auto"
    return written or None


def write_text(question: Question) -> dict[str, object] | None:
    """Return the form of the answer's text; None = nothing is said of it."""
    written: dict[str, object] = {}
    if question.answer_format is not None:
        written["format"] = _format(question.answer_format)
    if "verbosity" in question.also:
        written["verbosity"] = question.also["verbosity"]
    return written or None


def _format(wanted: AnswerFormat) -> dict[str, object]:
    if wanted.schema is None:
        return {"type": "json_object"}
    written: dict[str, object] = {"type": "json_schema", "name": wanted.name or "answer"}
    if wanted.description is not None:
        written["description"] = wanted.description
    written["schema"] = wanted.schema
    if wanted.strict is not None:
        written["strict"] = wanted.strict
    return written


def _instructions(turns: tuple[Said, ...]) -> str | None:
    """Return what the system says first, if it is one text."""
    if not turns or turns[0].role is not Role.SYSTEM or len(turns[0].parts) != 1:
        return None
    part = turns[0].parts[0]
    return part.text if isinstance(part, PlainText) else None


def _name_losses(question: Question, losses: Losses) -> None:
    """Name what a Responses request has no member for."""
    if question.turns and question.turns[-1].role is Role.ASSISTANT:
        last = question.turns[-1].parts[-1:]
        for part in last:  # Anthropic's beginning of the answer, with which the model goes on
            losses.part(part.path)
    marked = (*(part for turn in question.turns for part in turn.parts), *question.tools)
    if any(getattr(one, "cache", None) is not None for one in marked):
        losses.hint("cache_control")
    for name in ("top_k", "stop"):
        if getattr(question, name) not in (None, ()):
            losses.member(name)
    for name, raw in question.also.items():
        is_neutral = bytes(raw).strip() in (b"false", b"0")
        if name not in SHARED and name != "verbosity" and not is_neutral:
            losses.member(name)

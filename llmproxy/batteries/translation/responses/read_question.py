"""Reads a Responses request.

A call is always read as stateless. At OpenAI, an absent `store` means "stored", but few clients
that leave it out read the response again, and a later call that names its id is refused. `store:
true` is an explicit wish, so it is named as lost.

Source: OpenAI's API reference, "Create a model response"; what Codex and the Agents SDK send
(docs/project/upstreams.md).
"""

from __future__ import annotations

import re
from typing import get_args

import msgspec

from llmproxy.batteries.translation.fields import Fields, fields_of
from llmproxy.batteries.translation.hub import (
    AnswerFormat,
    PlainText,
    Question,
    Reasoning,
    Role,
    Said,
    alternating,
)
from llmproxy.batteries.translation.hub.question import Effort
from llmproxy.batteries.translation.responses.read_items import read_input
from llmproxy.batteries.translation.responses.read_tools import (
    read_tool_choice,
    read_tools,
    without_repeats,
)
from llmproxy.batteries.translation.responses.usual import pass_over
from llmproxy.errors import ClientError

# Fields that other dialects of OpenAI have under the same name.
SHARED = (
    *("metadata", "service_tier", "prompt_cache_key", "prompt_cache_options"),
    *("prompt_cache_retention", "safety_identifier"),
)
# What may be included in the answer and always is, or comes only with tools of OpenAI's own.
_INCLUDED = "reasoning.encrypted_content"
_OF_OWN_TOOLS = ("web_search_call.", "file_search_call.", "code_interpreter_call.", "computer_call")
# How OpenAI's models are shown earlier reasoning, and what a message was for: other vendors have
# their own rules for the former, and their models know nothing of the latter.
_HINTS = re.compile(r"reasoning\.context|input\[\d+\]\.phase")


def read_question(body: bytes) -> Question:
    """Read a client's request. Raises ClientError, naming the member, for one that is wrong."""
    unknown: list[str] = []
    asked = fields_of(body, unknown)
    turns: list[Said] = []
    if instructions := asked.text("instructions"):
        turns.append(Said(Role.SYSTEM, (PlainText(text=instructions, path="instructions"),)))
    tools = read_tools(asked.objects("tools"))
    said, added = read_input(asked)
    also = {name: raw for name in SHARED if (raw := asked.take(name)) is not None}
    answer_format = _read_text(asked, also)
    question = Question(
        model=asked.text("model"),
        turns=alternating(turns + said),
        tools=without_repeats((*tools, *added)),
        tool_choice=read_tool_choice(asked),
        parallel_tool_calls=asked.flag("parallel_tool_calls"),
        max_output_tokens=asked.integer("max_output_tokens"),
        temperature=asked.number("temperature"),
        top_p=asked.number("top_p"),
        answer_format=answer_format,
        reasoning=_read_reasoning(asked),
        user=asked.text("user"),
        stream=asked.flag("stream") or False,
        also=also,
        paths={"verbosity": "text.verbosity", "answer_format": "text.format"},
    )
    _pass_over_usual(asked)
    hints = tuple(filter(_HINTS.fullmatch, unknown))
    named = tuple(path for path in unknown if path not in hints)
    return msgspec.structs.replace(question, unknown=named, hints=hints)


def _pass_over_usual(asked: Fields) -> None:
    """Pass over what changes nothing for the model or the client, and name the rest."""
    asked.unknown += [
        f"include[{number}]"
        for number, name in enumerate(asked.texts("include") or ())
        if name != _INCLUDED and not name.startswith(_OF_OWN_TOOLS)
    ]
    if options := asked.within("stream_options"):
        pass_over(options, "include_obfuscation")
        options.end()
    pass_over(asked, "client_metadata")  # Codex's, about itself
    pass_over(asked, "store", False)
    pass_over(asked, "background", False)
    pass_over(asked, "truncation", "disabled")
    pass_over(asked, "top_logprobs", 0)
    asked.end()


def _read_text(asked: Fields, also: dict[str, msgspec.Raw]) -> AnswerFormat | None:
    text = asked.within("text")
    if text is None:
        return None
    if (verbosity := text.take("verbosity")) is not None:
        also["verbosity"] = verbosity
    answer_format = _read_format(text)
    text.end()
    return answer_format


def _read_format(text: Fields) -> AnswerFormat | None:
    given = text.within("format")
    if given is None:
        return None
    match given.text("type"):
        case "text" | None:
            read = None
        case "json_object":
            read = AnswerFormat()
        case "json_schema":
            read = AnswerFormat(
                schema=given.take("schema"),
                name=given.text("name"),
                description=given.text("description"),
                strict=given.flag("strict"),
            )
        case _:
            given.not_carried()
            return None
    given.end()
    return read


def _read_reasoning(asked: Fields) -> Reasoning | None:
    given = asked.within("reasoning")
    if given is None:
        return None
    effort = given.text("effort")
    if effort is not None and effort not in get_args(Effort):
        path = given.at("effort")
        raise ClientError(f"Invalid value for '{path}'.", code="invalid_value", param=path)
    summary = given.text("summary")
    older = given.text("generate_summary")
    pass_over(given, "context", "auto")
    pass_over(given, "mode", "standard")
    given.end()
    return Reasoning(
        enabled=False if effort == "none" else None,
        effort=effort,  # type: ignore[arg-type]  # one of its words, as checked
        shown=True if summary or older else None,
    )

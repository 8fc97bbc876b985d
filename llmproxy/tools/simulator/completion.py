"""What the vendor says in one inputs of a conversation, whichever API asked: text, calls, refusal.

Pure: the same inputs gives the same answer. A tool is called when the inputs forces it, or when the
last user message mentions its name; after a tool's result the vendor answers in words.
"""

from __future__ import annotations

from typing import cast

import msgspec

from llmproxy.tools.simulator.exchange import Json
from llmproxy.tools.simulator.schema import instance_of
from llmproxy.tools.simulator.text import (
    CHARACTERS_PER_TOKEN,
    REFUSAL,
    answer_after_tool,
    answer_to,
    tokens_of,
)


class FunctionTool(msgspec.Struct, frozen=True):
    """A function that the client offers."""

    name: str
    parameters: Json


class CompletionInput(msgspec.Struct, kw_only=True):
    """What decides an answer. `choice`: `auto`, `none`, `required`, or a tool's name.

    `question`: the last user message. `tool_result`: set if the conversation ends with one.
    `called`: tools that the conversation has called already. `limit`: most output tokens.
    """

    question: str
    tool_result: str | None = None
    called: frozenset[str] = frozenset()
    tools: list[FunctionTool] = msgspec.field(default_factory=list)
    choice: str = "auto"
    parallel: bool = True
    schema: Json | None = None
    json_mode: bool = False
    limit: int | None = None
    refuse: bool = False
    min_tokens: int | None = None


class Completion(msgspec.Struct):
    """The answer: words (`refused`: they are a refusal), or calls as (name, arguments).

    `tokens`: the words in the pieces that a stream sends. `cut`: the limit ended it.
    """

    tokens: list[str]
    calls: list[tuple[str, str]] = msgspec.field(default_factory=list)
    refused: bool = False
    cut: bool = False

    @property
    def text(self) -> str:
        """The words."""
        return "".join(self.tokens)

    @property
    def output_tokens(self) -> int:
        """How many tokens it costs."""
        return len(self.tokens) + sum(len(tokens_of(name + args)) for name, args in self.calls)


def complete(inputs: CompletionInput) -> Completion:
    """The answer to a inputs."""
    if inputs.refuse:
        return Completion(tokens_of(REFUSAL), refused=True)
    calls = [(tool.name, _json(instance_of(tool.parameters))) for tool in _called(inputs)]
    if calls:
        return Completion([], calls)
    tokens = tokens_of(_words(inputs))
    if inputs.limit is not None and len(tokens) > inputs.limit:
        return Completion(tokens[: inputs.limit], cut=True)
    return Completion(tokens)


def _words(inputs: CompletionInput) -> str:
    if inputs.schema is not None:
        return _json(instance_of(inputs.schema))
    if inputs.json_mode:
        return _json({"answer": answer_to(inputs.question)})
    least = inputs.min_tokens
    if least is not None and inputs.limit is not None:
        least = min(least, inputs.limit + CHARACTERS_PER_TOKEN)
    if inputs.tool_result is not None:
        return answer_after_tool(inputs.tool_result, min_tokens=least)
    return answer_to(inputs.question, min_tokens=least)


def _called(inputs: CompletionInput) -> list[FunctionTool]:
    if not inputs.tools or inputs.choice == "none":
        return []
    answered = inputs.tool_result is not None
    mentioned = [] if answered else [tool for tool in inputs.tools if tool.name in inputs.question]
    match inputs.choice:
        case "auto":
            found = mentioned
        case "required":
            # A tool that was not called yet: so an agent that must end with a certain one ends.
            fresh = [tool for tool in inputs.tools if tool.name not in inputs.called]
            found = mentioned or (fresh or inputs.tools[-1:])[:1]
        case name:
            found = [] if answered else [tool for tool in inputs.tools if tool.name == name]
    return found if inputs.parallel else found[:1]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode("utf-8")


def forced_tool(choice: object) -> str:
    """`tool_choice` as `CompletionInput.choice`. Only chat nests the name under `function`."""
    if isinstance(choice, dict):
        named = cast("Json", choice)
        function = named.get("function")
        inner = cast("Json", function) if isinstance(function, dict) else named
        if named.get("type") == "allowed_tools":
            return str(cast("Json", named.get("allowed_tools", named)).get("mode", "auto"))
        return str(inner.get("name", "auto"))
    return str(choice) if choice else "auto"

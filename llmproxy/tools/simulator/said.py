"""What the vendor says in one turn of a conversation, whichever API asked: text, calls, refusal.

Pure: the same turn gives the same answer. A tool is called when the turn forces it, or when the
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


class Tool(msgspec.Struct, frozen=True):
    """A function that the client offers."""

    name: str
    parameters: Json


class Turn(msgspec.Struct, kw_only=True):
    """What decides an answer. `choice`: `auto`, `none`, `required`, or a tool's name.

    `question`: the last user message. `tool_result`: set if the conversation ends with one.
    `called`: tools that the conversation has called already. `limit`: most output tokens.
    """

    question: str
    tool_result: str | None = None
    called: frozenset[str] = frozenset()
    tools: list[Tool] = msgspec.field(default_factory=list)
    choice: str = "auto"
    parallel: bool = True
    schema: Json | None = None
    json_mode: bool = False
    limit: int | None = None
    refuse: bool = False
    min_tokens: int | None = None


class Said(msgspec.Struct):
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


def say(turn: Turn) -> Said:
    """The answer to a turn."""
    if turn.refuse:
        return Said(tokens_of(REFUSAL), refused=True)
    calls = [(tool.name, _json(instance_of(tool.parameters))) for tool in _called(turn)]
    if calls:
        return Said([], calls)
    tokens = tokens_of(_words(turn))
    if turn.limit is not None and len(tokens) > turn.limit:
        return Said(tokens[: turn.limit], cut=True)
    return Said(tokens)


def _words(turn: Turn) -> str:
    if turn.schema is not None:
        return _json(instance_of(turn.schema))
    if turn.json_mode:
        return _json({"answer": answer_to(turn.question)})
    least = turn.min_tokens
    if least is not None and turn.limit is not None:
        least = min(least, turn.limit + CHARACTERS_PER_TOKEN)
    if turn.tool_result is not None:
        return answer_after_tool(turn.tool_result, min_tokens=least)
    return answer_to(turn.question, min_tokens=least)


def _called(turn: Turn) -> list[Tool]:
    if not turn.tools or turn.choice == "none":
        return []
    answered = turn.tool_result is not None
    mentioned = [] if answered else [tool for tool in turn.tools if tool.name in turn.question]
    match turn.choice:
        case "auto":
            found = mentioned
        case "required":
            # A tool that was not called yet: so an agent that must end with a certain one ends.
            fresh = [tool for tool in turn.tools if tool.name not in turn.called]
            found = mentioned or (fresh or turn.tools[-1:])[:1]
        case name:
            found = [] if answered else [tool for tool in turn.tools if tool.name == name]
    return found if turn.parallel else found[:1]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode("utf-8")


def forced_tool(choice: object) -> str:
    """`tool_choice` as `Turn.choice`. Chat nests the name under `function`, responses does not."""
    if isinstance(choice, dict):
        named = cast("Json", choice)
        function = named.get("function")
        inner = cast("Json", function) if isinstance(function, dict) else named
        if named.get("type") == "allowed_tools":
            return str(cast("Json", named.get("allowed_tools", named)).get("mode", "auto"))
        return str(inner.get("name", "auto"))
    return str(choice) if choice else "auto"

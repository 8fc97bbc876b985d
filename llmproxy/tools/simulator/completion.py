"""The text, tool calls or refusal that answers a conversation, whichever API asked.

The same input always gets the same answer. The vendor's name and model are not part of it, so an
answer through a proxy equals a direct one. A tool is called when the request forces it, or when the
last user message mentions its name; after a tool's result the answer is text. A token is four
characters, which is about right for English and easy to check.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import msgspec

from llmproxy.tools.simulator.errors import VendorError
from llmproxy.tools.simulator.exchange import Json
from llmproxy.tools.simulator.schema import instance_of

CHARACTERS_PER_TOKEN = 4
MAX_QUOTED = 120  # characters of the question that an answer repeats
REFUSAL = "I'm sorry, but I can't help with that."

_REST = (
    " No model was asked and nothing was charged: these words are made from your message alone,"
    " so the same question gets the same answer."
)
_FILLER = " It goes on for a while, because it was asked to be long."


class TextPart(msgspec.Struct):
    """One part of a message's content; other kinds of parts have no text."""

    type: str = "text"
    text: str | None = None


Content = str | list[TextPart] | None


class FunctionParam(msgspec.Struct):
    """A function in a request: offered (`parameters`) or called (`arguments`)."""

    name: str
    parameters: Json | None = None
    arguments: str | None = None


class ToolParam(msgspec.Struct):
    """A tool in a request. Chat nests its name under `function`, the Responses API does not."""

    type: str = "function"
    function: FunctionParam | None = None
    name: str | None = None
    parameters: Json | None = None


class FormatParam(msgspec.Struct):
    """The wanted output format. Chat nests the schema under `json_schema`."""

    type: str = "text"
    schema: Json | None = None
    json_schema: Json | None = None


class StreamOptions(msgspec.Struct):
    """`stream_options` of a chat or text completion."""

    include_usage: bool | None = None


class Turn(msgspec.Struct, frozen=True):
    """One message of a conversation. `called`: the names of the tools that it calls."""

    role: str
    text: str
    called: Sequence[str] = ()


class Wishes(msgspec.Struct, kw_only=True, frozen=True):
    """What a request asks of its answer.

    `choice`: its `tool_choice`. `limit`, `min_tokens`: bounds of the output in tokens. `refuse`: a
    fault asks for a refusal.
    """

    tools: list[ToolParam] | None = None
    choice: str | Json | None = None
    parallel: bool | None = None
    format: FormatParam | None = None
    limit: int | None = None
    min_tokens: int | None = None
    refuse: bool = False


class Completion(msgspec.Struct, frozen=True):
    """The answer: text in the pieces that a stream sends, or calls as (name, arguments).

    `refused`: the text is a refusal. `cut`: the output limit ended it.
    """

    tokens: list[str]
    calls: list[tuple[str, str]] = []
    refused: bool = False
    cut: bool = False

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.tokens)

    @property
    def output_tokens(self) -> int:
        """The tokens that are charged for it."""
        return len(self.tokens) + sum(len(tokens_of(name + args)) for name, args in self.calls)


def complete(conversation: Iterable[Turn], wishes: Wishes) -> Completion:
    """Return the answer to a conversation. The role of a tool's result is `tool`."""
    turns = list(conversation)
    question = next((turn.text for turn in reversed(turns) if turn.role == "user"), "")
    tool_result = turns[-1].text if turns and turns[-1].role == "tool" else None
    if wishes.refuse:
        return Completion(tokens_of(REFUSAL), refused=True)
    mentioned_in = question if tool_result is None else None
    if calls := _calls(wishes, mentioned_in, {name for turn in turns for name in turn.called}):
        return Completion([], calls)
    tokens = tokens_of(_text(wishes, question, tool_result))
    if wishes.limit is not None and len(tokens) > wishes.limit:
        return Completion(tokens[: wishes.limit], cut=True)
    return Completion(tokens)


def count_tokens(text: str) -> int:
    """Count the tokens of a text."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def tokens_of(text: str) -> list[str]:
    """Split a text into its tokens."""
    step = CHARACTERS_PER_TOKEN
    return [text[start : start + step] for start in range(0, len(text), step)]


def inputs_of(given: str | list[str | int | list[int]], param: str) -> list[str | list[int]]:
    """Return the texts and lists of token numbers in a request. Raises VendorError (400)."""
    if isinstance(given, str):
        return [given]
    numbers = [item for item in given if isinstance(item, int)]
    others = [item for item in given if not isinstance(item, int)]
    if not given or (numbers and others):
        raise VendorError(400, f"'{param}' is empty, or mixes tokens with texts.", param=param)
    return [numbers] if numbers else others


def text_of(content: Content) -> str:
    """Return the text of a message's content."""
    if content is None or isinstance(content, str):
        return content or ""
    return " ".join(part.text for part in content if part.text)


def _text(wishes: Wishes, question: str, tool_result: str | None) -> str:
    kind = wishes.format.type if wishes.format else "text"
    schema = _schema(wishes.format) if wishes.format else None
    if schema is not None:
        return _json(instance_of(schema))
    text = f"Hello! This is a simulated answer to “{_quoted(question)}”.{_REST}"
    if kind == "json_object":
        return _json({"answer": text})
    if tool_result is not None:
        text = f"This is a simulated answer: the tool said “{_quoted(tool_result)}”."
    least = wishes.min_tokens or 0
    if wishes.limit is not None:
        least = min(least, wishes.limit + CHARACTERS_PER_TOKEN)
    wanted = least * CHARACTERS_PER_TOKEN
    missing = wanted - len(text)
    return text if missing <= 0 else (text + _FILLER * (missing // len(_FILLER) + 1))[:wanted]


def _schema(wanted: FormatParam) -> Json | None:
    nested = (wanted.json_schema or {}).get("schema")
    if isinstance(nested, dict):
        return cast("Json", nested)
    return wanted.schema if wanted.type == "json_schema" else None


def _quoted(text: str) -> str:
    words = " ".join(text[: MAX_QUOTED * 4].split())
    return words if len(words) <= MAX_QUOTED else words[: MAX_QUOTED - 1] + "…"


def _calls(wishes: Wishes, question: str | None, called: set[str]) -> list[tuple[str, str]]:
    """Return the calls of tools. `question`: None after a tool's result."""
    offered = {
        tool.name: _json(instance_of(tool.parameters or {"type": "object"}))
        for tool in (given.function or given for given in wishes.tools or ())
        if tool.name
    }
    mentioned = [] if question is None else [name for name in offered if name in question]
    match _tool_choice(wishes.choice):
        case "none":
            return []
        case "auto":
            names = mentioned
        case "required":
            # Prefer a tool that was not called yet, so that an agent's loop comes to its last tool.
            fresh = [name for name in offered if name not in called]
            names = mentioned or (fresh or list(offered)[-1:])[:1]
        case forced:
            names = [forced] if forced in offered and question is not None else []
    return [(name, offered[name]) for name in names[: 1 if wishes.parallel is False else None]]


def _tool_choice(choice: str | Json | None) -> str:
    """Return `auto`, `none`, `required` or the name of the tool to call."""
    if not isinstance(choice, dict):
        return choice or "auto"
    if choice.get("type") == "allowed_tools":
        return str(cast("Json", choice.get("allowed_tools", choice)).get("mode", "auto"))
    return str(cast("Json", choice.get("function", choice)).get("name", "auto"))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode("utf-8")

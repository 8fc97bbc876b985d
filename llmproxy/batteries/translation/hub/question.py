"""What a call asks of a model."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Literal

import msgspec

from llmproxy.batteries.translation.hub.parts import CacheMark, Part

# How much the model is to think, from none to all that it can.
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Role(Enum):
    """Who said something."""

    SYSTEM = "system"  # the developer, too
    USER = "user"  # the tools, too: their results
    ASSISTANT = "assistant"


class Said(msgspec.Struct, frozen=True):
    """One turn of a conversation."""

    role: Role
    parts: tuple[Part, ...]


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the client runs.

    Attributes:
        schema: The JSON schema of its arguments, as JSON; None = it takes none, or a text.
        strict: Whether arguments must match the schema; None = not said.
        freeform: It takes a text in place of JSON (OpenAI's custom tools). A dialect without such
            tools offers a function with one member, `input`.
        text_format: Of a freeform tool: its grammar, as OpenAI's JSON for it; None = any text.
        namespaced: OpenAI's namespace and the name in it, of which `name` is made. Calls have
            `name`, which only the writer of an answer splits again.
        finds_tools: The client answers a call with further tools (OpenAI's `tool_search`).
    """

    name: str
    description: str | None = None
    schema: msgspec.Raw | None = None
    strict: bool | None = None
    freeform: bool = False
    text_format: msgspec.Raw | None = None
    namespaced: tuple[str, str] | None = None
    finds_tools: bool = False
    cache: CacheMark | None = None
    path: str = ""


class ToolChoiceKind(Enum):
    """Whether the model calls tools."""

    AUTO = "auto"
    NONE = "none"
    ANY = "any"  # at least one
    NAMED = "named"


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether the model calls tools. `name`: of the one that it must call."""

    kind: ToolChoiceKind
    name: str | None = None


class AnswerFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The answer is JSON. `schema`: that it matches, as JSON; None = any object."""

    schema: msgspec.Raw | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Reasoning(msgspec.Struct, frozen=True, kw_only=True):
    """How the model is to think.

    Attributes:
        enabled: None = the model decides, or the vendor's default.
        effort: How much; None = not said.
        budget_tokens: Anthropic's older bound; None = not said.
        shown: Whether the client gets it in words; None = the vendor's default.
    """

    enabled: bool | None = None
    effort: Effort | None = None
    budget_tokens: int | None = None
    shown: bool | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A request for one answer of a model. None = the client does not say.

    Attributes:
        turns: In order; neighbours have different roles (see `alternating`).
        stop: Texts before which the answer ends.
        user: The client's name for its own user, for the vendor's abuse control.
        wants_usage: A streaming client asks for the usage in a chunk of its own (chat).
        also: Members that OpenAI's dialects share under the same name, as JSON: `metadata`,
            `store`, `service_tier`, `prompt_cache_key`, `prompt_cache_options`,
            `prompt_cache_retention`, `safety_identifier`, `verbosity`. A writer carries each, or
            names it.
        foreign_thinking: Whether the client may be given thinking without a seal of its own
            vendor. Not where it may send it on to that vendor, which would refuse it.
        unknown: Paths of what the reader does not know, or what has no place here.
        hints: The same, of what the answer is as good without.
        paths: Where the other members of this struct, by their names, and of `also` stand in the
            client's request, if they are called otherwise there: {"stop": "stop_sequences"}.
    """

    model: str | None = None
    turns: tuple[Said, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    answer_format: AnswerFormat | None = None
    reasoning: Reasoning | None = None
    user: str | None = None
    stream: bool = False
    wants_usage: bool = False
    foreign_thinking: bool = True
    also: dict[str, msgspec.Raw] = {}
    unknown: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    paths: dict[str, str] = {}

    def path_of(self, member: str) -> str:
        """Return where a member of this struct, or of `also`, stands in the client's request."""
        return self.paths.get(member, member)


def alternating(turns: Iterable[Said]) -> tuple[Said, ...]:
    """Return turns of which no two neighbours have the same role: such are joined into one."""
    joined: list[Said] = []
    for turn in turns:
        if joined and joined[-1].role is turn.role:
            joined[-1] = Said(turn.role, joined[-1].parts + turn.parts)
        else:
            joined.append(turn)
    return tuple(joined)

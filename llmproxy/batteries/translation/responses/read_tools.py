"""Reading the tools of a Responses request, and which of them must be called."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from llmproxy.batteries.translation.fields import Fields
from llmproxy.batteries.translation.hub import Tool, ToolChoice, ToolChoiceKind
from llmproxy.batteries.translation.responses.names import joined
from llmproxy.batteries.translation.responses.usual import pass_over

SEARCH = "tool_search"
_WORDS = {
    "auto": ToolChoiceKind.AUTO,
    "none": ToolChoiceKind.NONE,
    "required": ToolChoiceKind.ANY,
}


def read_tools(given: Iterable[Fields]) -> list[Tool]:
    """Return the tools that the client runs. Those that OpenAI runs itself are named as unknown."""
    tools: list[Tool] = []
    for tool in given:
        match tool.text("type"):
            case "function":
                tools.append(_function(tool))
            case "custom":
                tools.append(_custom(tool))
            case "namespace":
                tools += _namespace(tool)
            case "tool_search" if tool.text("execution") == "client":
                tools.append(_search(tool))
            case _:
                tool.not_carried()
    return tools


def without_repeats(tools: Iterable[Tool]) -> tuple[Tool, ...]:
    """Return tools without those that were declared before: a search may find one again."""
    by_name: dict[str, Tool] = {}
    for tool in tools:
        by_name.setdefault(tool.name, tool)
    return tuple(by_name.values())


def read_tool_choice(given: Fields) -> ToolChoice | None:
    """Return the `tool_choice` of a request; None = the client does not say."""
    if given.is_text("tool_choice"):
        kind = _WORDS.get(given.needed_text("tool_choice"))
        if kind is not None:
            return ToolChoice(kind)
        given.unknown.append(given.at("tool_choice"))
        return None
    choice = given.within("tool_choice")
    if choice is None:
        return None
    if choice.text("type") not in ("function", "custom"):
        choice.not_carried()
        return None
    return ToolChoice(
        ToolChoiceKind.NAMED, joined(choice.text("namespace"), choice.needed_text("name"))
    )


def _function(tool: Fields, namespace: str | None = None) -> Tool:
    name = tool.needed_text("name")
    read = Tool(
        name=joined(namespace, name),
        description=tool.text("description"),
        schema=tool.take("parameters"),
        strict=tool.flag("strict"),
        namespaced=(namespace, name) if namespace else None,
        path=tool.path,
    )
    _pass_over_usual(tool)
    return read


def _custom(tool: Fields, namespace: str | None = None) -> Tool:
    name = tool.needed_text("name")
    text_format = tool.take("format")
    if text_format is not None and msgspec.json.decode(text_format) == {"type": "text"}:
        text_format = None
    read = Tool(
        name=joined(namespace, name),
        description=tool.text("description"),
        freeform=True,
        text_format=text_format,
        namespaced=(namespace, name) if namespace else None,
        path=tool.path,
    )
    _pass_over_usual(tool)
    return read


def _search(tool: Fields) -> Tool:
    read = Tool(
        name=SEARCH,
        description=tool.text("description"),
        schema=tool.take("parameters"),
        finds_tools=True,
        path=tool.path,
    )
    tool.end()
    return read


def _pass_over_usual(tool: Fields) -> None:
    """Pass over members that say what is so without them, and name the others."""
    pass_over(tool, "defer_loading")  # elsewhere each tool is known from the beginning
    pass_over(tool, "async", False)
    pass_over(tool, "allowed_callers", ["direct"])
    tool.end()


def _namespace(given: Fields) -> list[Tool]:
    """Return the tools of a namespace. The first one's description says what they share."""
    name = given.needed_text("name")
    about = given.text("description")
    tools = []
    for tool in given.objects("tools"):
        match tool.text("type"):
            case "function":
                tools.append(_function(tool, name))
            case "custom":
                tools.append(_custom(tool, name))
            case _:
                tool.not_carried()
    given.end()
    if about and tools:
        shared = f"Of the tools whose names begin with {name}__: {about}"
        own = tools[0].description
        described = f"{shared}\n\n{own}" if own else shared
        tools[0] = msgspec.structs.replace(tools[0], description=described)
    return tools

"""Reading the `input` of a Responses request: messages, tool calls, their outputs, reasoning.

Source: OpenAI's API reference, "Create a model response", `input`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from llmproxy.batteries.translation.fields import Fields
from llmproxy.batteries.translation.hub import (
    Attachment,
    Part,
    Picture,
    PlainText,
    Refusal,
    Role,
    Said,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from llmproxy.batteries.translation.responses.names import joined
from llmproxy.batteries.translation.responses.read_tools import SEARCH, read_tools
from llmproxy.batteries.translation.responses.sealed import unseal
from llmproxy.batteries.translation.responses.usual import pass_over
from llmproxy.batteries.translation.sources import read_data_url
from llmproxy.errors import ClientError

_ROLES = {
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
}


def read_input(given: Fields) -> tuple[list[Said], list[Tool]]:
    """Return the turns of the conversation, and tools that were added within it."""
    if given.is_text("input"):
        text = PlainText(text=given.needed_text("input"), path=given.at("input"))
        return [Said(Role.USER, (text,))], []
    turns: list[Said] = []
    tools: list[Tool] = []
    for item in given.objects("input"):
        kind = item.text("type") or "message"
        pass_over(item, "id")
        pass_over(item, "status")
        if kind in ("additional_tools", "tool_search_output"):
            added = read_tools(item.objects("tools"))
            tools += added
            if kind == "additional_tools":
                pass_over(item, "role")
            else:
                turns.append(_found(item, added))
        elif kind in _READERS:
            turns.append(_READERS[kind](item))
        else:  # what only OpenAI's own tools make, and references to stored items
            item.not_carried()
        item.end()
    return turns, tools


def _message(item: Fields) -> Said:
    role = _ROLES.get(item.text("role") or "")
    if role is None:
        path = item.at("role")
        raise ClientError(f"Invalid value for '{path}'.", code="invalid_value", param=path)
    return Said(role, _content(item, "content"))


def _call(item: Fields) -> Said:
    pass_over(item, "async", False)
    pass_over(item, "caller", {"type": "direct"})
    call = ToolCall(
        id=item.needed_text("call_id"),
        name=joined(item.text("namespace"), item.needed_text("name")),
        arguments=item.text("arguments") or "",
        path=item.path,
    )
    return Said(Role.ASSISTANT, (call,))


def _custom_call(item: Fields) -> Said:
    pass_over(item, "async", False)
    pass_over(item, "caller", {"type": "direct"})
    call = ToolCall(
        id=item.needed_text("call_id"),
        name=joined(item.text("namespace"), item.needed_text("name")),
        arguments=item.text("input") or "",
        freeform=True,
        path=item.path,
    )
    return Said(Role.ASSISTANT, (call,))


def _output(item: Fields, *, freeform: bool = False) -> Said:
    pass_over(item, "name")
    pass_over(item, "namespace")  # of the call, which has them, too
    pass_over(item, "caller", {"type": "direct"})
    content = tuple(
        part
        for part in _content(item, "output")
        if isinstance(part, PlainText | Picture | Attachment)
    )
    result = ToolResult(
        call_id=item.needed_text("call_id"), content=content, freeform=freeform, path=item.path
    )
    return Said(Role.USER, (result,))


def _custom_output(item: Fields) -> Said:
    return _output(item, freeform=True)


def _search(item: Fields) -> Said:
    pass_over(item, "execution", "client")
    arguments = item.take("arguments")
    call = ToolCall(
        id=item.needed_text("call_id"),
        name=SEARCH,
        arguments="{}" if arguments is None else bytes(arguments).decode(),
        path=item.path,
    )
    return Said(Role.ASSISTANT, (call,))


def _found(item: Fields, tools: list[Tool]) -> Said:
    """Return the output of a search for tools. The tools themselves are offered from now on."""
    pass_over(item, "execution", "client")
    names = ", ".join(tool.name for tool in tools)
    text = f"These tools can be called from now on: {names}" if names else "No tool was found."
    result = ToolResult(
        call_id=item.needed_text("call_id"), content=(PlainText(text=text),), path=item.path
    )
    return Said(Role.USER, (result,))


def _reasoning(item: Fields) -> Said:
    shown = [
        piece.text("text") or "" for name in ("summary", "content") for piece in item.objects(name)
    ]
    encrypted = item.text("encrypted_content")
    thinking = unseal(encrypted) if encrypted else None
    if thinking is None:
        thinking = Thinking(text="\n\n".join(shown), encrypted=encrypted)
    return Said(Role.ASSISTANT, (msgspec.structs.replace(thinking, path=item.path),))


_READERS: dict[str, Callable[[Fields], Said]] = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _output,
    "custom_tool_call": _custom_call,
    "custom_tool_call_output": _custom_output,
    "reasoning": _reasoning,
    "tool_search_call": _search,
}


# ---- contents


def _content(item: Fields, name: str) -> tuple[Part, ...]:
    """Return the parts of a message or of a tool's output, which may be a string, too."""
    if item.is_text(name):
        return (PlainText(text=item.text(name) or "", path=item.at(name)),)
    parts: list[Part] = []
    for given in item.objects(name):
        kind = given.text("type")
        # A cache is only a matter of costs, and its marks have other rules at each vendor.
        pass_over(given, "prompt_cache_breakpoint")
        match kind:
            case "input_text" | "output_text" | "text":
                pass_over(given, "annotations", [])
                pass_over(given, "logprobs", [])
                parts.append(PlainText(text=given.text("text") or "", path=given.path))
            case "refusal":
                parts.append(Refusal(text=given.text("refusal") or "", path=given.path))
            case "input_image":
                parts.append(_picture(given))
            case "input_file":
                parts.append(_file(given))
            case _:
                given.not_carried()
        given.end()
    return tuple(parts)


def _picture(given: Fields) -> Picture:
    url = given.text("image_url")
    media_type, base64 = read_data_url(url or "") or (None, None)
    return Picture(
        media_type=media_type,
        base64=base64,
        url=url if base64 is None else None,
        file_id=given.text("file_id"),
        detail=given.text("detail"),
        path=given.path,
    )


def _file(given: Fields) -> Attachment:
    content = given.text("file_data")
    media_type, base64 = read_data_url(content or "") or (None, content)
    pass_over(given, "detail", "auto")
    return Attachment(
        media_type=media_type,
        base64=base64,
        url=given.text("file_url"),
        file_id=given.text("file_id"),
        name=given.text("filename"),
        path=given.path,
    )

"""Freeform tools, which take a text, where only functions can be offered: one with one member."""

from __future__ import annotations

import msgspec

from llmproxy.batteries.translation.hub.question import Tool

SCHEMA = msgspec.Raw(
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],'
    b'"additionalProperties":false}'
)


class _Input(msgspec.Struct):
    input: str


_input = msgspec.json.Decoder(_Input)


def arguments_of(text: str) -> str:
    """Return the arguments of a function that stand for the input of a freeform tool."""
    return msgspec.json.encode(_Input(text)).decode()


def input_of(arguments: str) -> str:
    """Return the input that a function's arguments stand for; what is no such object, as it is."""
    try:
        return _input.decode(arguments).input
    except msgspec.DecodeError:
        return arguments


def described(tool: Tool) -> str | None:
    """Return a freeform tool's description for a function: its grammar is told in words."""
    if tool.text_format is None:
        return tool.description
    grammar = bytes(tool.text_format).decode()
    return f"{tool.description or ''}\n\nThe input has this format: {grammar}".lstrip()

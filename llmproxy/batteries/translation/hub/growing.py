"""A part that grows, put together: for writers that need it whole, and for comparing."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from llmproxy.batteries.translation.hub.events import PartGrew
from llmproxy.batteries.translation.hub.parts import PlainText, Refusal, Thinking, ToolCall


def grown(
    part: PlainText | ToolCall | Thinking | Refusal, grew: PartGrew
) -> PlainText | ToolCall | Thinking | Refusal:
    """Return a part with what came of it."""
    match part:
        case PlainText() | Refusal():
            return replace(part, text=part.text + grew.text)
        case ToolCall():
            return replace(part, arguments=part.arguments + grew.text)
        case Thinking():
            return replace(
                part,
                text=part.text + grew.text,
                signature=((part.signature or "") + grew.signature) or None,
                encrypted=((part.encrypted or "") + grew.encrypted) or None,
                id=grew.id or part.id,
            )
        case _:
            assert_never(part)

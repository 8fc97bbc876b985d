"""The events of a streamed answer.

    AnswerStarted (PartStarted PartGrew* PartEnded)* AnswerFinished
    ... AnswerFailed                      at any place, in place of the rest
    ... SignOfLife ...                    at any place

One part is open at a time, and `index` counts them from 0. A reader sees to that: what a vendor
mixes (the arguments of parallel tool calls) it holds back until the open part is complete. A stream
that just ends is told by neither: the relay notices it by the missing end, and reports it.
"""

from __future__ import annotations

import msgspec

from llmproxy.batteries.translation.hub.answer import AnswerTokens, FinishReason, ModelFailure
from llmproxy.batteries.translation.hub.parts import PlainText, Refusal, Thinking, ToolCall


class AnswerStarted(msgspec.Struct, frozen=True):
    """The answer begins. `tokens`: as far as the vendor tells them at the beginning (Anthropic)."""

    id: str
    model: str
    tokens: AnswerTokens | None = None
    created: int | None = None


class PartStarted(msgspec.Struct, frozen=True):
    """A part begins. `part` has what is known of it: a tool's id and name, redacted thinking."""

    index: int
    part: PlainText | ToolCall | Thinking | Refusal


class PartGrew(msgspec.Struct, frozen=True):
    """The open part goes on.

    `text`: more of its text, or of a tool's arguments. `signature`, `encrypted`: more of that
    member of a Thinking; `id`: that Thinking's, where it is told late.
    """

    index: int
    text: str = ""
    signature: str = ""
    encrypted: str = ""
    id: str = ""


class PartEnded(msgspec.Struct, frozen=True):
    """The open part is complete."""

    index: int


class AnswerFinished(msgspec.Struct, frozen=True):
    """The answer is complete. `tokens`: all of it; None = the vendor does not tell."""

    finish: FinishReason
    tokens: AnswerTokens | None = None
    stop_text: str | None = None


class AnswerFailed(msgspec.Struct, frozen=True):
    """The endpoint reports that it cannot go on. Nothing follows."""

    failure: ModelFailure


class SignOfLife(msgspec.Struct, frozen=True):
    """A comment or a ping: the endpoint works."""


AnswerEvent = (
    AnswerStarted | PartStarted | PartGrew | PartEnded | AnswerFinished | AnswerFailed | SignOfLife
)

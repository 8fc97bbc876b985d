"""Puts the pieces of a stream into the order of the hub: one part is open at a time."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from llmproxy.batteries.translation.hub.answer import ModelAnswer
from llmproxy.batteries.translation.hub.events import (
    AnswerEvent,
    AnswerFinished,
    AnswerStarted,
    PartEnded,
    PartGrew,
    PartStarted,
)
from llmproxy.batteries.translation.hub.parts import PlainText, Refusal, Thinking, ToolCall


class PartSequence:
    """The parts of one stream. `open`: the part that has begun and is not complete; None = none.

    Mutable; owned by the reader of the stream.
    """

    __slots__ = ("_index", "open")

    def __init__(self) -> None:
        self._index = -1
        self.open: PlainText | ToolCall | Thinking | Refusal | None = None

    def begin(self, part: PlainText | ToolCall | Thinking | Refusal) -> list[AnswerEvent]:
        """Begin a part; the open one is complete then."""
        events = self.end()
        self._index += 1
        self.open = part
        return [*events, PartStarted(self._index, part)]

    def grow(
        self, *, text: str = "", signature: str = "", encrypted: str = "", thinking_id: str = ""
    ) -> list[AnswerEvent]:
        """Add to the open part."""
        if not (text or signature or encrypted or thinking_id):
            return []
        return [PartGrew(self._index, text, signature, encrypted, thinking_id)]

    def grow_text(self, kind: type[PlainText | Thinking | Refusal], text: str) -> list[AnswerEvent]:
        """Add text to the open part, if it is of this kind; else begin one."""
        events = [] if isinstance(self.open, kind) else self.begin(kind(text=""))
        return [*events, *self.grow(text=text)]

    def end(self) -> list[AnswerEvent]:
        """The open part is complete."""
        if self.open is None:
            return []
        self.open = None
        return [PartEnded(self._index)]


def events_of(answer: ModelAnswer) -> Iterator[AnswerEvent]:
    """Yield a whole answer as a stream, for a client that asked for one."""
    yield AnswerStarted(answer.id, answer.model, answer.tokens, answer.created)
    parts = PartSequence()
    for part in answer.parts:
        match part:
            case PlainText() | Refusal():
                yield from parts.begin(replace(part, text=""))
                yield from parts.grow(text=part.text)
            case ToolCall():
                yield from parts.begin(replace(part, arguments=""))
                yield from parts.grow(text=part.arguments)
            case Thinking():
                yield from parts.begin(replace(part, text="", signature=None, encrypted=None))
                signature, encrypted = part.signature or "", part.encrypted or ""
                yield from parts.grow(text=part.text, signature=signature, encrypted=encrypted)
    yield from parts.end()
    yield AnswerFinished(answer.finish, answer.tokens, answer.stop_text)

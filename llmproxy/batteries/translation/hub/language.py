"""What a dialect must be able to do to be translated: one Language for each.

Reading raises ClientError (a request) or UnreadableAnswer (an answer) for what is not of the
dialect at all; what is only unknown is named, and the rest is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from llmproxy.batteries.translation.hub.answer import ModelAnswer, ModelFailure
from llmproxy.batteries.translation.hub.events import AnswerEvent
from llmproxy.batteries.translation.hub.question import Question


class UnreadableAnswer(ValueError):
    """An endpoint's answer is not in its dialect. Its message says why, for the operator."""


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint that a question is written for.

    Attributes:
        provider: The provider's name, such as `deepseek`.
        model: The endpoint's name for the model; None = the client's is passed on.
        max_output_tokens: For a dialect that requires a bound where the client gives none; None =
            what its models can write.
    """

    provider: str
    model: str | None
    max_output_tokens: int | None


class WrittenQuestion(msgspec.Struct, frozen=True):
    """A request in another dialect.

    Attributes:
        body: The JSON.
        lost: Paths of members that the dialect cannot say and that would change the answer. The
            call is refused for them, or sent without them if the operator allows it.
        hints: Paths of members that are left out, without which the answer is as good: a cache
            mark, thinking for a model that cannot think. Named, and never a reason to refuse.

    Neither repeats Question.unknown.
    """

    body: bytes
    lost: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


class EventReader(Protocol):
    """Reads one stream. Keeps what is not complete yet."""

    def read(self, chunk: bytes) -> list[AnswerEvent]:
        """Return the events that are complete with these bytes. b"" = the stream has ended."""


class EventWriter(Protocol):
    """Writes one stream for a client."""

    def write(self, events: Iterable[AnswerEvent]) -> bytes:
        """Return whole server-sent events; b"" if there is nothing to say yet."""


class Language(Protocol):
    """How a dialect is read and written. Stateless; one object for each dialect."""

    # The path of its operation: `chat/completions`.
    path: str

    def read_question(self, body: bytes) -> Question:
        """Read a client's request. Raises ClientError, naming the member, for one that is wrong."""

    def write_question(self, question: Question, destination: Destination) -> WrittenQuestion:
        """Write a request for an endpoint."""

    def read_answer(self, body: bytes) -> ModelAnswer:
        """Read an endpoint's whole answer. Raises UnreadableAnswer."""

    def write_answer(self, answer: ModelAnswer, question: Question) -> bytes:
        """Write a whole answer for the client that asked the question."""

    def event_reader(self) -> EventReader:
        """Return the reader of one endpoint's stream."""

    def event_writer(self, question: Question) -> EventWriter:
        """Return the writer of one stream for the client that asked the question."""

    def read_failure(self, status: int, body: bytes) -> ModelFailure:
        """Read an endpoint's error. What is no error of the dialect becomes its message."""

    def write_failure(self, failure: ModelFailure) -> bytes:
        """Write an error for a client."""

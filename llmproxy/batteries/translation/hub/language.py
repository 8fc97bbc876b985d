"""What a dialect must be able to do to be translated: one Language for each.

Reading raises ClientError (a request) or UnreadableAnswer (an answer) for what is not of the
dialect at all; what is only unknown is named, and the rest is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


class Language(msgspec.Struct, frozen=True, kw_only=True):
    """How a dialect is read and written. One object for each dialect.

    Attributes:
        path: That of its operation: `chat/completions`.
        read_question: Reads a client's request. Raises ClientError, naming the member, for one that
            is wrong.
        write_question: Writes a request for an endpoint.
        read_answer: Reads an endpoint's whole answer. Raises UnreadableAnswer.
        write_answer: Writes a whole answer for the client that asked the question.
        event_reader: Makes the reader of one endpoint's stream.
        event_writer: Makes the writer of one stream for the client that asked the question.
        read_failure: Reads an endpoint's error, with its status. What is no error of the dialect
            becomes its message.
        write_failure: Writes an error for a client.
    """

    path: str
    read_question: Callable[[bytes], Question]
    write_question: Callable[[Question, Destination], WrittenQuestion]
    read_answer: Callable[[bytes], ModelAnswer]
    write_answer: Callable[[ModelAnswer, Question], bytes]
    event_reader: Callable[[], EventReader]
    event_writer: Callable[[Question], EventWriter]
    read_failure: Callable[[int, bytes], ModelFailure]
    write_failure: Callable[[ModelFailure], bytes]

"""The Responses API as a Language: its readers and writers in one object."""

from __future__ import annotations

from llmproxy.batteries.translation.failures import read_failure, write_failure
from llmproxy.batteries.translation.hub import (
    Destination,
    EventReader,
    EventWriter,
    ModelAnswer,
    ModelFailure,
    Question,
    WrittenQuestion,
)
from llmproxy.batteries.translation.responses.failures import with_code
from llmproxy.batteries.translation.responses.read_answer import read_answer
from llmproxy.batteries.translation.responses.read_question import read_question
from llmproxy.batteries.translation.responses.stream_reader import ResponsesEventReader
from llmproxy.batteries.translation.responses.stream_writer import (
    ResponsesEventWriter,
    write_answer,
)
from llmproxy.batteries.translation.responses.write_question import write_question
from llmproxy.operations import RESPONSES as DIALECT


class ResponsesLanguage:
    """The dialect `responses`."""

    path = "responses"

    def read_question(self, body: bytes) -> Question:
        """Read a client's request. Raises ClientError, naming the member, for one that is wrong."""
        return read_question(body)

    def write_question(self, question: Question, destination: Destination) -> WrittenQuestion:
        """Write a request for an endpoint."""
        return write_question(question, destination)

    def read_answer(self, body: bytes) -> ModelAnswer:
        """Read an endpoint's whole answer. Raises UnreadableAnswer."""
        return read_answer(body)

    def write_answer(self, answer: ModelAnswer, question: Question) -> bytes:
        """Write a whole answer for the client that asked the question."""
        return write_answer(answer, question)

    def event_reader(self) -> EventReader:
        """Return the reader of one endpoint's stream."""
        return ResponsesEventReader()

    def event_writer(self, question: Question) -> EventWriter:
        """Return the writer of one stream for the client that asked the question."""
        return ResponsesEventWriter(question)

    def read_failure(self, status: int, body: bytes) -> ModelFailure:
        """Read an endpoint's error. What is no error of the dialect becomes its message."""
        return read_failure(status, body)

    def write_failure(self, failure: ModelFailure) -> bytes:
        """Write an error for a client."""
        return write_failure(with_code(failure), DIALECT)

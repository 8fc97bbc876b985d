"""Translates an endpoint's answer, whole or streamed, into the client's dialect."""

from __future__ import annotations

from collections.abc import Callable
from time import time

import msgspec
from msgspec.structs import replace

from llmproxy.batteries.answer_checks import read_answer
from llmproxy.batteries.changed_answers import MAX_HELD_BYTES, ChangedStream, HeldAnswer
from llmproxy.batteries.translation.framing import EventCutter
from llmproxy.batteries.translation.hub import (
    AnswerEvent,
    AnswerStarted,
    Language,
    Question,
    UnreadableAnswer,
)
from llmproxy.batteries.translation.hub.sequence import events_of
from llmproxy.batteries.usage_of_streams import usage_of_stream
from llmproxy.calls import Call
from llmproxy.errors import Answer, UpstreamError, UpstreamFailed
from llmproxy.operations import Usage
from llmproxy.operations.dialects.base import CONTENT, ERROR
from llmproxy.operations.sse import fields
from llmproxy.pipeline.failover.answerless import failure_in, read_success
from llmproxy.pipeline.relay import MAX_TAIL_BYTES, TAIL_BYTES
from llmproxy.providers.base import Endpoint
from llmproxy.providers.error_responses import readable_body
from llmproxy.rules.encoding import readable
from llmproxy.streams import Content, Header, Headers, PourTimes, Sink, UpstreamResponse

JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
_OF_THE_BODY = frozenset((b"content-type", b"content-length", b"content-encoding"))


class Between(msgspec.Struct, frozen=True):
    """What is needed to translate the answer to one call. `asked`: the translated call.

    `source`: how the client speaks; `destination`: how the endpoint does. `notes`: headers of ours.
    """

    asked: Call
    endpoint: Endpoint
    question: Question
    source: Language
    destination: Language
    notes: Headers


def in_dialect(between: Between, response: UpstreamResponse) -> UpstreamResponse:
    """Return an endpoint's response as the client's dialect has it."""
    if response.status >= 400:
        return TranslatedError(between, response)
    if response.content.events:
        return TranslatedStream(between, response)
    return TranslatedAnswer(between, response)


def _error_in_dialect(between: Between, error: Answer) -> Answer:
    """Return an endpoint's error as the client's dialect has it."""
    failure = between.destination.read_failure(error.status, readable_body(error))
    headers = [header for header in error.headers if header[0] not in _OF_THE_BODY]
    return Answer(failure.status, [*headers, JSON], between.source.write_failure(failure))


def _translate_failure(between: Between, failure: UpstreamError, body: bytes) -> None:
    """Translate the answer of a failure that came with a success status. `body`: the error's.

    A failure with a status below 400 has no error that could be translated.
    """
    if failure.status < 400:
        failure.answer, failure.status = None, UpstreamFailed.status
    elif failure.answer is not None:
        read = Answer(failure.status, failure.answer.headers, body)
        failure.answer = _error_in_dialect(between, read)


class TranslatedAnswer(HeldAnswer):
    """A whole answer, translated: into a stream if the client asked for one.

    Some vendors stream some of their models only.
    """

    __slots__ = ("_between",)

    def __init__(self, between: Between, response: UpstreamResponse) -> None:
        streamed = between.question.stream and response.status < 400
        content = Content(not streamed, streamed, b"", None, True, response.content.request_id)
        content_type = EVENTS if streamed else JSON
        super().__init__(response, _headers(between, response, content_type), content)
        self._between = between

    def passed_on(self, body: bytes) -> bytes:
        """Return the answer in the client's dialect. Raises an UpstreamError."""
        between, response = self._between, self._response
        asked = between.asked
        if response.content.encoding:
            read = readable(body, response.content.encoding, max_bytes=MAX_HELD_BYTES)
            body = b"" if read is None else read
        try:
            self.usage = read_success(asked, between.endpoint, self, body, read_answer=read_answer)
            answer = between.destination.read_answer(body)
            if answer.created is None:
                answer = replace(answer, created=int(time()))
            if self.content.events:
                writer = between.source.event_writer(between.question)
                return writer.write(events_of(answer))
            return between.source.write_answer(answer, between.question)
        except UpstreamError as failure:
            _translate_failure(between, failure, body)
            raise
        except UnreadableAnswer as error:
            raise UpstreamFailed(f"an answer that cannot be translated: {error}") from None


class TranslatedError(TranslatedAnswer):
    """An error with its own status. Reading it raises the failure that it stands for."""

    __slots__ = ()

    def passed_on(self, body: bytes) -> bytes:
        """Raise the failure, with the error in the client's dialect."""
        between, answer = self._between, Answer(self.status, self._response.headers, body)
        failure = failure_in(answer, between.endpoint)
        failure.answer = _error_in_dialect(between, answer)
        raise failure


class TranslatedStream(ChangedStream):
    """A stream, translated event by event.

    `_beginning`: cuts it as long as there was no content; None from then on, and the reader does.
    `_first`, `_tail`: its first and last bytes, with the usage.
    """

    __slots__ = ("_beginning", "_between", "_first", "_reader", "_tail", "_writer")

    def __init__(self, between: Between, response: UpstreamResponse) -> None:
        content = Content(False, True, b"", None, True, response.content.request_id)
        super().__init__(response, _headers(between, response, EVENTS), content)
        self._between = between
        self._reader = between.destination.event_reader()
        self._writer = between.source.event_writer(between.question)
        self._beginning: EventCutter | None = EventCutter()
        self._first = b""
        self._tail = bytearray()

    @property
    def usage(self) -> Usage | None:
        """The usage that the endpoint has reported, which its client may not have asked for."""
        return usage_of_stream(bytes(self._tail), self._first)

    async def pour(self, sink: Sink, times: PourTimes, on_quiet: Callable[[], None]) -> None:
        """Write the rest of the stream to a sink as it arrives, at the sink's pace."""
        self._read_rest()
        await super().pour(sink, times, on_quiet)

    def passed(self, chunk: bytes) -> bytes:
        """Return what came, translated. Raises the failure that a stream begins with."""
        tail = self._tail
        tail += chunk
        if len(tail) > MAX_TAIL_BYTES:
            del tail[:-TAIL_BYTES]
        if self._beginning is not None:
            self._first += chunk
            return self._begun(self._beginning, chunk)
        return self._writer.write(map(_with_time, self._reader.read(chunk)))

    def _begun(self, beginning: EventCutter, chunk: bytes) -> bytes:
        """Return what came before the first content, and that, translated."""
        events = beginning.cut(chunk)
        if self._ended and (rest := beginning.take_rest()):  # some end with a bare JSON error
            events.append(rest)
        written = b""
        provider, dialect = self._between.endpoint.provider, self._between.asked.route.dialect
        for number, event in enumerate(events):
            kind = provider.classify(event, dialect)
            if kind is ERROR:
                answer = Answer(self.status, self._response.headers, event)
                failure = failure_in(answer, self._between.endpoint, event)
                _translate_failure(self._between, failure, fields(event)[1])
                raise failure
            written += self._written(event)
            if kind is CONTENT:
                left = b"".join(events[number + 1 :])
                return written + (self._written(left) if left else b"") + self._read_rest()
        return written + (self._written(b"") if self._ended else b"")

    def _read_rest(self) -> bytes:
        """Give the reader what came of an event that is not complete: it cuts the stream now."""
        beginning, self._beginning = self._beginning, None
        rest = b"" if beginning is None else beginning.take_rest()
        return self._written(rest) if rest else b""

    def _written(self, chunk: bytes) -> bytes:
        return self._writer.write(map(_with_time, self._reader.read(chunk)))


def _with_time(event: AnswerEvent) -> AnswerEvent:
    """Return an event; the beginning of an answer with the time, if the vendor does not tell it."""
    if isinstance(event, AnswerStarted) and event.created is None:
        return replace(event, created=int(time()))
    return event


def _headers(between: Between, response: UpstreamResponse, content_type: Header) -> Headers:
    kept = [header for header in response.headers if header[0] not in _OF_THE_BODY]
    return [*kept, content_type, *between.notes]

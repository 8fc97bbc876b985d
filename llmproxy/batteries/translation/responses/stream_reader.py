"""Reading a stream of the Responses API.

Items come one after the other; where a vendor mixes two, the events of the second wait until the
first is done. What an item says is in its deltas, and again in its `done` event: what no delta said
is taken from there, because some servers send few deltas, or none.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llmproxy.batteries.translation.failures import read_failure
from llmproxy.batteries.translation.framing import EventCutter
from llmproxy.batteries.translation.hub import (
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    PartEnded,
    PartGrew,
    PartStarted,
    PlainText,
    Refusal,
    SignOfLife,
    Thinking,
    ToolCall,
    UnreadableAnswer,
)
from llmproxy.batteries.translation.responses.failures import FAILED_STATUS, failure_in_stream
from llmproxy.batteries.translation.responses.read_answer import (
    NOTHING,
    AnswerPart,
    OutputItem,
    WholeResponse,
    parts_of,
    read_item,
    read_response,
)
from llmproxy.operations import sse

_EMPTY = msgspec.Raw(b"{}")


class StreamEvent(msgspec.Struct, gc=False):
    """The members of an event that say anything, of all types."""

    type: str = ""
    response: msgspec.Raw = _EMPTY
    item: msgspec.Raw = _EMPTY
    error: msgspec.Raw = NOTHING
    code: str | None = None
    message: str | None = None
    delta: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0


_event = msgspec.json.Decoder(StreamEvent)
# The events that add to a part, and which of them are the words of reasoning.
_SUMMARY = "response.reasoning_summary_text.delta"
_WORDS = "response.reasoning_text.delta"
_DELTAS = {
    "response.output_text.delta",
    "response.refusal.delta",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    _SUMMARY,
    _WORDS,
}


class ResponsesEventReader:
    """Reads one stream. Keeps what is not complete yet."""

    __slots__ = ("_calls", "_events", "_item", "_parts", "_refuses", "_started", "_waiting")

    def __init__(self) -> None:
        self._events = EventCutter()
        self._started = False
        self._item: _ItemReader | None = None
        self._waiting: list[StreamEvent] = []  # of other items than the open one
        self._parts = 0
        self._calls = False
        self._refuses = False

    def read(self, chunk: bytes) -> list[AnswerEvent]:
        """Return the events that are complete with these bytes. b"" = the stream has ended."""
        events = self._events.cut(chunk) if chunk else self._events.rest_as_event()
        return [said for event in events for said in self._read(event)]

    def _read(self, event: bytes) -> Iterator[AnswerEvent]:
        name, data = sse.fields(event)
        if not data:
            if event.strip():
                yield SignOfLife()
            return
        if data.startswith(b"[DONE]"):
            return
        try:
            read = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield AnswerFailed(read_failure(FAILED_STATUS, data))
            return
        read.type = read.type or name.decode("latin-1")
        try:
            yield from self._follow(read)
        except UnreadableAnswer as error:
            yield AnswerFailed(read_failure(FAILED_STATUS, str(error).encode()))

    def _follow(self, event: StreamEvent) -> Iterator[AnswerEvent]:
        match event.type:
            case "response.created" | "response.in_progress" | "response.queued":
                if self._started:
                    yield SignOfLife()
                else:
                    yield self._start(read_response(event.response))
            case "response.completed" | "response.incomplete":
                yield from self._finish(read_response(event.response))
            case "response.failed":
                told = read_response(event.response).error
                told = event.error if _is_null(told) else told
                yield AnswerFailed(failure_in_stream(bytes(told)))
            case "error":
                own = {"message": event.message, "code": event.code}
                error = msgspec.json.encode(own) if _is_null(event.error) else bytes(event.error)
                yield AnswerFailed(failure_in_stream(error))
            case _:
                yield from self._place(event)

    def _start(self, response: WholeResponse) -> AnswerStarted:
        self._started = True
        return AnswerStarted(response.id, response.model, created=response.created())

    def _place(self, event: StreamEvent) -> Iterator[AnswerEvent]:
        """Read an event of an item, if it is the open one or none is open."""
        if self._item is not None and self._item.place != event.output_index:
            self._waiting.append(event)
            return
        if self._item is None:
            if event.type not in ("response.output_item.added", "response.output_item.done"):
                return
            self._item = _ItemReader(event.output_index)
        if event.type == "response.output_item.done":
            yield from self._counted(self._item.done(read_item(event.item)))
            self._item = None
            waiting, self._waiting = self._waiting, []
            for later in waiting:
                yield from self._place(later)
        elif event.type == "response.output_item.added":
            yield from self._counted(self._item.added(read_item(event.item)))
        elif event.type in _DELTAS:
            yield from self._counted(self._item.grow(event))

    def _counted(self, events: Iterator[AnswerEvent]) -> Iterator[AnswerEvent]:
        """Give the parts of an item their numbers in the answer."""
        for event in events:
            match event:
                case PartStarted():
                    if not self._started:  # a server without `response.created`
                        yield self._start(WholeResponse())
                    self._calls |= isinstance(event.part, ToolCall)
                    self._refuses |= isinstance(event.part, Refusal)
                    yield PartStarted(self._parts, event.part)
                case PartGrew():
                    yield msgspec.structs.replace(event, index=self._parts)
                case PartEnded():
                    yield PartEnded(self._parts)
                    self._parts += 1
                case _:
                    yield event

    def _finish(self, response: WholeResponse) -> Iterator[AnswerEvent]:
        if self._item is not None:  # never done
            yield from self._counted(self._item.cut())
            self._item = None
        if not self._started:
            yield self._start(response)
        if not self._parts:
            for place, raw in enumerate(response.output or ()):
                yield from self._counted(_ItemReader(place).done(read_item(raw)))
        finish = response.finish(calls=self._calls, refuses=self._refuses)
        yield AnswerFinished(finish, response.tokens())


class _ItemReader:
    """Reads the events of one item. Its parts are numbered by the reader of the stream.

    `place`: the item's `output_index`.
    """

    __slots__ = ("_item", "_open", "_said", "_summary", "place")

    def __init__(self, place: int) -> None:
        self.place = place
        self._item = OutputItem()
        self._open: int | None = None  # the part that goes on, by its number within the item
        self._said: dict[int, str] = {}  # what was said of each part
        self._summary = 0  # the piece of the summary

    def added(self, item: OutputItem) -> Iterator[AnswerEvent]:
        """Begin the item. A message begins with its first text."""
        self._item = item
        if item.type != "message":
            for part in parts_of(item):
                yield from self._start(0, _begun(part))

    def grow(self, event: StreamEvent) -> Iterator[AnswerEvent]:
        """Add to a part, which this may begin."""
        is_reasoning = event.type in (_SUMMARY, _WORDS)
        number = 0 if is_reasoning or self._item.type != "message" else event.content_index
        if number not in self._said:
            yield from self._end()
            is_refusal = event.type == "response.refusal.delta"
            begun = Refusal(text="") if is_refusal else PlainText(text="")
            yield from self._start(number, begun)
        text = event.delta
        if is_reasoning and max(event.summary_index, event.content_index) != self._summary:
            self._summary = max(event.summary_index, event.content_index)
            text = "\n\n" + text
        self._said[number] += text
        yield PartGrew(0, text)

    def done(self, item: OutputItem) -> Iterator[AnswerEvent]:
        """End the item, and say what was not said yet."""
        for number, part in enumerate(parts_of(item)):
            if number not in self._said:
                yield from self._end()
                yield from self._start(number, _begun(part))
            whole, said = _text_of(part), self._said[number]
            if number != self._open:
                continue
            if len(whole) > len(said) and whole.startswith(said):
                yield PartGrew(0, whole[len(said) :])
            if isinstance(part, Thinking) and (part.encrypted or part.id):
                yield PartGrew(0, encrypted=part.encrypted or "", id=part.id or "")
            yield from self._end()
        yield from self._end()

    def cut(self) -> Iterator[AnswerEvent]:
        """End the item where it stands."""
        return self._end()

    def _start(self, number: int, part: AnswerPart) -> Iterator[AnswerEvent]:
        self._open = number
        self._said[number] = ""
        yield PartStarted(0, part)

    def _end(self) -> Iterator[AnswerEvent]:
        if self._open is not None:
            self._open = None
            yield PartEnded(0)


def _begun(part: AnswerPart) -> AnswerPart:
    """Return a part as it is before it has said anything."""
    match part:
        case ToolCall():
            return msgspec.structs.replace(part, arguments="")
        case Thinking():
            return Thinking()
        case _:
            return msgspec.structs.replace(part, text="")


def _text_of(part: AnswerPart) -> str:
    return part.arguments if isinstance(part, ToolCall) else part.text


def _is_null(raw: msgspec.Raw) -> bool:
    return bytes(raw) == b"null"

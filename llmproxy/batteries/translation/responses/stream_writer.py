"""Writing an answer for a client of the Responses API: its events, and the whole response.

    response.created, response.in_progress
    (response.output_item.added ... response.output_item.done)*
    response.completed | response.incomplete | response.failed

An item between `added` and `done` is in `open_items`. Texts that follow each other are one message,
so its end is told when another part begins, or the answer ends. The last event repeats the whole
output, and is what a call without a stream gets.

Source: OpenAI's API reference, "Streaming events" of the Responses API; openai-python,
`types/responses/response_stream_event`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from llmproxy.batteries.translation.hub import (
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    AnswerTokens,
    FinishReason,
    ModelAnswer,
    PartEnded,
    PartGrew,
    PartStarted,
    PlainText,
    Question,
    Refusal,
    SignOfLife,
    Thinking,
)
from llmproxy.batteries.translation.responses.failures import with_code
from llmproxy.batteries.translation.responses.open_items import (
    MessageItem,
    OpenItem,
    item_for,
)
from llmproxy.batteries.translation.responses.write_question import (
    write_reasoning,
    write_text,
    write_tool,
    write_tool_choice,
)
from llmproxy.operations import sse

Event = dict[str, object]

MAX_ID = 40  # characters of an answer's id that are in the ids of its items; OpenAI takes 64

_CUT_BY = {
    FinishReason.OUTPUT_LIMIT: "max_output_tokens",
    FinishReason.CONTEXT_FULL: "max_output_tokens",
    FinishReason.REFUSED: "content_filter",
}


def write_answer(answer: ModelAnswer, question: Question) -> bytes:
    """Write a whole answer for the client that asked the question."""
    writer = ResponsesEventWriter(question)
    events: list[AnswerEvent] = [
        AnswerStarted(answer.id, answer.model, created=answer.created),
    ]
    for index, part in enumerate(answer.parts):
        events += (PartStarted(index, part), PartEnded(index))
    events.append(AnswerFinished(answer.finish, answer.tokens, answer.stop_text))
    writer.write(events)
    return msgspec.json.encode(writer.response)


class ResponsesEventWriter:
    """Writes one stream for a client.

    `response`: as the last event has it, once the answer is finished.
    """

    __slots__ = (
        "_item",
        "_number",
        "_output",
        "_passing_over",
        "_question",
        "_refuses",
        "_written",
        "response",
    )

    def __init__(self, question: Question) -> None:
        self._question = question
        self._number = 0  # of the next event
        self._output: list[object] = []  # the items that are done
        self._item: OpenItem | None = None
        self._passing_over = False  # thinking that the client must not get
        self._refuses = False
        self._written: list[bytes] = []
        self.response: Event = {}

    def write(self, events: Iterable[AnswerEvent]) -> bytes:
        """Return whole server-sent events; b"" if there is nothing to say yet."""
        for event in events:
            self._write(event)
        written = b"".join(self._written)
        self._written.clear()
        return written

    def _write(self, event: AnswerEvent) -> None:
        match event:
            case AnswerStarted():
                self._start(event)
            case PartStarted():
                self._start_part(event)
            case PartGrew():
                if self._item is not None and not self._passing_over:
                    self._tell_all(self._item.grow(event))
            case PartEnded():
                if self._item is not None and not self._passing_over:
                    self._tell_all(self._item.end_part())
                self._passing_over = False
            case AnswerFinished():
                self._finish(event)
            case AnswerFailed():
                self._fail(event)
            case SignOfLife():
                self._written.append(b": ka\n\n")

    def _start(self, event: AnswerStarted) -> None:
        self.response = {
            "id": event.id if event.id.startswith("resp_") else f"resp_{event.id}",
            "object": "response",
            "created_at": event.created or 0,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": event.model,
            "output": [],
            **_echoed(self._question),
            "usage": None,
        }
        self._tell("response.created", {"response": self.response})
        self._tell("response.in_progress", {"response": self.response})

    def _start_part(self, event: PartStarted) -> None:
        part = event.part
        self._passing_over = isinstance(part, Thinking) and not self._question.foreign_thinking
        if self._passing_over:
            return
        self._refuses |= isinstance(part, Refusal)
        goes_on = isinstance(self._item, MessageItem) and isinstance(part, PlainText | Refusal)
        if self._item is None or not goes_on:
            self._close_item()
            own_id = str(self.response.get("id", "")).rpartition("_")[2]
            suffix = f"{own_id[-MAX_ID:]}_{event.index}"
            self._item = item_for(part, suffix, self._question.tools)
            self._tell("response.output_item.added", self._placed({"item": self._item.added()}))
        self._tell_all(self._item.start_part(part))

    def _close_item(self) -> None:
        if self._item is not None:
            item = self._item.done()
            self._tell("response.output_item.done", self._placed({"item": item}))
            self._output.append(item)
            self._item = None

    def _finish(self, event: AnswerFinished) -> None:
        self._close_item()
        cut_by = _CUT_BY.get(event.finish)
        if self._refuses and event.finish is FinishReason.REFUSED:
            cut_by = None  # the model has said so itself
        self.response |= {
            "status": "incomplete" if cut_by else "completed",
            "incomplete_details": {"reason": cut_by} if cut_by else None,
            "output": self._output,
            "usage": _usage(event.tokens),
        }
        self._tell(f"response.{self.response['status']}", {"response": self.response})

    def _fail(self, event: AnswerFailed) -> None:
        """Report an error. Its top-level `error`: openai-python raises on that alone."""
        failure = with_code(event.failure)
        code = failure.code
        error: Event = {"code": code, "message": failure.message, "param": failure.param}
        if not self.response:
            self._tell(
                "error", {**error, "error": {"type": failure.kind or "server_error", **error}}
            )
            return
        told = {"code": code or "server_error", "message": failure.message}
        self.response |= {"status": "failed", "error": told, "output": self._output}
        self._tell("response.failed", {"response": self.response, "error": error})

    # ---- events

    def _placed(self, fields: Mapping[str, object]) -> Mapping[str, object]:
        return {"output_index": len(self._output), **fields}

    def _tell_all(self, events: Iterable[tuple[str, Event]]) -> None:
        for kind, fields in events:
            self._tell(kind, self._placed(fields))

    def _tell(self, kind: str, fields: Mapping[str, object]) -> None:
        payload = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        self._written.append(sse.event_of(kind, payload))


def _echoed(question: Question) -> Event:
    """Return the members of a response that repeat the request."""
    choice = question.tool_choice
    return {
        "background": False,
        "instructions": None,
        "max_output_tokens": question.max_output_tokens,
        "metadata": question.also.get("metadata", {}),
        "parallel_tool_calls": question.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": write_reasoning(question.reasoning, question.model or "")
        or {"effort": None, "summary": None},
        "store": False,
        "temperature": question.temperature,
        "text": {"format": {"type": "text"}, **(write_text(question) or {})},
        "tool_choice": "auto" if choice is None else write_tool_choice(choice, question.tools),
        "tools": [write_tool(tool) for tool in question.tools],
        "top_p": question.top_p,
        "truncation": "disabled",
        "user": question.user,
    }


def _usage(tokens: AnswerTokens | None) -> Event | None:
    if tokens is None:
        return None
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {
            "cached_tokens": tokens.cache_read,
            "cache_write_tokens": tokens.cache_written,
        },
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning or 0},
        "total_tokens": tokens.input + tokens.output,
    }

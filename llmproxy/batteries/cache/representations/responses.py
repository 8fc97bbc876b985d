"""The Responses API: from events to a response, and back.

Source: OpenAI's API reference, "Streaming events" of responses.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llmproxy.batteries.cache.representations.merging import Value, deltas_of
from llmproxy.batteries.cache.representations.recorded import completed

Events = Iterator[tuple[str, Value]]  # type and fields of each event
# A response before its output.
_BEGUN: Value = {"status": "in_progress", "output": [], "usage": None}


class _Ended(msgspec.Struct, gc=False):
    response: msgspec.Raw


_ENDED = msgspec.json.Decoder(_Ended)


def sse_to_json(events: bytes) -> bytes | None:
    """Return the response that a stream ends with: its last event contains all of it."""
    data = completed(events)
    return None if data is None else bytes(_ENDED.decode(data).response)


def json_to_sse(body: bytes) -> bytes | None:
    """Return the events of a completed response; None for anything else."""
    try:
        response = msgspec.json.decode(body)
        if response["status"] != "completed" or response["object"] != "response":
            return None
        return b"".join(_numbered(_events_of(response)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # an unknown shape


def _numbered(events: Events) -> Iterator[bytes]:
    for number, (kind, fields) in enumerate(events):
        data = msgspec.json.encode({"type": kind, "sequence_number": number, **fields})
        yield b"event: %b\ndata: %b\n\n" % (kind.encode("ascii"), data)


def _events_of(response: Value) -> Events:
    begun = {**response, **_BEGUN}
    if "completed_at" in begun:
        begun["completed_at"] = None
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(response["output"]):
        for kind, fields in _item(item):
            yield kind, {"output_index": index, **fields}
    yield "response.completed", {"response": response}


def _item(item: Value) -> Events:
    """Yield the events of one item of the output: it is added empty, filled, and done."""
    added, events = _ITEMS.get(item["type"], _unchanged)(item)
    yield "response.output_item.added", {"item": added}
    for kind, fields in events:
        yield kind, {"item_id": item["id"], **fields}
    yield "response.output_item.done", {"item": item}


def _unchanged(item: Value) -> tuple[Value, Events]:
    return item, iter(())


def _message(item: Value) -> tuple[Value, Events]:
    def events() -> Events:
        for index, part in enumerate(item["content"]):
            for kind, fields in _part(part):
                yield kind, {"content_index": index, **fields}

    return {**item, "status": "in_progress", "content": []}, events()


def _part(part: Value) -> Events:
    """Yield the events of a part of a message: a text, or a refusal."""
    if part["type"] == "refusal":
        key = kind = "refusal"
        more: Value = {}
        empty: Value = {**part, "refusal": ""}
    else:
        key, kind, more = "text", "output_text", {"logprobs": []}
        empty = {**part, "text": "", "annotations": []}
        if "logprobs" in part:
            empty["logprobs"] = []
    yield "response.content_part.added", {"part": empty}
    for delta in deltas_of(part[key]):
        yield f"response.{kind}.delta", {"delta": delta, **more}
    for number, annotation in enumerate(part.get("annotations") or ()):
        fields = {"annotation_index": number, "annotation": annotation}
        yield "response.output_text.annotation.added", fields
    if more:
        more = {"logprobs": part.get("logprobs") or []}
    yield f"response.{kind}.done", {key: part[key], **more}
    yield "response.content_part.done", {"part": part}


def _function_call(item: Value) -> tuple[Value, Events]:
    def events() -> Events:
        for delta in deltas_of(item["arguments"]):
            yield "response.function_call_arguments.delta", {"delta": delta}
        done = {"arguments": item["arguments"], "name": item["name"]}
        yield "response.function_call_arguments.done", done

    return {**item, "status": "in_progress", "arguments": ""}, events()


def _custom_tool_call(item: Value) -> tuple[Value, Events]:
    def events() -> Events:
        for delta in deltas_of(item["input"]):
            yield "response.custom_tool_call_input.delta", {"delta": delta}
        yield "response.custom_tool_call_input.done", {"input": item["input"]}

    return {**item, "input": ""}, events()


def _reasoning(item: Value) -> tuple[Value, Events]:
    def events() -> Events:
        for index, part in enumerate(item.get("summary") or ()):
            at: Value = {"summary_index": index}
            yield "response.reasoning_summary_part.added", {**at, "part": {**part, "text": ""}}
            for delta in deltas_of(part["text"]):
                yield "response.reasoning_summary_text.delta", {**at, "delta": delta}
            yield "response.reasoning_summary_text.done", {**at, "text": part["text"]}
            yield "response.reasoning_summary_part.done", {**at, "part": part}
        for index, part in enumerate(item.get("content") or ()):
            at = {"content_index": index}
            for delta in deltas_of(part["text"]):
                yield "response.reasoning_text.delta", {**at, "delta": delta}
            yield "response.reasoning_text.done", {**at, "text": part["text"]}

    empty = {**item, "summary": []}
    if item.get("content"):
        empty["content"] = []
    return empty, events()


_ITEMS = {
    "message": _message,
    "function_call": _function_call,
    "custom_tool_call": _custom_tool_call,
    "reasoning": _reasoning,
}

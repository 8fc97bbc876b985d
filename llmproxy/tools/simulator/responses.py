"""The Responses API: create (whole or streamed), retrieve, resume, delete, list the input items.

The event sequence is OpenAI's; there is no [DONE]. Responses are stored in memory, so
an id is valid at one vendor only, as it is in one account.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec

from llmproxy.tools.simulator.completion import (
    Completion,
    Content,
    FormatParam,
    ToolParam,
    Turn,
    Wishes,
    complete,
    count_tokens,
    text_of,
    tokens_of,
)
from llmproxy.tools.simulator.errors import VendorError
from llmproxy.tools.simulator.exchange import ApiCall, Json, Reply, json_reply, sse, stream_reply
from llmproxy.tools.simulator.flavours import no_such_path
from llmproxy.tools.simulator.state import StoredResponse, VendorState, decoded, store

TOKENS_PER_ITEM = 3


class InputItem(msgspec.Struct):
    """A message, a function call or a function's output in the input."""

    type: str = "message"
    role: str | None = None
    content: Content = None
    output: Content = None
    name: str | None = None
    arguments: str | None = None


class TextConfig(msgspec.Struct):
    """The `text` parameter."""

    format: FormatParam | None = None


class ResponsesRequest(msgspec.Struct, frozen=True):
    """The fields that decide an answer."""

    model: str | None = None
    input: str | list[InputItem] | None = None
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    max_output_tokens: int | None = None
    tools: list[ToolParam] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None


# A response without its output.
_EMPTY = msgspec.json.Decoder(Json).decode(
    b"""{"id": "", "object": "response", "created_at": 0, "status": "completed",
    "background": false, "completed_at": 0, "error": null, "incomplete_details": null,
    "instructions": null, "max_output_tokens": null, "max_tool_calls": null, "model": "",
    "output": [], "parallel_tool_calls": true, "previous_response_id": null,
    "prompt_cache_key": null, "reasoning": {"effort": null, "summary": null},
    "safety_identifier": null, "service_tier": "default", "store": true, "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"}, "tool_choice": "auto", "tools": [],
    "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "usage": null, "user": null,
    "metadata": {}}"""
)
# These are the vendor's to set; the client's values of the other fields are echoed.
_OWN = {"id", "object", "created_at", "status", "model", "output", "usage", "error"}


def create_response(call: ApiCall, state: VendorState) -> Reply:
    """Answer one request. Raises VendorError."""
    request = decoded(ResponsesRequest, call)
    model = state.model(call, request.model)
    items = _items(request)
    prompt_tokens = _prompt_tokens(request, items)
    state.admit(call, model, prompt=prompt_tokens, output=request.max_output_tokens)
    earlier = request.previous_response_id
    if earlier is not None and earlier not in state.responses:
        raise VendorError(
            400,
            f"Previous response with id '{earlier}' not found.",
            code="previous_response_not_found",
            param="previous_response_id",
        )
    completion = complete(
        map(_turn, items),
        Wishes(
            tools=[tool for tool in request.tools or () if tool.type == "function"],
            choice=request.tool_choice,
            parallel=request.parallel_tool_calls,
            format=request.text.format if request.text else None,
            limit=request.max_output_tokens,
            min_tokens=state.settings.answer_tokens,
            refuse=call.refuse,
        ),
    )
    asked = decoded(Json, call)
    response = _envelope(asked, model, state)
    response["output"] = _output(completion, state)
    prompt = [request.tools, request.instructions, items]
    cached = state.cached_tokens(model, prompt, prompt_tokens)
    response["usage"] = _usage(prompt_tokens, completion.output_tokens, cached)
    if completion.cut:
        response["status"] = "incomplete"
        response["incomplete_details"] = {"reason": "max_output_tokens"}
    if request.store is not False:
        given = asked.get("input")
        store(state.responses, str(response["id"]), StoredResponse(response, _listed(given, state)))
    if request.stream:
        return stream_reply(response_events(response))
    return json_reply(response, output_tokens=completion.output_tokens)


def stored_response(call: ApiCall, state: VendorState) -> Reply:
    """GET, DELETE and POST below `responses/`. Raises VendorError."""
    _, _, path = call.operation.partition("/")
    id_, _, action = path.partition("/")
    if (call.method, path) == ("POST", "input_tokens"):
        request = decoded(ResponsesRequest, call)
        tokens = _prompt_tokens(request, _items(request))
        return json_reply({"object": "response.input_tokens", "input_tokens": tokens})
    kept = state.responses.get(id_)
    if kept is None:
        raise VendorError(404, f"Response with id '{id_}' not found.")
    match (call.method, action):
        case ("GET", ""):
            if call.query.get("stream", "").lower() == "true":
                after = call.query.get("starting_after", "")
                number = int(after) if after.isdecimal() else -1
                return stream_reply(response_events(kept.response, after=number))
            return json_reply(kept.response)
        case ("DELETE", ""):
            del state.responses[id_]
            return json_reply({"id": id_, "object": "response", "deleted": True})
        case ("GET", "input_items"):
            return json_reply(_item_list(kept.items))
    raise no_such_path(call)


# --- the request ---------------------------------------------------------------------------


def _items(request: ResponsesRequest) -> list[InputItem]:
    given = request.input
    if given is None:
        return []
    return [InputItem(role="user", content=given)] if isinstance(given, str) else given


def _turn(item: InputItem) -> Turn:
    if item.type == "function_call_output":
        return Turn("tool", text_of(item.output))
    called = [item.name] if item.type == "function_call" and item.name else []
    return Turn(item.role or "", text_of(item.content), called)


def _prompt_tokens(request: ResponsesRequest, items: list[InputItem]) -> int:
    texts = [request.instructions or ""]
    for item in items:
        texts += (text_of(item.content), text_of(item.output), item.arguments or "")
    return TOKENS_PER_ITEM * len(items) + sum(map(count_tokens, texts))


def _listed(given: object, state: VendorState) -> list[Json]:
    """The input as `input_items` lists it: messages with parts, newest first."""
    written: list[Json] = (
        [{"role": "user", "content": given}]
        if isinstance(given, str)
        else cast("list[Json]", given or [])
    )
    listed = []
    for given_item in written:
        item: Json = {"id": state.new_id("msg_", 48), "type": "message", "status": "completed"}
        item |= given_item
        if isinstance(item.get("content"), str):
            item["content"] = [{"type": "input_text", "text": item["content"]}]
        listed.append(item)
    return listed[::-1]


def _item_list(items: list[Json]) -> Json:
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": False,
    }


# --- the whole response -- ---------------------------------------------------------------


def _envelope(asked: Json, model: str, state: VendorState) -> Json:
    """Return a response without its output; what the client set is echoed."""
    created = state.created()
    echoed = {
        name: value
        for name, value in asked.items()
        if name in _EMPTY.keys() - _OWN and value is not None
    }
    own: Json = {"id": state.new_id("resp_", 48), "created_at": created, "model": model}
    return {**_EMPTY, "completed_at": created, **echoed, **own}


def _output(completion: Completion, state: VendorState) -> list[Json]:
    if completion.calls:
        return [
            {
                "id": state.new_id("fc_", 48),
                "type": "function_call",
                "status": "completed",
                "arguments": arguments,
                "call_id": state.new_id("call_"),
                "name": name,
            }
            for name, arguments in completion.calls
        ]
    part: Json = (
        {"type": "refusal", "refusal": completion.text}
        if completion.refused
        else {"type": "output_text", "annotations": [], "logprobs": [], "text": completion.text}
    )
    return [
        {
            "id": state.new_id("msg_", 48),
            "type": "message",
            "status": "incomplete" if completion.cut else "completed",
            "content": [part],
            "role": "assistant",
        }
    ]


def _usage(prompt_tokens: int, output_tokens: int, cached_tokens: int) -> Json:
    return {
        "input_tokens": prompt_tokens,
        "input_tokens_details": {"cached_tokens": cached_tokens},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt_tokens + output_tokens,
    }


def _in_progress(response: Json) -> Json:
    """Return the response as it is before its first output."""
    nothing_yet: Json = {
        "output": [],
        "usage": None,
        "completed_at": None,
        "incomplete_details": None,
    }
    return {**response, **nothing_yet, "status": "in_progress"}


# --- the response as events  --------------------------------------------------------------


def response_events(response: Json, *, after: int = -1) -> Iterator[bytes]:
    """Yield the stream of a response, without the events up to number `after`."""
    for number, (kind, fields) in enumerate(_events_of(response)):
        if number > after:
            yield sse({"type": kind, "sequence_number": number, **fields}, kind)


def _events_of(response: Json) -> Iterator[tuple[str, Json]]:
    started = _in_progress(response)
    yield "response.created", {"response": started}
    yield "response.in_progress", {"response": started}
    for index, item in enumerate(cast("list[Json]", response["output"])):
        is_call = item["type"] == "function_call"
        for kind, fields in _call_events(item) if is_call else _message_events(item):
            yield kind, {"output_index": index, **fields}
    yield f"response.{response['status']}", {"response": response}


def _call_events(item: Json) -> Iterator[tuple[str, Json]]:
    arguments = str(item["arguments"])
    at: Json = {"item_id": item["id"]}
    opening = {**item, "status": "in_progress", "arguments": ""}
    yield "response.output_item.added", {"item": opening}
    for piece in tokens_of(arguments):
        yield "response.function_call_arguments.delta", {**at, "delta": piece}
    done: Json = {**at, "arguments": arguments, "name": item["name"]}
    yield "response.function_call_arguments.done", done
    yield "response.output_item.done", {"item": item}


def _message_events(item: Json) -> Iterator[tuple[str, Json]]:
    part = cast("list[Json]", item["content"])[0]
    at: Json = {"item_id": item["id"], "content_index": 0}
    refused = part["type"] == "refusal"
    key, kind = ("refusal", "refusal") if refused else ("text", "output_text")
    extra: Json = {} if refused else {"logprobs": []}
    text = str(part[key])
    yield "response.output_item.added", {"item": {**item, "status": "in_progress", "content": []}}
    yield "response.content_part.added", {**at, "part": {**part, key: ""}}
    for piece in tokens_of(text):
        yield f"response.{kind}.delta", {**at, "delta": piece, **extra}
    yield f"response.{kind}.done", {**at, key: text, **extra}
    yield "response.content_part.done", {**at, "part": part}
    yield "response.output_item.done", {"item": item}

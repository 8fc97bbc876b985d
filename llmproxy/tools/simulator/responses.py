"""The Responses API: create (whole, streamed, in the background), retrieve, resume, delete, items.

The event sequence is OpenAI's; there is no [DONE]. A stored response is kept in the state's memory,
so that ids live in one vendor only, as they do in one account.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec

from llmproxy.tools.simulator.completion import (
    Completion,
    CompletionInput,
    FunctionTool,
    complete,
    forced_tool,
)
from llmproxy.tools.simulator.errors import VendorError
from llmproxy.tools.simulator.exchange import ApiCall, Json, Reply, json_reply, sse, stream_reply
from llmproxy.tools.simulator.state import StoredResponse, VendorState, decoded, no_such_path, store
from llmproxy.tools.simulator.text import count_tokens, tokens_of

TOKENS_PER_ITEM = 3


class _ResponsePart(msgspec.Struct):
    type: str = "input_text"
    text: str | None = None


class _Item(msgspec.Struct):
    type: str = "message"
    role: str | None = None
    content: str | list[_ResponsePart] | None = None
    output: str | list[_ResponsePart] | None = None
    name: str | None = None
    arguments: str | None = None


class _ResponseTool(msgspec.Struct):
    type: str = "function"
    name: str | None = None
    parameters: Json | None = None


class _ResponseFormat(msgspec.Struct):
    type: str = "text"
    schema: Json | None = None


class _Text(msgspec.Struct):
    format: _ResponseFormat | None = None


class ResponsesRequest(msgspec.Struct):
    """The fields that decide an answer."""

    model: str | None = None
    input: str | list[_Item] | None = None
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    max_output_tokens: int | None = None
    tools: list[_ResponseTool] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None


_REQUEST = msgspec.json.Decoder(ResponsesRequest)
_ECHOED = msgspec.json.Decoder(dict[str, object])


def create_response(call: ApiCall, state: VendorState) -> Reply:
    """Answer one request. Raises VendorError."""
    request = decoded(_REQUEST, call)
    model = state.model(call, request.model)
    items = _items(request)
    prompt_tokens = sum(map(_item_tokens, items)) + count_tokens(request.instructions or "")
    state.admit(call, model, prompt=prompt_tokens, output=request.max_output_tokens)
    earlier = request.previous_response_id
    if earlier is not None and earlier not in state.responses:
        raise VendorError(
            400,
            f"Previous response with id '{earlier}' not found.",
            code="previous_response_not_found",
            param="previous_response_id",
        )
    inputs = _inputs_of(request, items, call)
    inputs.min_tokens = state.settings.answer_tokens
    completion = complete(inputs)
    asked = _ECHOED.decode(call.body)
    response = _envelope(asked, model, state)
    response["output"] = _output(completion, state)
    response["usage"] = _usage(prompt_tokens, completion.output_tokens)
    if completion.cut:
        response["status"] = "incomplete"
        response["incomplete_details"] = {"reason": "max_output_tokens"}
    if request.store is not False:
        given = asked.get("input")
        store(state.responses, str(response["id"]), StoredResponse(response, _listed(given, state)))
    if request.stream:
        return stream_reply(response_events(response))
    if request.background:
        return json_reply({**_begun(response), "status": "queued"})
    return json_reply(response, output_tokens=completion.output_tokens)


def stored_response(call: ApiCall, state: VendorState) -> Reply:
    """GET, DELETE and POST below `responses/`. Raises VendorError."""
    _, id_, *rest = call.operation.split("/")
    if call.method == "POST" and id_ == "input_tokens" and not rest:
        request = decoded(_REQUEST, call)
        tokens = sum(map(_item_tokens, _items(request))) + count_tokens(request.instructions or "")
        return json_reply({"object": "response.input_tokens", "input_tokens": tokens})
    kept = state.responses.get(id_)
    if kept is None:
        raise VendorError(404, f"Response with id '{id_}' not found.")
    match (call.method, *rest):
        case ("GET",):
            if call.query.get("stream", "").lower() == "true":
                after = call.query.get("starting_after", "")
                number = int(after) if after.isdecimal() else -1
                return stream_reply(response_events(kept.response, after=number))
            return json_reply(kept.response)
        case ("DELETE",):
            del state.responses[id_]
            return json_reply({"id": id_, "object": "response", "deleted": True})
        case ("GET", "input_items"):
            return json_reply(_item_list(kept.items))
        case ("POST", "cancel"):
            if not kept.response["background"]:
                raise VendorError(400, "Cannot cancel a synchronous response.")
            return json_reply({**kept.response, "status": "cancelled", "output": []})
    raise no_such_path(call)


# --- what was asked ------------------------------------------------------------------------


def _items(request: ResponsesRequest) -> list[_Item]:
    given = request.input
    if given is None:
        return []
    return [_Item(role="user", content=given)] if isinstance(given, str) else given


def _inputs_of(request: ResponsesRequest, items: list[_Item], call: ApiCall) -> CompletionInput:
    question = next((_text(each.content) for each in reversed(items) if each.role == "user"), "")
    last = items[-1] if items else None
    answered = last is not None and last.type == "function_call_output"
    wanted = request.text.format if request.text else None
    return CompletionInput(
        question=question,
        tool_result=_text(last.output) if answered and last is not None else None,
        called=frozenset(each.name for each in items if each.type == "function_call" and each.name),
        tools=[
            FunctionTool(tool.name, tool.parameters or {"type": "object"})
            for tool in request.tools or ()
            if tool.type == "function" and tool.name
        ],
        choice=forced_tool(request.tool_choice),
        parallel=request.parallel_tool_calls is not False,
        schema=wanted.schema if wanted and wanted.type == "json_schema" else None,
        json_mode=wanted is not None and wanted.type == "json_object",
        limit=request.max_output_tokens,
        refuse=call.refuse,
    )


def _text(content: str | list[_ResponsePart] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return " ".join(part.text for part in content if part.text)


def _item_tokens(item: _Item) -> int:
    texts = (_text(item.content), _text(item.output), item.arguments or "")
    return TOKENS_PER_ITEM + sum(map(count_tokens, texts))


def _listed(given: object, state: VendorState) -> list[Json]:
    """The input as `input_items` lists it: messages with parts, newest first."""
    written: list[Json] = (
        [{"role": "user", "content": given}]
        if isinstance(given, str)
        else cast("list[Json]", given or [])
    )
    listed = []
    for each in written:
        item: Json = {"id": state.new_id("msg_", 48), "type": "message", "status": "completed"}
        item |= each
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


# --- the response as a value ---------------------------------------------------------------


def _envelope(asked: Json, model: str, state: VendorState) -> Json:
    """A response without its output; what the client set is echoed."""
    created = state.created()
    value: Json = {
        "id": state.new_id("resp_", 48),
        "object": "response",
        "created_at": created,
        "status": "completed",
        "background": False,
        "completed_at": created,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
    }
    own = ("id", "object", "created_at", "status", "model", "output", "usage", "error")
    for name, given in asked.items():
        if name in value and name not in own and given is not None:
            value[name] = given
    return value


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


def _usage(prompt_tokens: int, output_tokens: int) -> Json:
    return {
        "input_tokens": prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt_tokens + output_tokens,
    }


def _begun(response: Json) -> Json:
    """The response before anything has been completion."""
    unsaid: Json = {"output": [], "usage": None, "completed_at": None, "incomplete_details": None}
    return {**response, **unsaid, "status": "in_progress"}


# --- the same value as events --------------------------------------------------------------


def response_events(response: Json, *, after: int = -1) -> Iterator[bytes]:
    """The stream that tells a response, without the events up to number `after`."""
    for number, (kind, fields) in enumerate(_told(response)):
        if number > after:
            yield sse({"type": kind, "sequence_number": number, **fields}, kind)


def _told(response: Json) -> Iterator[tuple[str, Json]]:
    begun = _begun(response)
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(cast("list[Json]", response["output"])):
        told = _call_told(item) if item["type"] == "function_call" else _message_told(item)
        for kind, fields in told:
            yield kind, {"output_index": index, **fields}
    yield f"response.{response['status']}", {"response": response}


def _call_told(item: Json) -> Iterator[tuple[str, Json]]:
    arguments = str(item["arguments"])
    at: Json = {"item_id": item["id"]}
    opening = {**item, "status": "in_progress", "arguments": ""}
    yield "response.output_item.added", {"item": opening}
    for piece in tokens_of(arguments):
        yield "response.function_call_arguments.delta", {**at, "delta": piece}
    done: Json = {**at, "arguments": arguments, "name": item["name"]}
    yield "response.function_call_arguments.done", done
    yield "response.output_item.done", {"item": item}


def _message_told(item: Json) -> Iterator[tuple[str, Json]]:
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

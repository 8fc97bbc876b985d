"""chat/completions, whole and streamed, as OpenAI and Azure answer it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llmproxy.tools.simulator.completion import (
    Completion,
    CompletionInput,
    FunctionTool,
    complete,
    forced_tool,
)
from llmproxy.tools.simulator.errors import VendorError, content_filter
from llmproxy.tools.simulator.exchange import ApiCall, Json, Reply, json_reply, sse, stream_reply
from llmproxy.tools.simulator.state import VendorState, decoded
from llmproxy.tools.simulator.text import count_tokens, tokens_of

DONE = b"data: [DONE]\n\n"
TOKENS_PER_MESSAGE = 3
TOKENS_PER_IMAGE = 85


class _ChatPart(msgspec.Struct):
    type: str = "text"
    text: str | None = None
    refusal: str | None = None


class _Function(msgspec.Struct):
    name: str
    parameters: Json | None = None
    arguments: str | None = None


class _ChatToolCall(msgspec.Struct):
    function: _Function | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_ChatPart] | None = None
    tool_calls: list[_ChatToolCall] | None = None


class _ChatTool(msgspec.Struct):
    type: str = "function"
    function: _Function | None = None


class _ChatStreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _ChatFormat(msgspec.Struct):
    type: str = "text"
    json_schema: Json | None = None


class ChatRequest(msgspec.Struct):
    """The fields that decide an answer; the others are accepted and ignored."""

    messages: list[_Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: _ChatStreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[_ChatTool] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    response_format: _ChatFormat | None = None
    store: bool | None = None


_REQUEST = msgspec.json.Decoder(ChatRequest)


class _ChatAnswer(msgspec.Struct):
    """What the whole and the streamed form of an answer are made from."""

    call: ApiCall
    id: str
    created: int
    model: str
    completion: Completion
    n: int
    prompt_tokens: int
    call_ids: list[str]

    @property
    def finish_reason(self) -> str:
        if self.completion.calls:
            return "tool_calls"
        return "length" if self.completion.cut else "stop"

    @property
    def usage(self) -> Json:
        return usage_of(self.prompt_tokens, self.completion.output_tokens * self.n)


def chat_completion(call: ApiCall, state: VendorState) -> Reply:
    """Answer one request. Raises VendorError."""
    request = decoded(_REQUEST, call)
    model = state.model(call, request.model)
    _check(request)
    limit = request.max_completion_tokens or request.max_tokens
    prompt_tokens = sum(map(_message_tokens, request.messages)) + TOKENS_PER_MESSAGE
    n = request.n or 1
    state.admit(call, model, prompt=prompt_tokens, output=(limit or 0) * n)
    inputs = _inputs_of(request, call, limit)
    inputs.min_tokens = state.settings.answer_tokens
    completion = complete(inputs)
    answer = _ChatAnswer(
        call,
        state.new_id("chatcmpl-", 29),
        state.created(),
        model,
        completion,
        n,
        prompt_tokens,
        [state.new_id("call_") for _ in completion.calls],
    )
    if not request.stream:
        return json_reply(_whole(answer), output_tokens=completion.output_tokens)
    options = request.stream_options
    return stream_reply(_chunks(answer, usage=bool(options and options.include_usage)))


def usage_of(prompt_tokens: int, completion_tokens: int) -> Json:
    """Usage in the chat dialect."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _check(request: ChatRequest) -> None:
    if not request.messages:
        text = "Invalid 'messages': empty array. Expected an array with minimum length 1."
        raise VendorError(400, text, code="empty_array", param="messages")
    if request.stream_options is not None and not request.stream:
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise VendorError(400, text, param="stream_options")
    if request.n is not None and not 1 <= request.n <= 128:
        text = f"Invalid 'n': {request.n}. Expected a value from 1 to 128."
        raise VendorError(400, text, code="invalid_value", param="n")
    if request.tool_choice not in (None, "none", "auto") and not request.tools:
        text = "Invalid value for 'tool_choice': it is only allowed when 'tools' are specified."
        raise VendorError(400, text, param="tool_choice")


def _inputs_of(request: ChatRequest, call: ApiCall, limit: int | None) -> CompletionInput:
    messages = request.messages
    question = next((_text(each) for each in reversed(messages) if each.role == "user"), "")
    last = messages[-1]
    wanted = request.response_format
    schema = wanted.json_schema if wanted else None
    inner = schema.get("schema") if schema else None
    return CompletionInput(
        question=question,
        tool_result=_text(last) if last.role in ("tool", "function") else None,
        called=frozenset(
            call.function.name
            for message in messages
            for call in message.tool_calls or ()
            if call.function is not None
        ),
        tools=[
            FunctionTool(tool.function.name, tool.function.parameters or {"type": "object"})
            for tool in request.tools or ()
            if tool.function is not None
        ],
        choice=forced_tool(request.tool_choice),
        parallel=request.parallel_tool_calls is not False,
        schema=inner if isinstance(inner, dict) else None,
        json_mode=wanted is not None and wanted.type == "json_object",
        limit=limit,
        refuse=call.refuse,
    )


def _text(message: _Message) -> str:
    content = message.content
    if content is None or isinstance(content, str):
        return content or ""
    return " ".join(part.text for part in content if part.text)


def _message_tokens(message: _Message) -> int:
    content = message.content
    if content is None:
        return TOKENS_PER_MESSAGE
    if isinstance(content, str):
        return TOKENS_PER_MESSAGE + count_tokens(content)
    parts = (TOKENS_PER_IMAGE if each.text is None else count_tokens(each.text) for each in content)
    return TOKENS_PER_MESSAGE + sum(parts)


# --- whole ---------------------------------------------------------------------------------


def _whole(answer: _ChatAnswer) -> Json:
    value: Json = {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [_choice(answer, index) for index in range(answer.n)],
        "usage": answer.usage,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }
    if answer.call.azure:
        value["prompt_filter_results"] = _prompt_filter()
    return value


def _choice(answer: _ChatAnswer, index: int) -> Json:
    completion = answer.completion
    words = None if completion.calls else completion.text
    message: Json = {
        "role": "assistant",
        "content": None if completion.refused else words,
        "refusal": words if completion.refused else None,
        "annotations": [],
    }
    if completion.calls:
        message["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id_, (name, arguments) in zip(answer.call_ids, completion.calls, strict=True)
        ]
    choice: Json = {
        "index": index,
        "message": message,
        "logprobs": None,
        "finish_reason": answer.finish_reason,
    }
    if answer.call.azure:
        choice["content_filter_results"] = content_filter()
    return choice


def _prompt_filter() -> list[Json]:
    return [{"prompt_index": 0, "content_filter_results": content_filter()}]


# --- streamed ------------------------------------------------------------------------------


def _chunks(answer: _ChatAnswer, *, usage: bool) -> Iterator[bytes]:
    if answer.call.azure:
        yield sse(
            {
                "choices": [],
                "created": 0,
                "id": "",
                "model": "",
                "object": "",
                "prompt_filter_results": _prompt_filter(),
            }
        )
    for index in range(answer.n):
        opening: Json = {"role": "assistant", "content": "", "refusal": None}
        if answer.completion.calls:
            opening["content"] = None
        yield _chunk(answer, index, opening, usage=usage)
    for delta in _deltas(answer):
        for index in range(answer.n):
            yield _chunk(answer, index, delta, usage=usage)
    for index in range(answer.n):
        yield _chunk(answer, index, {}, usage=usage, finish_reason=answer.finish_reason)
    if usage:
        yield sse({**_envelope(answer), "choices": [], "usage": answer.usage})
    yield DONE


def _deltas(answer: _ChatAnswer) -> Iterator[Json]:
    completion = answer.completion
    key = "refusal" if completion.refused else "content"
    for token in completion.tokens:
        yield {key: token}
    for index, (name, arguments) in enumerate(completion.calls):
        function: Json = {"name": name, "arguments": ""}
        opening: Json = {"index": index, "id": answer.call_ids[index], "type": "function"}
        yield {"tool_calls": [{**opening, "function": function}]}
        for piece in tokens_of(arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _chunk(
    answer: _ChatAnswer, index: int, delta: Json, *, usage: bool, finish_reason: str | None = None
) -> bytes:
    choice: Json = {
        "index": index,
        "delta": delta,
        "logprobs": None,
        "finish_reason": finish_reason,
    }
    if answer.call.azure:
        choice["content_filter_results"] = {} if finish_reason else content_filter()
    value = {**_envelope(answer), "choices": [choice]}
    if usage:
        value["usage"] = None
    return sse(value)


def _envelope(answer: _ChatAnswer) -> Json:
    return {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }

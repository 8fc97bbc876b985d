"""Chat completions, and the text completions that came before them, whole and streamed."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llmproxy.tools.simulator.completion import (
    Completion,
    CompletionInput,
    Content,
    FormatParam,
    StreamOptions,
    ToolParam,
    complete,
    count_tokens,
    text_of,
    tokens_of,
)
from llmproxy.tools.simulator.errors import VendorError, content_filter
from llmproxy.tools.simulator.exchange import ApiCall, Json, Reply, json_reply, sse, stream_reply
from llmproxy.tools.simulator.state import VendorState, decoded

DONE = b"data: [DONE]\n\n"
TOKENS_PER_MESSAGE = 3
TOKENS_PER_IMAGE = 85
USUAL_MAX_TOKENS = 16  # OpenAI's default for text completions, which cuts most answers
SAME_FOR_ALL: Json = {"service_tier": "default", "system_fingerprint": "fp_simulated"}


class ChatMessage(msgspec.Struct):
    """One message of a conversation."""

    role: str
    content: Content = None
    tool_calls: list[ToolParam] | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """The fields that decide an answer; the others are accepted and ignored."""

    messages: list[ChatMessage]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[ToolParam] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    response_format: FormatParam | None = None


class TextRequest(msgspec.Struct):
    """A text completion. `prompt`: a text, texts, one list of token numbers or several."""

    prompt: str | list[str | int | list[int]]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None


class ChatAnswer(msgspec.Struct, frozen=True):
    """What the whole and the streamed form of an answer have in common."""

    azure: bool
    envelope: Json
    completion: Completion
    n: int
    usage: Json
    call_ids: list[str]

    @property
    def finish_reason(self) -> str:
        """Why the answer ends."""
        return "tool_calls" if self.completion.calls else _finish_reason(self.completion)


def chat_completion(call: ApiCall, state: VendorState) -> Reply:
    """Answer a chat completion. Raises VendorError."""
    request = decoded(ChatRequest, call)
    model = state.model(call, request.model)
    _check(request)
    limit = request.max_completion_tokens or request.max_tokens
    prompt_tokens = sum(map(_message_tokens, request.messages)) + TOKENS_PER_MESSAGE
    n = request.n or 1
    state.admit(call, model, prompt=prompt_tokens, output=(limit or 0) * n)
    messages = request.messages
    last = messages[-1]
    completion = complete(
        CompletionInput(
            question=next((text_of(m.content) for m in reversed(messages) if m.role == "user"), ""),
            tool_result=text_of(last.content) if last.role in ("tool", "function") else None,
            called=frozenset(
                called.function.name
                for message in messages
                for called in message.tool_calls or ()
                if called.function is not None
            ),
            tools=[tool for tool in request.tools or () if tool.function is not None],
            choice=request.tool_choice,
            parallel=request.parallel_tool_calls,
            format=request.response_format,
            limit=limit,
            min_tokens=state.settings.answer_tokens,
            refuse=call.refuse,
        )
    )
    envelope: Json = {
        "id": state.new_id("chatcmpl-", 29),
        "object": "chat.completion.chunk" if request.stream else "chat.completion",
        "created": state.created(),
        "model": model,
    }
    usage = _usage(prompt_tokens, completion.output_tokens * n)
    call_ids = [state.new_id("call_") for _ in completion.calls]
    answer = ChatAnswer(call.azure, envelope, completion, n, usage, call_ids)
    if request.stream:
        return stream_reply(_chunks(answer, usage=_wants_usage(request)))
    return json_reply(_whole(answer), output_tokens=completion.output_tokens)


def text_completion(call: ApiCall, state: VendorState) -> Reply:
    """Answer a text completion. Raises VendorError."""
    request = decoded(TextRequest, call)
    model = state.model(call, request.model)
    _check_stream_options(request)
    prompts = _prompts(request.prompt)
    n = request.n or 1
    limit = USUAL_MAX_TOKENS if request.max_tokens is None else request.max_tokens
    prompt_tokens = sum(map(count_tokens, prompts))
    state.admit(call, model, prompt=prompt_tokens, output=limit * n * len(prompts))
    least = state.settings.answer_tokens
    completions = [
        complete(CompletionInput(question=prompt, limit=limit, min_tokens=least))
        for prompt in prompts
        for _ in range(n)
    ]
    usage = _usage(prompt_tokens, sum(completion.output_tokens for completion in completions))
    envelope: Json = {
        "id": state.new_id("cmpl-", 29),
        "object": "text_completion",
        "created": state.created(),
        "model": model,
    }
    if request.stream:
        wanted = usage if _wants_usage(request) else None
        return stream_reply(_text_chunks(envelope, completions, wanted))
    choices = [
        _text_choice(index, completion.text, _finish_reason(completion))
        for index, completion in enumerate(completions)
    ]
    tokens = max(completion.output_tokens for completion in completions)
    return json_reply({**envelope, "choices": choices, "usage": usage}, output_tokens=tokens)


def _usage(prompt_tokens: int, completion_tokens: int) -> Json:
    details = ("reasoning", "audio", "accepted_prediction", "rejected_prediction")
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {f"{name}_tokens": 0 for name in details},
    }


def _wants_usage(request: ChatRequest | TextRequest) -> bool:
    return request.stream_options is not None and bool(request.stream_options.include_usage)


def _check_stream_options(request: ChatRequest | TextRequest) -> None:
    if request.stream_options is not None and not request.stream:
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise VendorError(400, text, param="stream_options")


def _check(request: ChatRequest) -> None:
    if not request.messages:
        text = "Invalid 'messages': empty array. Expected an array with minimum length 1."
        raise VendorError(400, text, code="empty_array", param="messages")
    _check_stream_options(request)
    if request.n is not None and not 1 <= request.n <= 128:
        text = f"Invalid 'n': {request.n}. Expected a value from 1 to 128."
        raise VendorError(400, text, code="invalid_value", param="n")
    if request.tool_choice not in (None, "none", "auto") and not request.tools:
        text = "Invalid value for 'tool_choice': it is only allowed when 'tools' are specified."
        raise VendorError(400, text, param="tool_choice")


def _message_tokens(message: ChatMessage) -> int:
    content = message.content or ""
    if isinstance(content, str):
        return TOKENS_PER_MESSAGE + count_tokens(content)
    texts = (part.text for part in content)
    parts = (TOKENS_PER_IMAGE if text is None else count_tokens(text) for text in texts)
    return TOKENS_PER_MESSAGE + sum(parts)


def _finish_reason(completion: Completion) -> str:
    return "length" if completion.cut else "stop"


# --- chat ----------------------------------------------------------------------------------


def _whole(answer: ChatAnswer) -> Json:
    choices = [_choice(answer, index) for index in range(answer.n)]
    value: Json = {**answer.envelope, "choices": choices, "usage": answer.usage, **SAME_FOR_ALL}
    return {**value, "prompt_filter_results": _prompt_filter()} if answer.azure else value


def _choice(answer: ChatAnswer, index: int) -> Json:
    completion = answer.completion
    text = None if completion.calls else completion.text
    content, refusal = (None, text) if completion.refused else (text, None)
    message: Json = {"role": "assistant", "content": content, "refusal": refusal, "annotations": []}
    if completion.calls:
        message["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id_, (name, arguments) in zip(answer.call_ids, completion.calls, strict=True)
        ]
    choice: Json = {"index": index, "message": message, "logprobs": None}
    choice["finish_reason"] = answer.finish_reason
    return {**choice, "content_filter_results": content_filter()} if answer.azure else choice


def _prompt_filter() -> list[Json]:
    return [{"prompt_index": 0, "content_filter_results": content_filter()}]


def _chunks(answer: ChatAnswer, *, usage: bool) -> Iterator[bytes]:
    if answer.azure:
        empty: Json = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
        yield sse({**empty, "prompt_filter_results": _prompt_filter()})
    content = None if answer.completion.calls else ""
    opening: Json = {"role": "assistant", "content": content, "refusal": None}
    for delta in (opening, *_deltas(answer)):
        for index in range(answer.n):
            yield _chunk(answer, index, delta, usage=usage)
    for index in range(answer.n):
        yield _chunk(answer, index, {}, usage=usage, finish_reason=answer.finish_reason)
    if usage:
        yield sse({**answer.envelope, **SAME_FOR_ALL, "choices": [], "usage": answer.usage})
    yield DONE


def _deltas(answer: ChatAnswer) -> Iterator[Json]:
    key = "refusal" if answer.completion.refused else "content"
    for token in answer.completion.tokens:
        yield {key: token}
    for index, (name, arguments) in enumerate(answer.completion.calls):
        function: Json = {"name": name, "arguments": ""}
        opening: Json = {"index": index, "id": answer.call_ids[index], "type": "function"}
        yield {"tool_calls": [{**opening, "function": function}]}
        for piece in tokens_of(arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _chunk(
    answer: ChatAnswer, index: int, delta: Json, *, usage: bool, finish_reason: str | None = None
) -> bytes:
    choice: Json = {"index": index, "delta": delta, "logprobs": None}
    choice["finish_reason"] = finish_reason
    if answer.azure:
        choice["content_filter_results"] = {} if finish_reason else content_filter()
    value = {**answer.envelope, **SAME_FOR_ALL, "choices": [choice]}
    return sse({**value, "usage": None} if usage else value)


# --- text completions ----------------------------------------------------------------------


def _prompts(given: str | list[str | int | list[int]]) -> list[str]:
    if isinstance(given, str):
        return [given]
    if not given:
        raise VendorError(400, "'prompt' is empty.", param="prompt")
    if any(isinstance(prompt, int) for prompt in given):
        return [" ".join(map(str, given))]
    return [
        " ".join(map(str, prompt)) if isinstance(prompt, list) else str(prompt) for prompt in given
    ]


def _text_choice(index: int, text: str, finish_reason: str | None) -> Json:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _text_chunks(
    envelope: Json, completions: list[Completion], usage: Json | None
) -> Iterator[bytes]:
    # If usage was asked for, every chunk but the last carries it as null.
    no_usage: Json = {} if usage is None else {"usage": None}
    for index, completion in enumerate(completions):
        for token in completion.tokens:
            yield sse({**envelope, "choices": [_text_choice(index, token, None)], **no_usage})
        last = _text_choice(index, "", _finish_reason(completion))
        yield sse({**envelope, "choices": [last], **no_usage})
    if usage is not None:
        yield sse({**envelope, "choices": [], "usage": usage})
    yield DONE

"""Chat completions, and the text completions that came before them, whole and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import msgspec

from llmproxy.tools.simulator.completion import (
    Completion,
    Content,
    FormatParam,
    StreamOptions,
    ToolParam,
    Turn,
    Wishes,
    complete,
    count_tokens,
    inputs_of,
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


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    """What chats and text completions share."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None

    def check(self) -> None:
        """Raise VendorError (400) for values that do not fit together."""
        if self.stream_options is not None and not self.stream:
            text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise VendorError(400, text, param="stream_options")
        if self.n is not None and not 1 <= self.n <= 128:
            text = f"Invalid 'n': {self.n}. Expected a value from 1 to 128."
            raise VendorError(400, text, code="invalid_value", param="n")


class ChatRequest(_Request, frozen=True, kw_only=True):
    """The fields that decide an answer; the others are accepted and ignored."""

    messages: list[ChatMessage]
    max_completion_tokens: int | None = None
    tools: list[ToolParam] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    response_format: FormatParam | None = None

    def check(self) -> None:
        """Raise VendorError (400) for values that do not fit together."""
        if not self.messages:
            text = "Invalid 'messages': empty array. Expected an array with minimum length 1."
            raise VendorError(400, text, code="empty_array", param="messages")
        super().check()
        if self.tool_choice not in (None, "none", "auto") and not self.tools:
            text = "Invalid value for 'tool_choice': it is only allowed when 'tools' are specified."
            raise VendorError(400, text, param="tool_choice")


class TextRequest(_Request, frozen=True, kw_only=True):
    """A text completion. `prompt`: a text, texts, one list of token numbers or several."""

    prompt: str | list[str | int | list[int]]


class ChatAnswer(msgspec.Struct, frozen=True):
    """One choice of an answer, whole or streamed; the other choices are the same."""

    azure: bool
    completion: Completion
    call_ids: list[str]

    @property
    def finish_reason(self) -> str:
        """Why the answer ends."""
        return "tool_calls" if self.completion.calls else _finish_reason(self.completion)


def chat_completion(call: ApiCall, state: VendorState) -> Reply:
    """Answer a chat completion. Raises VendorError."""
    request = decoded(ChatRequest, call)
    model = state.model(call, request.model)
    request.check()
    limit = request.max_completion_tokens or request.max_tokens
    prompt_tokens = sum(map(_message_tokens, request.messages)) + TOKENS_PER_MESSAGE
    n = request.n or 1
    state.admit(call, model, prompt=prompt_tokens, output=(limit or 0) * n)
    completion = complete(
        map(_turn, request.messages),
        Wishes(
            tools=[tool for tool in request.tools or () if tool.function is not None],
            choice=request.tool_choice,
            parallel=request.parallel_tool_calls,
            format=request.response_format,
            limit=limit,
            min_tokens=state.settings.answer_tokens,
            refuse=call.refuse,
        ),
    )
    head = _head(state, "chatcmpl-", model, "chat.completion" + ".chunk" * bool(request.stream))
    head |= SAME_FOR_ALL
    cached = state.cached_tokens(model, [request.tools, request.messages], prompt_tokens)
    usage = _usage(prompt_tokens, completion.output_tokens * n, cached)
    answer = ChatAnswer(call.azure, completion, [state.new_id("call_") for _ in completion.calls])
    if request.stream:
        chunks = _stream(request, head, _chunks(answer, n), usage)
        return stream_reply(chain([_first_of_azure()], chunks) if call.azure else chunks)
    whole = {**head, "choices": [_choice(answer, index) for index in range(n)], "usage": usage}
    if call.azure:
        whole["prompt_filter_results"] = _prompt_filter()
    return json_reply(whole, output_tokens=completion.output_tokens)


def text_completion(call: ApiCall, state: VendorState) -> Reply:
    """Answer a text completion. Raises VendorError."""
    request = decoded(TextRequest, call)
    model = state.model(call, request.model)
    request.check()
    prompts = [
        prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
        for prompt in inputs_of(request.prompt, "prompt")
    ]
    n = request.n or 1
    limit = USUAL_MAX_TOKENS if request.max_tokens is None else request.max_tokens
    prompt_tokens = sum(map(count_tokens, prompts))
    state.admit(call, model, prompt=prompt_tokens, output=limit * n * len(prompts))
    wishes = Wishes(limit=limit, min_tokens=state.settings.answer_tokens)
    completions = [complete([Turn("user", prompt)], wishes) for prompt in prompts for _ in range(n)]
    usage = _usage(prompt_tokens, sum(completion.output_tokens for completion in completions))
    head = _head(state, "cmpl-", model, "text_completion")
    if request.stream:
        return stream_reply(_stream(request, head, _text_chunks(completions), usage))
    choices = [
        _text_choice(index, completion.text, _finish_reason(completion))
        for index, completion in enumerate(completions)
    ]
    tokens = max(completion.output_tokens for completion in completions)
    return json_reply({**head, "choices": choices, "usage": usage}, output_tokens=tokens)


def _head(state: VendorState, prefix: str, model: str, kind: str) -> Json:
    id_ = state.new_id(prefix, 29)
    return {"id": id_, "object": kind, "created": state.created(), "model": model}


def _usage(prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> Json:
    details = ("reasoning", "audio", "accepted_prediction", "rejected_prediction")
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {f"{name}_tokens": 0 for name in details},
    }


def _stream(request: _Request, head: Json, choices: Iterator[Json], usage: Json) -> Iterator[bytes]:
    """Yield a chunk for each choice; if usage was asked for, all but the last carry it as null."""
    wanted = request.stream_options is not None and request.stream_options.include_usage
    no_usage: Json = {"usage": None} if wanted else {}
    for choice in choices:
        yield sse({**head, "choices": [choice], **no_usage})
    if wanted:
        yield sse({**head, "choices": [], "usage": usage})
    yield DONE


def _finish_reason(completion: Completion) -> str:
    return "length" if completion.cut else "stop"


# --- chat ----------------------------------------------------------------------------------


def _turn(message: ChatMessage) -> Turn:
    called = [tool.function.name for tool in message.tool_calls or () if tool.function is not None]
    role = "tool" if message.role == "function" else message.role
    return Turn(role, text_of(message.content), called)


def _message_tokens(message: ChatMessage) -> int:
    content = message.content or ""
    if isinstance(content, str):
        return TOKENS_PER_MESSAGE + count_tokens(content)
    texts = (part.text for part in content)
    parts = (TOKENS_PER_IMAGE if text is None else count_tokens(text) for text in texts)
    return TOKENS_PER_MESSAGE + sum(parts)


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


def _first_of_azure() -> bytes:
    empty: Json = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
    return sse({**empty, "prompt_filter_results": _prompt_filter()})


def _chunks(answer: ChatAnswer, n: int) -> Iterator[Json]:
    """Yield the choices of a stream, n of each."""
    content = None if answer.completion.calls else ""
    opening: Json = {"role": "assistant", "content": content, "refusal": None}
    for delta in (opening, *_deltas(answer), {}):
        reason = None if delta else answer.finish_reason
        for index in range(n):
            choice: Json = {"index": index, "delta": delta, "logprobs": None}
            choice["finish_reason"] = reason
            if answer.azure:
                choice["content_filter_results"] = {} if reason else content_filter()
            yield choice


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


# --- text completions ----------------------------------------------------------------------


def _text_choice(index: int, text: str, finish_reason: str | None) -> Json:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _text_chunks(completions: list[Completion]) -> Iterator[Json]:
    for index, completion in enumerate(completions):
        for token in completion.tokens:
            yield _text_choice(index, token, None)
        yield _text_choice(index, "", _finish_reason(completion))

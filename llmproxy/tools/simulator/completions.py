"""completions, the API before chat: a prompt in, text out."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llmproxy.tools.simulator.chat import DONE, usage_of
from llmproxy.tools.simulator.completion import Completion, CompletionInput, complete
from llmproxy.tools.simulator.errors import VendorError
from llmproxy.tools.simulator.exchange import ApiCall, Json, Reply, json_reply, sse, stream_reply
from llmproxy.tools.simulator.state import VendorState, decoded
from llmproxy.tools.simulator.text import count_tokens

USUAL_MAX_TOKENS = 16  # OpenAI's own default, which cuts most answers


class _TextStreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class CompletionsRequest(msgspec.Struct):
    """`prompt`: a text, texts, one list of token numbers or several."""

    prompt: str | list[str | int | list[int]]
    model: str | None = None
    stream: bool | None = None
    stream_options: _TextStreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None


_REQUEST = msgspec.json.Decoder(CompletionsRequest)


def text_completion(call: ApiCall, state: VendorState) -> Reply:
    """Answer one request. Raises VendorError."""
    request = decoded(_REQUEST, call)
    model = state.model(call, request.model)
    if request.stream_options is not None and not request.stream:
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise VendorError(400, text, param="stream_options")
    prompts = _prompts(request.prompt)
    n = request.n or 1
    limit = USUAL_MAX_TOKENS if request.max_tokens is None else request.max_tokens
    prompt_tokens = sum(map(count_tokens, prompts))
    state.admit(call, model, prompt=prompt_tokens, output=limit * n * len(prompts))
    least = state.settings.answer_tokens
    completion = [
        complete(CompletionInput(question=prompt, limit=limit, min_tokens=least))
        for prompt in prompts
        for _ in range(n)
    ]
    usage = usage_of(prompt_tokens, sum(each.output_tokens for each in completion))
    envelope: Json = {
        "id": state.new_id("cmpl-", 29),
        "object": "text_completion",
        "created": state.created(),
        "model": model,
    }
    if request.stream:
        wanted = request.stream_options is not None and request.stream_options.include_usage
        return stream_reply(_chunks(envelope, completion, usage if wanted else None))
    choices = [_choice(index, each.text, _reason(each)) for index, each in enumerate(completion)]
    tokens = max(each.output_tokens for each in completion)
    return json_reply({**envelope, "choices": choices, "usage": usage}, output_tokens=tokens)


def _prompts(given: str | list[str | int | list[int]]) -> list[str]:
    if isinstance(given, str):
        return [given]
    if any(isinstance(each, int) for each in given):
        return [" ".join(map(str, given))]
    if not given:
        raise VendorError(400, "'prompt' is empty.", param="prompt")
    return [each if isinstance(each, str) else " ".join(map(str, each)) for each in given]  # type: ignore[arg-type]


def _reason(completion: Completion) -> str:
    return "length" if completion.cut else "stop"


def _choice(index: int, text: str, finish_reason: str | None) -> Json:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _chunks(envelope: Json, completion: list[Completion], usage: Json | None) -> Iterator[bytes]:
    # Asked for usage, every chunk but the last carries it as null.
    unasked: Json = {} if usage is None else {"usage": None}
    for index, each in enumerate(completion):
        for token in each.tokens:
            yield sse({**envelope, "choices": [_choice(index, token, None)], **unasked})
        yield sse({**envelope, "choices": [_choice(index, "", _reason(each))], **unasked})
    if usage is not None:
        yield sse({**envelope, "choices": [], "usage": usage})
    yield DONE

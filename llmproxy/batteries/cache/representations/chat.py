"""chat/completions and the older completions: from chunks to an object, and back.

Sources: OpenAI's API reference, "The chat completion chunk object"; Azure's chunk of its prompt
filter, which has no choices (docs/project/upstreams.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from llmproxy.batteries.cache.representations.merging import (
    TEXTS,
    AmbiguousError,
    Value,
    deltas_of,
    merge,
    merge_lists,
    merged,
)
from llmproxy.batteries.cache.representations.recorded import DONE, data_of

# Values of `object`: of a whole chat, of its chunks, and of an older completion in both forms.
WHOLE_CHAT, CHAT_CHUNK, COMPLETION = "chat.completion", "chat.completion.chunk", "text_completion"
# Repeated in every chunk; the first value that is not empty counts (Azure's first chunk has none).
REPEATED = ("id", "object", "created", "model")
ENVELOPE = (*REPEATED, "service_tier", "system_fingerprint")
# In the order in which they are streamed.
STREAMED_TEXTS = ("reasoning_content", "reasoning", "content", "refusal")
DELTA_TOKENS = 16  # where each token has its log probability


# --- events to object --------------------------------------------------------------------------


def sse_to_json(events: bytes) -> bytes | None:
    """Return the object that a stream of chunks adds up to; None if that is not certain."""
    top: Value = {}
    choices: dict[int, Value] = {}
    ended = False
    try:
        for data in data_of(events):
            if ended:
                return None
            ended = data == DONE
            if not ended:
                _add_chunk(top, choices, msgspec.json.decode(data))
    except (ValueError, RecursionError):
        return None
    kind = top.get("object")
    finished = all(choice.get("finish_reason") for choice in choices.values())
    if not ended or not choices or not finished or kind not in (CHAT_CHUNK, COMPLETION):
        return None
    if kind == CHAT_CHUNK:
        top["object"] = WHOLE_CHAT
        for choice in choices.values():
            message = choice["message"]
            message.setdefault("role", "assistant")
            message.setdefault("content", None)
    top["choices"] = [merged(choices[index]) for index in sorted(choices)]
    return msgspec.json.encode(top)


def _add_chunk(top: Value, choices: dict[int, Value], chunk: Any) -> None:
    if not isinstance(chunk, dict) or chunk.get("error"):
        raise AmbiguousError("not a valid chunk")
    for key, value in chunk.items():
        if key in ("choices", "obfuscation"):
            continue
        if (key in REPEATED and top.get(key)) or (value is None and key in top):
            continue
        top[key] = value
    for delta in chunk.get("choices") or ():
        index = delta.get("index") if isinstance(delta, dict) else None
        if not isinstance(index, int):
            raise AmbiguousError("a choice without an index")
        _add_choice(choices.setdefault(index, {"index": index}), delta)


def _add_choice(choice: Value, delta: Value) -> None:
    for key, value in delta.items():
        if key == "delta":
            merge(choice.setdefault("message", {}), value or {}, TEXTS)
        elif key == "text":
            merge(choice, {key: value}, frozenset(("text",)))
        elif key == "logprobs" and value is not None:
            if not isinstance(choice.get(key), dict):
                choice[key] = {}
            merge_lists(choice[key], value)
        elif value in (None, {}):
            choice.setdefault(key, value)
        elif key != "index":
            choice[key] = value
    if "message" not in choice and "text" not in choice:
        raise AmbiguousError("a choice without a message")


# --- object to events --------------------------------------------------------------------------


def json_to_sse(body: bytes, *, include_usage: bool) -> bytes | None:
    """Return the chunks of an object; None for an object of unknown shape."""
    try:
        answer = msgspec.json.decode(body)
        return b"".join(_events(answer, include_usage=include_usage))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # an unknown shape


def _events(answer: Value, *, include_usage: bool) -> Iterator[bytes]:
    kind = answer["object"]
    if kind not in (WHOLE_CHAT, COMPLETION) or not answer["choices"]:
        raise ValueError("not a completion")
    envelope = {key: answer[key] for key in ENVELOPE if key in answer}
    envelope["object"] = CHAT_CHUNK if kind == WHOLE_CHAT else COMPLETION
    usage = include_usage and "usage" in answer
    more = {"usage": None} if usage else {}
    own = {
        key: value
        for key, value in answer.items()
        if key not in envelope and key not in ("choices", "usage")
    }
    deltas = _chat_deltas if kind == WHOLE_CHAT else _text_deltas
    for choice in answer["choices"]:
        for delta in deltas(choice):
            chunk = {**envelope, **own, "choices": [{"index": choice["index"], **delta}], **more}
            own = {}  # only in the first chunk
            yield _event(chunk)
    if usage and answer["usage"] is not None:
        yield _event({**envelope, "choices": [], "usage": answer["usage"]})
    yield b"data: " + DONE + b"\n\n"


def _event(chunk: Value) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _chat_deltas(choice: Value) -> Iterator[Value]:
    """Yield the chunks of one choice, without their index."""
    message: Value = choice["message"]
    logprobs = choice.get("logprobs")
    empty: Value = {"finish_reason": None} | ({"logprobs": None} if "logprobs" in choice else {})
    yield {"delta": _opening(message), **empty}
    for key in STREAMED_TEXTS:
        text = message.get(key)
        if text and key == "content" and logprobs and _can_be_cut_by_token(text, logprobs):
            for tokens in _groups(logprobs["content"]):
                text = "".join(token["token"] for token in tokens)
                yield {"delta": {key: text}, **empty, "logprobs": {**logprobs, "content": tokens}}
            logprobs = None
        elif text:
            for delta in deltas_of(text):
                yield {"delta": {key: delta}, **empty}
    for index, call in enumerate(message.get("tool_calls") or ()):
        for part in _tool_call_deltas(call):
            yield {"delta": {"tool_calls": [{"index": index, **part}]}, **empty}
    if message.get("function_call"):
        for part in _part_deltas("function_call", message["function_call"]):
            yield {"delta": part, **empty}
    yield {"delta": {}, **_ending(choice, logprobs)}


def _text_deltas(choice: Value) -> Iterator[Value]:
    """Yield the chunks of a choice of the older completions, without their index."""
    empty: Value = {"finish_reason": None} | ({"logprobs": None} if "logprobs" in choice else {})
    for delta in deltas_of(choice["text"]):
        yield {"text": delta, **empty}
    yield {"text": "", **_ending(choice, choice.get("logprobs"))}


def _ending(choice: Value, logprobs: Value | None) -> Value:
    """Return the last chunk of a choice. `logprobs`: those that were not in the chunks before."""
    if not choice["finish_reason"]:
        raise ValueError("an unfinished choice")
    ending = {
        key: value for key, value in choice.items() if key not in ("index", "message", "text")
    }
    if "logprobs" in ending:
        ending["logprobs"] = logprobs
    return ending


def _opening(message: Value) -> Value:
    """Return the first delta of a message: role, empty texts, and what is not cut into deltas."""
    opening: Value = {}
    for key, value in message.items():
        if key in STREAMED_TEXTS and value:
            if not isinstance(value, str):
                raise TypeError(key)
            if key == "content":
                opening[key] = ""
        elif not (value and key in ("tool_calls", "function_call")):
            opening[key] = value
    return opening


def _can_be_cut_by_token(text: str, logprobs: Value) -> bool:
    """Whether the log probabilities are those of exactly this text."""
    others = any(value for key, value in logprobs.items() if key != "content")
    tokens = logprobs.get("content") or ()
    return not others and "".join(token["token"] for token in tokens) == text


def _groups(tokens: list[Value]) -> list[list[Value]]:
    return [tokens[at : at + DELTA_TOKENS] for at in range(0, len(tokens), DELTA_TOKENS)]


def _tool_call_deltas(call: Value) -> Iterator[Value]:
    """Yield a tool call: its name first, then its arguments."""
    if "index" in call:
        raise ValueError("a tool call with an index of its own")
    name = next((key for key in ("function", "custom") if isinstance(call.get(key), dict)), None)
    if name is None:
        yield call
        return
    first, *rest = _part_deltas(name, call[name])
    yield {key: value for key, value in call.items() if key != name} | first
    yield from rest


def _part_deltas(name: str, part: Value) -> Iterator[Value]:
    """Yield a part of a tool call: everything else first, then its arguments or input."""
    key = "input" if name == "custom" else "arguments"
    text = part.get(key)
    if not isinstance(text, str) or not text:
        yield {name: part}
        return
    yield {name: {**part, key: ""}}
    for delta in deltas_of(text):
        yield {name: {key: delta}}

"""chat/completions, and the older completions: chunks sse_to_json into an object, and back.

Sources: OpenAI's API reference, "The chat completion chunk object"; Azure's chunk of its prompt
filter, which has no choices (docs/facts/upstreams.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from llmproxy.cache.representations.chunks import chunks_of
from llmproxy.cache.representations.merging import (
    TEXTS,
    UncertainError,
    Value,
    merge,
    merge_lists,
    settled,
)
from llmproxy.cache.representations.recorded_stream import DONE, data_of

# The object's kind, whole and in chunks.
WHOLE_CHAT, CHAT_CHUNK, COMPLETION = "chat.completion", "chat.completion.chunk", "text_completion"
# Of what every chunk repeats the first that says something counters (Azure's first says nothing).
REPEATED = ("id", "object", "created", "model")
ENVELOPE = (*REPEATED, "service_tier", "system_fingerprint")
# In the order in which they are told.
TOLD = ("reasoning_content", "reasoning", "content", "refusal")
PIECE_TOKENS = 16  # where each token comes with its probability


# --- events to object --------------------------------------------------------------------------


def sse_to_json(events: bytes) -> bytes | None:
    """The object that a stream of chunks tells; None if that is not certain."""
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
    top["choices"] = [settled(choices[index]) for index in sorted(choices)]
    return msgspec.json.encode(top)


def _add_chunk(top: Value, choices: dict[int, Value], chunk: Any) -> None:
    if not isinstance(chunk, dict) or chunk.get("error"):
        raise UncertainError("a chunk that is none")
    for key, value in chunk.items():
        if key in ("choices", "obfuscation"):
            continue
        if (key in REPEATED and top.get(key)) or (value is None and key in top):
            continue
        top[key] = value
    for piece in chunk.get("choices") or ():
        index = piece.get("index") if isinstance(piece, dict) else None
        if not isinstance(index, int):
            raise UncertainError("a choice without an index")
        _add_choice(choices.setdefault(index, {"index": index}), piece)


def _add_choice(choice: Value, piece: Value) -> None:
    for key, value in piece.items():
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
        raise UncertainError("a choice that says nothing")


# --- object to events --------------------------------------------------------------------------


def json_to_sse(body: bytes, *, include_usage: bool) -> bytes | None:
    """The stream that tells an object; None if it is no object that could be told so."""
    try:
        answer = msgspec.json.decode(body)
        return b"".join(_events(answer, include_usage=include_usage))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # of another shape than the one that is known


def _events(answer: Value, *, include_usage: bool) -> Iterator[bytes]:
    kind = answer["object"]
    if kind not in (WHOLE_CHAT, COMPLETION) or not answer["choices"]:
        raise ValueError("no completion")
    envelope = {key: answer[key] for key in ENVELOPE if key in answer}
    envelope["object"] = CHAT_CHUNK if kind == WHOLE_CHAT else COMPLETION
    usage = include_usage and "usage" in answer
    more = {"usage": None} if usage else {}
    own = {
        key: value
        for key, value in answer.items()
        if key not in envelope and key not in ("choices", "usage")
    }
    tell = _chat_pieces if kind == WHOLE_CHAT else _text_pieces
    for choice in answer["choices"]:
        for piece in tell(choice):
            told = {**envelope, **own, "choices": [{"index": choice["index"], **piece}], **more}
            own = {}  # the first chunk has told it
            yield _event(told)
    if usage and answer["usage"] is not None:
        yield _event({**envelope, "choices": [], "usage": answer["usage"]})
    yield b"data: " + DONE + b"\n\n"


def _event(chunk: Value) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _chat_pieces(choice: Value) -> Iterator[Value]:
    """What the chunks say of one choice."""
    message: Value = choice["message"]
    logprobs = choice.get("logprobs")
    empty: Value = {"finish_reason": None} | ({"logprobs": None} if "logprobs" in choice else {})
    yield {"delta": _opening(message), **empty}
    for key in TOLD:
        text = message.get(key)
        if text and key == "content" and logprobs and _by_token(text, logprobs):
            for tokens in _groups(logprobs["content"]):
                delta = {key: "".join(each["token"] for each in tokens)}
                yield {"delta": delta, **empty, "logprobs": {**logprobs, "content": tokens}}
            logprobs = None
        elif text:
            for piece in chunks_of(text):
                yield {"delta": {key: piece}, **empty}
    for index, call in enumerate(message.get("tool_calls") or ()):
        for part in _call_pieces(call):
            yield {"delta": {"tool_calls": [{"index": index, **part}]}, **empty}
    if message.get("function_call"):
        for part in _part_pieces("function_call", message["function_call"]):
            yield {"delta": part, **empty}
    yield {"delta": {}, **_ending(choice, logprobs)}


def _text_pieces(choice: Value) -> Iterator[Value]:
    """The same of a choice of the older completions."""
    empty: Value = {"finish_reason": None} | ({"logprobs": None} if "logprobs" in choice else {})
    for piece in chunks_of(choice["text"]):
        yield {"text": piece, **empty}
    yield {"text": "", **_ending(choice, choice.get("logprobs"))}


def _ending(choice: Value, logprobs: Value | None) -> Value:
    """Everything of a choice that its last chunk tells: `logprobs`, if they were not told yet."""
    if not choice["finish_reason"]:
        raise ValueError("a choice that did not end")
    ending = {
        key: value for key, value in choice.items() if key not in ("index", "message", "text")
    }
    if "logprobs" in ending:
        ending["logprobs"] = logprobs
    return ending


def _opening(message: Value) -> Value:
    """The role, empty texts, and what is not told in pieces."""
    opening: Value = {}
    for key, value in message.items():
        if key in TOLD and value:
            if not isinstance(value, str):
                raise TypeError(key)
            if key == "content":
                opening[key] = ""
        elif not (value and key in ("tool_calls", "function_call")):
            opening[key] = value
    return opening


def _by_token(text: str, logprobs: Value) -> bool:
    """Whether the probabilities tell where the text can be chunks_of."""
    others = any(value for key, value in logprobs.items() if key != "content")
    tokens = logprobs.get("content") or ()
    return not others and "".join(each["token"] for each in tokens) == text


def _groups(tokens: list[Value]) -> list[list[Value]]:
    return [tokens[at : at + PIECE_TOKENS] for at in range(0, len(tokens), PIECE_TOKENS)]


def _call_pieces(call: Value) -> Iterator[Value]:
    """A call of a tool: who is called, then with what."""
    if "index" in call:
        raise ValueError("a call that has an index of its own")
    name = next((key for key in ("function", "custom") if isinstance(call.get(key), dict)), None)
    if name is None:
        yield call
        return
    first, *rest = _part_pieces(name, call[name])
    yield {key: value for key, value in call.items() if key != name} | first
    yield from rest


def _part_pieces(name: str, part: Value) -> Iterator[Value]:
    """A part whose arguments (or input) come after all the rest of it."""
    key = "input" if name == "custom" else "arguments"
    text = part.get(key)
    if not isinstance(text, str) or not text:
        yield {name: part}
        return
    yield {name: {**part, key: ""}}
    for piece in chunks_of(text):
        yield {name: {key: piece}}

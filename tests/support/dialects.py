"""What clients and endpoints of chat and of messages say in the stories of translation."""

import json

from tests.support.vendor import LAST_CHUNK, always, chunk, event, sse_head

MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]
MESSAGE = {"model": "gpt-4.1", "max_tokens": 50, "messages": HI}
ASKED = {"model": "gpt-4.1", "messages": HI}

ANTHROPICS = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-8",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 2},
}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def at(vendor, provider, **entry):
    params = {"base_url": vendor.base_url, "api_key": "sk-ours"}
    return {"provider": provider, "params": params, **entry}


def stream(*events, end=LAST_CHUNK):
    return always(sse_head(), *map(chunk, events), end)


def usage_chunk():
    payload = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return event({**payload, "choices": [], "usage": USAGE})


def called(index, call_id, name, *pieces):
    head = {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
    deltas = [{"index": index, **head}]
    deltas += [{"index": index, "function": {"arguments": piece}} for piece in pieces]
    for one in deltas:
        inside = {"index": 0, "delta": {"tool_calls": [one]}, "finish_reason": None}
        yield event({"id": "chatcmpl-1", "created": 1, "model": "m", "choices": [inside]})


def named(kind, **payload):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **payload})}\n\n".encode()


ANTHROPICS_STREAM = (
    named("message_start", message={**ANTHROPICS, "content": [], "stop_reason": None}),
    named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    named("ping"),
    named("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"}),
    named("content_block_delta", index=0, delta={"type": "text_delta", "text": "lo"}),
    named("content_block_stop", index=0),
    named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
    named("message_stop"),
)

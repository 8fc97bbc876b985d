"""An endpoint that speaks Anthropic's messages alone, and plays a tool loop as Anthropic does.

It checks what Anthropic checks: turns alternate, each tool call gets its result in the next turn,
and thinking comes back unchanged, with its signature, before the calls that it led to.
"""

import json
from dataclasses import dataclass, field

from tests.support.vendor import LAST_CHUNK, chunk, http, sse_head

USAGE = {"input_tokens": 9, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 0}


def thinking(text, signature):
    return {"type": "thinking", "thinking": text, "signature": signature}


def text(words):
    return {"type": "text", "text": words}


def tool_use(call_id, name, arguments):
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


class Refused(Exception):
    """The request is not one that Anthropic takes."""


@dataclass
class ToolLoop:
    """The endpoint's side. `turns`: the blocks of each of its turns, in order.

    `asked`: the requests so far; `refusals`: why some were refused.
    """

    turns: list[list[dict]]
    asked: list[dict] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def __call__(self, received, number):
        """Answer one request (see tests.support.vendor.scripted)."""
        if not received.line.startswith("POST /v1/messages"):
            return [http(_error("not_found_error", received.line), status=404)]
        body = json.loads(received.body)
        self.asked.append(body)
        try:
            said = self._check(body["messages"], bool(body.get("thinking")))
        except Refused as refusal:
            self.refusals.append(str(refusal))
            return [http(_error("invalid_request_error", str(refusal)), status=400)]
        blocks = self.turns[min(said, len(self.turns) - 1)]
        if body.get("stream"):
            return [sse_head(), *map(chunk, events_of(blocks)), LAST_CHUNK]
        return [http(message_of(blocks))]

    def results(self, number):
        """Return what the tools of a turn gave, as the request after it has them."""
        blocks = self.asked[number]["messages"][-1]["content"]
        return [words_of(block) for block in blocks if block["type"] == "tool_result"]

    def _check(self, messages, thinks):
        """Return how often the assistant has spoken. Raises Refused."""
        said, due = 0, set()
        for number, message in enumerate(messages):
            role = "assistant" if number % 2 else "user"
            if message["role"] != role:
                raise Refused(f"messages.{number}: roles must alternate")
            blocks = message["content"]
            blocks = [text(blocks)] if isinstance(blocks, str) else blocks
            if role == "user":
                given = {b["tool_use_id"] for b in blocks if b["type"] == "tool_result"}
                if given != due:
                    raise Refused(f"messages.{number}: results of {due} expected, not {given}")
                continue
            due = {block["id"] for block in blocks if block["type"] == "tool_use"}
            if blocks != [b for b in self.turns[said] if thinks or b["type"] != "thinking"]:
                raise Refused(f"messages.{number}: thinking blocks cannot be modified: {blocks}")
            said += 1
        return said


def words_of(result):
    content = result.get("content", "")
    if isinstance(content, str):
        return content
    return "".join(block["text"] for block in content if block["type"] == "text")


def message_of(blocks):
    """A whole answer."""
    return {**_message(blocks), "usage": {**USAGE, "output_tokens": 7}}


def events_of(blocks):
    """The stream of an answer, each text in two pieces."""
    begun = {**_message([]), "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    yield _event("message_start", message=begun)
    yield _event("ping")
    for index, block in enumerate(blocks):
        yield from _events_of_block(index, block)
    reason = _message(blocks)["stop_reason"]
    ending = {"stop_reason": reason, "stop_sequence": None}
    yield _event("message_delta", delta=ending, usage={"output_tokens": 7})
    yield _event("message_stop")


def _events_of_block(index, block):
    match block["type"]:
        case "text":
            begun, kind, member = {"text": ""}, "text_delta", "text"
            whole = block["text"]
        case "thinking":
            begun, kind, member = {"thinking": "", "signature": ""}, "thinking_delta", "thinking"
            whole = block["thinking"]
        case "tool_use":
            begun, kind, member = {**block, "input": {}}, "input_json_delta", "partial_json"
            whole = json.dumps(block["input"])
    yield _event("content_block_start", index=index, content_block={"type": block["type"], **begun})
    half = len(whole) // 2
    for piece in (whole[:half], whole[half:]):
        yield _event("content_block_delta", index=index, delta={"type": kind, member: piece})
    if signature := block.get("signature"):
        delta = {"type": "signature_delta", "signature": signature}
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _message(blocks):
    calls = any(block["type"] == "tool_use" for block in blocks)
    message = {"id": "msg_01", "type": "message", "role": "assistant", "model": "claude"}
    ending = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
    return {**message, "content": blocks, **ending}


def _event(kind, **members):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def _error(kind, message):
    return {"type": "error", "error": {"type": kind, "message": message}}

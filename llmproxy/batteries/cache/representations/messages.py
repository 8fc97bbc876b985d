"""Anthropic's messages: from events to a message, and back.

Source: Anthropic's API reference, "Streaming messages".
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llmproxy.batteries.cache.representations.merging import AmbiguousError, Value, deltas_of
from llmproxy.batteries.cache.representations.recorded import data_of

Events = Iterator[tuple[str, Value]]  # type and fields of each event
# The delta of a block: the type of the delta, and its field, which is that of the block.
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
_EMPTY_TEXTS = {"text": "text", "thinking": "thinking"}  # of a block, by its type
_WITH_INPUT = frozenset(("tool_use", "server_tool_use", "mcp_tool_use"))


# --- events to message -------------------------------------------------------------------------


def sse_to_json(events: bytes) -> bytes | None:
    """Return the message that a stream adds up to; None if that is not certain."""
    building = _Message()
    try:
        for data in data_of(events):
            building.add(msgspec.json.decode(data))
        return msgspec.json.encode(building.whole())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


class _Message:
    """A message under construction. Its methods raise an error for a stream of unknown shape."""

    __slots__ = ("_blocks", "_ended", "_inputs", "_message", "_texts")

    def __init__(self) -> None:
        self._message: Value = {}
        self._blocks: list[Value] = []
        self._texts: dict[tuple[int, str], list[str]] = {}
        self._inputs: dict[int, list[str]] = {}
        self._ended = False

    def add(self, event: Value) -> None:
        """Add an event."""
        kind = event["type"]
        if kind == "ping":
            return
        if self._ended:
            raise AmbiguousError("an event after the last one")
        if kind == "message_start":
            if self._message or event["message"]["content"]:
                raise AmbiguousError("a message that does not begin empty")
            self._message = event["message"]
        elif kind == "content_block_start":
            if event["index"] != len(self._blocks):
                raise AmbiguousError("blocks out of order")
            self._blocks.append(event["content_block"])
        elif kind == "content_block_delta":
            self._add_delta(event["index"], event["delta"])
        elif kind == "message_delta":
            self._message.update(event["delta"])
            counted = {name: count for name, count in event["usage"].items() if count is not None}
            self._message["usage"].update(counted)
        elif kind == "message_stop":
            self._ended = True
        elif kind != "content_block_stop":
            raise AmbiguousError(kind)

    def _add_delta(self, index: int, delta: Value) -> None:
        block, kind = self._blocks[index], delta["type"]
        if kind in _TEXTS:
            name = _TEXTS[kind]
            text = self._texts.setdefault((index, name), [block.get(name, "")])
            text.append(delta[name])
        elif kind == "input_json_delta":
            self._inputs.setdefault(index, []).append(delta["partial_json"])
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        else:
            raise AmbiguousError(kind)

    def whole(self) -> Value:
        """Return the message, once it has ended."""
        if not self._ended or not self._message["stop_reason"]:
            raise AmbiguousError("an unfinished message")
        for (index, name), text in self._texts.items():
            self._blocks[index][name] = "".join(text)
        for index, pieces in self._inputs.items():
            if joined := "".join(pieces):
                self._blocks[index]["input"] = msgspec.json.decode(joined)
        return {**self._message, "content": self._blocks}


# --- message to events -------------------------------------------------------------------------


def json_to_sse(body: bytes) -> bytes | None:
    """Return the events of a complete message; None for anything else."""
    try:
        message = msgspec.json.decode(body)
        if message["type"] != "message" or not message["stop_reason"]:
            return None
        return b"".join(map(_event, *zip(*_events_of(message), strict=True)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # an unknown shape


def _event(kind: str, fields: Value) -> bytes:
    data = msgspec.json.encode({"type": kind, **fields})
    return b"event: %b\ndata: %b\n\n" % (kind.encode("ascii"), data)


def _events_of(message: Value) -> Events:
    usage = message["usage"]
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": message.get("stop_sequence")}
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    yield "message_start", {"message": {**begun, "usage": {**usage, "output_tokens": 0}}}
    for index, block in enumerate(message["content"]):
        begun, deltas = _block(block)
        yield "content_block_start", {"index": index, "content_block": begun}
        for delta in deltas:
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    yield "message_delta", {"delta": ending, "usage": {"output_tokens": usage["output_tokens"]}}
    yield "message_stop", {}


def _block(block: Value) -> tuple[Value, list[Value]]:
    """Return a block as it begins, and the deltas that complete it."""
    kind = block["type"]
    if kind in _WITH_INPUT and block["input"] != {}:
        pieces = deltas_of(msgspec.json.encode(block["input"]).decode())
        deltas: list[Value] = [{"type": "input_json_delta", "partial_json": p} for p in pieces]
        return {**block, "input": {}}, deltas
    if kind not in _EMPTY_TEXTS:
        return block, []
    name, begun = _EMPTY_TEXTS[kind], dict(block)
    deltas = [{"type": f"{name}_delta", name: piece} for piece in deltas_of(block[name])]
    begun[name] = ""
    if block.get("citations"):
        begun["citations"] = []
        deltas += [{"type": "citations_delta", "citation": one} for one in block["citations"]]
    if kind == "thinking" and block.get("signature"):
        begun["signature"] = ""
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    return begun, deltas

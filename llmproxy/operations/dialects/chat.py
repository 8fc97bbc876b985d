"""Chat completions and the older completions: data lines, ended by `[DONE]`.

Source: OpenAI's API reference, "The chat completion chunk object"; Azure's prompt filter, a chunk
without choices (docs/project/upstreams.md).
"""

from __future__ import annotations

import re

import msgspec

from llmproxy.errors import StreamBroken
from llmproxy.operations import sse
from llmproxy.operations.dialects.base import (
    ABSENT,
    CONTENT,
    ERROR,
    PREAMBLE,
    UNREADABLE,
    Dialect,
    EventKind,
    is_truthy,
    kind_of_unreadable,
)

_FINISH_REASON = re.compile(rb'"finish_reason"\s*:\s*"')


class _Chunk(msgspec.Struct, gc=False):
    """The fields that decide what a chunk is, still as JSON: a strange value in one of them must
    not hide an error in another."""

    error: msgspec.Raw = ABSENT
    object: msgspec.Raw = ABSENT
    choices: msgspec.Raw = ABSENT


class _ChunkChoice(msgspec.Struct, gc=False):
    delta: dict[str, msgspec.Raw] | None = None
    text: msgspec.Raw = ABSENT  # the older completions
    finish_reason: msgspec.Raw = ABSENT
    logprobs: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_NO_CHOICES = frozenset((b"[]", b"null"))
_chunk = msgspec.json.Decoder(_Chunk)
_choices = msgspec.json.Decoder(list[_ChunkChoice])


class _Chat(Dialect):
    """The dialect of chat/completions and completions."""

    __slots__ = ()

    name = "chat"

    def _kind_of(self, name: bytes, data: bytes) -> EventKind:
        try:
            chunk = _chunk.decode(data)
        except UNREADABLE:
            return kind_of_unreadable(data)
        if is_truthy(chunk.error) or bytes(chunk.object) == b'"error"':  # the latter: vLLM
            return ERROR
        if bytes(chunk.choices) in _NO_CHOICES:  # Azure's prompt filter, the usage chunk
            return PREAMBLE
        try:
            choices = _choices.decode(chunk.choices)
        except UNREADABLE:
            return CONTENT
        if any(is_truthy(choice.error) for choice in choices):  # OpenRouter
            return ERROR
        if all(map(_says_nothing_yet, choices)):
            return PREAMBLE
        return CONTENT

    def is_complete(self, tail: bytes) -> bool:
        """Whether the stream reports its end.

        Some compatible vendors forget `[DONE]`; after a finish reason nothing is missing.
        """
        return super().is_complete(tail) or _FINISH_REASON.search(tail) is not None

    def interruption(
        self, message: str, code: str = StreamBroken.code, *, beginning: bytes = b""
    ) -> bytes:
        """Return an error event. OpenAI's clients raise on it."""
        error = {"message": message, "type": "server_error", "param": None, "code": code}
        return sse.event_of(None, {"error": error})


def _says_nothing_yet(choice: _ChunkChoice) -> bool:
    if is_truthy(choice.finish_reason) or is_truthy(choice.logprobs) or is_truthy(choice.text):
        return False
    if choice.delta is None:
        return choice.text is not ABSENT
    return all(name == "role" or not is_truthy(value) for name, value in choice.delta.items())


CHAT = _Chat()

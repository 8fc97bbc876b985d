"""The two representations of an answer: a JSON object, and the event stream with the same content.

A call that asks for one of them can be served from the other. Pure functions, bytes in and bytes
out. Nothing is guessed: where a conversion is not certain, the result is None, and an endpoint is
asked. The law, which is a test: sse_to_json(json_to_sse(x)) == x.
"""

from __future__ import annotations

from llmproxy.batteries.cache.representations import chat, messages, responses
from llmproxy.batteries.cache.representations.recorded import (
    is_complete,
    stream_is_complete,
    without_usage,
)
from llmproxy.operations import CHAT, MESSAGES, operation_at

__all__ = ["is_complete", "json_to_sse", "sse_to_json", "stream_is_complete", "without_usage"]


def sse_to_json(events: bytes, operation: str) -> bytes | None:
    """Return the object that a call without `stream` would have got; None if that is not certain.

    The stream must be complete.
    """
    dialect = operation_at(operation).dialect
    if dialect is CHAT:
        return chat.sse_to_json(events)
    if dialect is MESSAGES:
        return messages.sse_to_json(events)
    return responses.sse_to_json(events) if operation == "responses" else None


def json_to_sse(body: bytes, operation: str, *, include_usage: bool) -> bytes | None:
    """Return the stream that the vendor would have sent; None for an object of unknown shape.

    `include_usage`: as in `stream_options`; the streams of responses and of messages always include
    their usage.
    """
    dialect = operation_at(operation).dialect
    if dialect is CHAT:
        return chat.json_to_sse(body, include_usage=include_usage)
    if dialect is MESSAGES:
        return messages.json_to_sse(body)
    return responses.json_to_sse(body) if operation == "responses" else None

"""The two forms of an answer: a JSON object, and the stream of events that tells the same.

For whoever asked for the one while the other is known. Pure, bytes in and bytes out. Nothing is
guessed: what cannot be put into the other form with certainty has none (None), and is asked for
again. The law: an object that is json_to_sse and sse_to_json again is the same object.
"""

from __future__ import annotations

from llmproxy.cache.representations import chat, responses
from llmproxy.cache.representations.completeness import is_complete, stream_is_complete
from llmproxy.cache.representations.recorded_stream import without_usage
from llmproxy.operations import CHAT, operation_at

__all__ = ["is_complete", "json_to_sse", "sse_to_json", "stream_is_complete", "without_usage"]


def sse_to_json(events: bytes, operation: str) -> bytes | None:
    """The object that a whole recorded stream tells, as a unary call would have got it.

    None if the stream is not whole, or says something of which it is not certain what it adds up
    to.
    """
    if operation_at(operation).dialect is CHAT:
        return chat.sse_to_json(events)
    return responses.sse_to_json(events) if operation == "responses" else None


def json_to_sse(body: bytes, operation: str, *, include_usage: bool) -> bytes | None:
    """The stream in which the vendor would have told an object.

    `include_usage`: a chat's stream tells its usage (`stream_options`); a response's always does.
    None if the object is not of the shape that is known.
    """
    if operation_at(operation).dialect is CHAT:
        return chat.json_to_sse(body, include_usage=include_usage)
    return responses.json_to_sse(body) if operation == "responses" else None

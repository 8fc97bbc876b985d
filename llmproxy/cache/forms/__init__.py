"""The two forms of an answer: a JSON object, and the stream of events that tells the same.

For whoever asked for the one while the other is known. Pure, bytes in and bytes out. Nothing is
guessed: what cannot be put into the other form with certainty has none (None), and is asked for
again. The law: an object that is framed and folded again is the same object.
"""

from __future__ import annotations

from llmproxy.cache.forms import chat, responses
from llmproxy.cache.forms.recorded import without_usage
from llmproxy.cache.forms.whole import CHATS, is_whole, stream_is_whole

__all__ = ["as_events", "as_json", "is_whole", "stream_is_whole", "without_usage"]


def as_json(events: bytes, operation: str) -> bytes | None:
    """The object that a whole recorded stream tells, as a unary call would have got it.

    None if the stream is not whole, or says something of which it is not certain what it adds up
    to.
    """
    if operation in CHATS:
        return chat.folded(events)
    return responses.folded(events) if operation == "responses" else None


def as_events(body: bytes, operation: str, *, include_usage: bool) -> bytes | None:
    """The stream in which the vendor would have told an object.

    `include_usage`: a chat's stream tells its usage (`stream_options`); a response's always does.
    None if the object is not of the shape that is known.
    """
    if operation in CHATS:
        return chat.framed(body, include_usage=include_usage)
    return responses.framed(body) if operation == "responses" else None

"""An error's JSON body as the event of a stream, as each dialect's clients read it."""

from __future__ import annotations

import msgspec

from llmproxy.operations import MESSAGES, RESPONSES, Dialect, sse
from llmproxy.operations.dialects.base import ABSENT, is_truthy, members


def error_event(dialect: Dialect, body: bytes) -> bytes | None:
    """Return the JSON body of an error as an event; None if it holds no error."""
    error = members(msgspec.Raw(body))
    if not is_truthy(error.get("error", ABSENT)):
        return None
    if dialect is MESSAGES:
        return sse.event_of("error", {"type": "error", **error})
    if dialect is RESPONSES:  # its fields stand both at the top and in a top-level `error`
        own = {
            name: value
            for name, value in members(error["error"]).items()
            if name in ("code", "message", "param")
        }
        return sse.event_of("error", {**own, "type": "error", "error": error["error"]})
    return sse.event_of(None, error)

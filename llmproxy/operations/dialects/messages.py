"""Anthropic's messages: typed events, ended by `message_stop`; errors and limits in their own form.

Source: Anthropic's API reference, "Streaming messages", "Errors" and "Rate limits".
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from llmproxy.errors import GatewayError, StreamBroken
from llmproxy.operations import sse
from llmproxy.operations.dialects.base import (
    ABSENT,
    UNREADABLE,
    Dialect,
    EventKind,
    is_truthy,
    kind_of_unreadable,
    members,
    text_of,
)

_KINDS = {
    "message_start": EventKind.PREAMBLE,
    "ping": EventKind.PREAMBLE,
    "message_stop": EventKind.END,
    "error": EventKind.ERROR,
}
_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
    504: "timeout_error",
}


class _MessageEvent(msgspec.Struct, gc=False):
    type: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    content_block: msgspec.Raw = ABSENT


_message_event = msgspec.json.Decoder(_MessageEvent)


class _Messages(Dialect):
    """The dialect of messages."""

    __slots__ = ()

    name = "messages"
    heartbeat = b'event: ping\ndata: {"type": "ping"}\n\n'

    limit_header = "anthropic-ratelimit-{kind}-{part}"
    limit_reset_is_moment = True
    id_headers = (b"x-request-id", b"request-id")

    def _kind_of(self, name: bytes, data: bytes) -> EventKind:
        try:
            event = _message_event.decode(data)
        except UNREADABLE:
            return kind_of_unreadable(data)
        if is_truthy(event.error):
            return EventKind.ERROR
        kind = text_of(event.type) or name.decode("latin-1")
        if kind == "content_block_start" and _is_empty_block(event.content_block):
            return EventKind.PREAMBLE
        return _KINDS.get(kind, EventKind.CONTENT)

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """Render an error of ours in Anthropic's shape, which has a type and no code."""
        usual = "invalid_request_error" if error.status < 500 else "api_error"
        described = {"type": _ERROR_TYPES.get(error.status, usual), "message": error.message}
        payload: dict[str, object] = {"type": "error", "error": described}
        if request_id:
            payload["request_id"] = request_id
        return msgspec.json.encode(payload)

    def interruption(
        self, message: str, code: str = StreamBroken.code, *, beginning: bytes = b""
    ) -> bytes:
        """Return an error event. Anthropic's clients raise on it."""
        kind = "overloaded_error" if "overloaded" in code else "api_error"
        return sse.event_of("error", {"type": "error", "error": {"type": kind, "message": message}})

    def model(self, name: str, created: int) -> dict[str, object]:
        """Describe a model group in Anthropic's shape."""
        moment = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        described = {"type": "model", "id": name, "display_name": name, "created_at": moment}
        return {**described, "lifecycle": "active"}

    def model_list(self, names: list[str], created: int) -> dict[str, object]:
        """List model groups, all on one page."""
        listed = [self.model(name, created) for name in names]
        return {"data": listed, "has_more": False, "first_id": names[0], "last_id": names[-1]}


def _is_empty_block(raw: msgspec.Raw) -> bool:
    """Whether a text or thinking block only begins; a tool's name would already be content."""
    block = members(raw)
    kind = text_of(block.pop("type", ABSENT))
    return kind in ("text", "thinking") and not any(map(is_truthy, block.values()))


MESSAGES = _Messages()

"""Everything else: audio, images, embeddings, and what is still to come."""

from __future__ import annotations

import msgspec

from llmproxy.errors import StreamBroken
from llmproxy.operations.dialects.base import ABSENT, UNREADABLE, Dialect, EventKind, is_truthy


class _OpaqueEvent(msgspec.Struct, gc=False):
    error: msgspec.Raw = ABSENT


_opaque_event = msgspec.json.Decoder(_OpaqueEvent)


class _Opaque(Dialect):
    """A dialect of which only errors are known."""

    __slots__ = ()

    name = "opaque"
    heartbeat = None

    _empty = EventKind.CONTENT
    _done = EventKind.CONTENT

    def _kind_of(self, name: bytes, data: bytes) -> EventKind:
        try:
            event = _opaque_event.decode(data)
        except UNREADABLE:
            return EventKind.CONTENT
        return EventKind.ERROR if is_truthy(event.error) else EventKind.CONTENT

    def is_complete(self, tail: bytes) -> bool:
        """Always true: no event of these streams is known to be the last."""
        return True

    def interruption(
        self, message: str, code: str = StreamBroken.code, *, beginning: bytes = b""
    ) -> bytes:
        """Return nothing."""
        return b""


OPAQUE = _Opaque()

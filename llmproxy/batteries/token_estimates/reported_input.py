"""The input tokens that some streams report at their beginning, and so also if they break off."""

from __future__ import annotations

import msgspec

from llmproxy.operations.sse import EVENT_END, fields
from llmproxy.operations.usage import Counts


class _StartedMessage(msgspec.Struct, gc=False):
    usage: Counts | None = None


class _MessageStart(msgspec.Struct, gc=False):
    message: _StartedMessage | None = None


_start = msgspec.json.Decoder(_MessageStart)


def counts_at_start(beginning: bytes) -> Counts | None:
    """Return the usage that Anthropic's streams begin with: that of the input."""
    if b'"message_start"' not in beginning:
        return None
    for event in EVENT_END.split(beginning):
        if b'"message_start"' in event:
            try:
                message = _start.decode(fields(event)[1]).message
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None
            return None if message is None else message.usage
    return None

"""The tokens of a stream as its endpoint counted them, read from a copy of the stream's end.

What is absent or malformed is None. Nothing here raises.
"""

from __future__ import annotations

import re

import msgspec
from msgspec.structs import replace

from llmproxy.operations import Usage
from llmproxy.operations.dialects.base import UNREADABLE
from llmproxy.operations.usage import Counts

MAX_CANDIDATES = 16  # `"usage"` keys to look at in a stream's tail

_counts = msgspec.json.Decoder(Counts)
_KEY = b'"usage"'
_TIER = re.compile(rb'"service_tier"\s*:\s*("\w+")')
_BACKSLASH = 0x5C  # before a key, it makes the quotation mark part of a text
# A usage object. It may hold objects (details), which may hold objects, and texts without braces.
_OBJECT = re.compile(rb"\s*:\s*(\{(?:[^{}]++|\{(?:[^{}]++|\{[^{}]*+\})*+\})*+\})")


def usage_of_stream(tail: bytes, beginning: bytes = b"") -> Usage | None:
    """Return the usage in the last bytes of an event stream (16 KiB are plenty).

    Reads chat's usage chunk, the terminal events of Responses, and Anthropic's message_delta (what
    that does not say is in message_start, in the tail or in `beginning`, the first bytes of the
    stream). The tail may begin in the middle of an event. None if the usage is not in it.
    """
    usage = _usage_in(tail)
    if usage is None and not tail.startswith(beginning):
        usage = _usage_in(beginning + tail)
    started = beginning or tail
    return usage and (_as_started(usage, started) if b'"message_start"' in started else usage)


def _as_started(usage: Usage, beginning: bytes) -> Usage:
    """Return a usage with what Anthropic tells in the first event only."""
    at = beginning.find(_KEY)
    counts = _counts_at(beginning, at) if at >= 0 else None
    if counts is None:
        return usage
    told = counts.with_details(0, 0)
    hour = usage.cache_hour_tokens or told.cache_hour_tokens
    tier = usage.service_tier or told.service_tier
    return replace(usage, cache_hour_tokens=hour, service_tier=tier)


def _usage_in(tail: bytes) -> Usage | None:
    output_tokens: int | None = None
    at = len(tail)
    for _ in range(MAX_CANDIDATES):
        at = tail.rfind(_KEY, 0, at)
        if at < 0:
            return None
        counts = _counts_at(tail, at)
        if counts is None:
            continue
        if output_tokens is None:
            if _in_message_start(tail, at):
                return None  # its output tokens are those of the beginning, not of the end
            output_tokens = counts.output()
        input_tokens = counts.input()
        if input_tokens is not None and output_tokens is not None:
            return counts.with_details(input_tokens, output_tokens, _tier_beside(tail, at))
    return None


def _counts_at(tail: bytes, at: int) -> Counts | None:
    found = _OBJECT.match(tail, at + len(_KEY))
    if found is None or tail[at - 1] == _BACKSLASH:
        return None
    try:
        return _counts.decode(found[1])
    except UNREADABLE:
        return None


def _tier_beside(tail: bytes, at: int) -> bytes:
    """Return the service tier in the event with the usage at an offset."""
    key = tail.rfind(b'"service_tier"', tail.rfind(b"\n", 0, at) + 1, tail.find(b"\n", at))
    found = _TIER.match(tail, key) if key >= 0 else None
    return b"" if found is None else found[1]


def _in_message_start(tail: bytes, at: int) -> bool:
    line_start = max(tail.rfind(b"\n", 0, at), tail.rfind(b"\r", 0, at)) + 1
    return b'"message_start"' in tail[line_start:at]

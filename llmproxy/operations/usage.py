"""The tokens of a call as its endpoint counted them, read from a copy of the answer.

Only numbers in the answer are returned, never an estimate; what is absent or malformed is None.
Nothing here raises.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec.structs import replace

MAX_CANDIDATES = 16  # `"usage"` keys to look at in a stream's tail


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens as the endpoint counted them.

    `cached_tokens` were read from the vendor's prompt cache and `cache_write_tokens` written to it,
    `cache_hour_tokens` of these for an hour; all are part of the input. `reasoning_tokens` are part
    of the output, audio and image tokens of either. `searches` of the web are charged beside them.
    `estimated`: the endpoint did not say. `service_tier`: None = the standard one. `charged_usd`:
    what the endpoint says that it charged. `images` and `seconds` of sound: where it counts no
    tokens.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    estimated: bool = False
    cache_hour_tokens: int = 0
    image_input_tokens: int = 0
    searches: int = 0
    service_tier: str | None = None
    charged_usd: float | None = None
    images: int = 0
    seconds: float = 0.0


def usage_of(body: bytes) -> Usage | None:
    """Return the usage of a whole JSON answer of any dialect."""
    try:
        answer = _answer.decode(body)
    except _UNREADABLE:
        return None
    return None if answer.usage is None else answer.usage.usage(answer.service_tier)


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


# What no call can have: a vendor that reports less or more is mistaken, and its usage is unknown.
Tokens = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000_000)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000)]


class Details(msgspec.Struct, gc=False):
    """What a number of tokens is made of."""

    cached_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None  # OpenRouter
    audio_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None
    ephemeral_1h_input_tokens: Tokens | None = None  # Anthropic
    image_tokens: Tokens | None = None
    web_search_requests: Tokens | None = None  # Anthropic
    upstream_inference_cost: float | None = None  # OpenRouter, with a key of one's own


_NOTHING = Details()
_ABSENT = msgspec.Raw()


class _CacheCounts(msgspec.Struct, gc=False):
    cache_read_input_tokens: Tokens | None = None
    cache_creation_input_tokens: Tokens | None = None
    cache_creation: Details | None = None
    prompt_cache_hit_tokens: Tokens | None = None  # DeepSeek
    cached_tokens: Tokens | None = None  # Moonshot


class Counts(_CacheCounts, gc=False):
    """A usage object under the names of any dialect."""

    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    total_tokens: Tokens | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None
    server_tool_use: Details | None = None
    service_tier: msgspec.Raw = _ABSENT  # Anthropic
    cost: msgspec.Raw = _ABSENT  # OpenRouter
    is_byok: msgspec.Raw = _ABSENT
    cost_details: msgspec.Raw = _ABSENT
    seconds: Seconds | None = None  # OpenAI's Whisper

    def usage(self, tier: msgspec.Raw = _ABSENT) -> Usage | None:
        """Return the usage of a whole answer. `tier`: the service tier that stands beside it."""
        input_tokens = self.input()
        if input_tokens is None:
            return Usage(0, 0, seconds=self.seconds) if self.seconds else None
        output_tokens = self.output() or 0  # embeddings have none
        return self.with_details(input_tokens, output_tokens, tier)

    def with_details(
        self, input_tokens: int, output_tokens: int, tier: bytes | msgspec.Raw = b""
    ) -> Usage:
        """Return a usage with what the tokens are made of."""
        read = self.prompt_tokens_details or self.input_tokens_details or _NOTHING
        written = self.completion_tokens_details or self.output_tokens_details or _NOTHING
        return Usage(
            *(input_tokens, output_tokens, self.cached()),
            self.cache_creation_input_tokens or read.cache_write_tokens or 0,
            written.reasoning_tokens or 0,
            *(read.audio_tokens or 0, written.audio_tokens or 0),
            cache_hour_tokens=(self.cache_creation or _NOTHING).ephemeral_1h_input_tokens or 0,
            image_input_tokens=read.image_tokens or 0,
            searches=(self.server_tool_use or _NOTHING).web_search_requests or 0,
            service_tier=_tier(bytes(self.service_tier) or bytes(tier)),
            charged_usd=self.charged() if bytes(self.cost) else None,
        )

    def charged(self) -> float | None:
        """Return what the endpoint says that it charged, in US dollars."""
        try:
            cost = _dollars.decode(self.cost)
            if bytes(self.is_byok) == b"true":  # the other vendor charges the rest
                cost += _details.decode(self.cost_details).upstream_inference_cost or 0
        except _UNREADABLE:
            return None
        return cost if 0 <= cost < _MAX_USD else None

    def input(self) -> int | None:
        """Return all input tokens. Anthropic counts cached ones apart, so they are added."""
        if self.prompt_tokens is not None:
            return self.prompt_tokens
        if self.input_tokens is None:
            return None
        cache = (self.cache_read_input_tokens or 0) + (self.cache_creation_input_tokens or 0)
        return self.input_tokens + cache

    def output(self) -> int | None:
        """Return the output tokens. Gemini and xAI count reasoning in the total only."""
        if self.output_tokens is None and self.prompt_tokens and self.total_tokens:
            return max(self.completion_tokens or 0, self.total_tokens - self.prompt_tokens)
        return self.completion_tokens if self.output_tokens is None else self.output_tokens

    def cached(self) -> int:
        """Return the input tokens that came from the vendor's prompt cache."""
        read = self.prompt_tokens_details or self.input_tokens_details or _NOTHING
        apart = self.cache_read_input_tokens or self.prompt_cache_hit_tokens or self.cached_tokens
        return read.cached_tokens or apart or 0


class _Answer(msgspec.Struct, gc=False):
    usage: Counts | None = None
    service_tier: msgspec.Raw = _ABSENT


_answer = msgspec.json.Decoder(_Answer)
_counts = msgspec.json.Decoder(Counts)
_details = msgspec.json.Decoder(Details)
_dollars = msgspec.json.Decoder(float)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_KEY = b'"usage"'
_STANDARD = frozenset((b"", b"null", b'"default"', b'"standard"', b'"auto"', b'"on_demand"'))
_MAX_USD = 1e6  # of an answer: a vendor that reports more is mistaken
_TIER = re.compile(rb'"service_tier"\s*:\s*("\w+")')
_BACKSLASH = 0x5C  # before a key, it makes the quotation mark part of a text
# A usage object. It may hold objects (details), which may hold objects, and texts without braces.
_OBJECT = re.compile(rb"\s*:\s*(\{(?:[^{}]++|\{(?:[^{}]++|\{[^{}]*+\})*+\})*+\})")


def _counts_at(tail: bytes, at: int) -> Counts | None:
    found = _OBJECT.match(tail, at + len(_KEY))
    if found is None or tail[at - 1] == _BACKSLASH:
        return None
    try:
        return _counts.decode(found[1])
    except _UNREADABLE:
        return None


def _tier(raw: bytes) -> str | None:
    """Return a service tier; None for the standard one."""
    return None if raw in _STANDARD else raw.decode("utf-8", "replace").strip('"')


def _tier_beside(tail: bytes, at: int) -> bytes:
    """Return the service tier in the event with the usage at an offset."""
    key = tail.rfind(b'"service_tier"', tail.rfind(b"\n", 0, at) + 1, tail.find(b"\n", at))
    found = _TIER.match(tail, key) if key >= 0 else None
    return b"" if found is None else found[1]


def _in_message_start(tail: bytes, at: int) -> bool:
    line_start = max(tail.rfind(b"\n", 0, at), tail.rfind(b"\r", 0, at)) + 1
    return b'"message_start"' in tail[line_start:at]

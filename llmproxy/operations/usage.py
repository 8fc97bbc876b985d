"""The tokens of a call as its endpoint counted them, read from a copy of the answer.

Only numbers in the answer are returned, never an estimate; what is absent or malformed is None.
Nothing here raises.
"""

from __future__ import annotations

from typing import Annotated

import msgspec


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
_details = msgspec.json.Decoder(Details)
_dollars = msgspec.json.Decoder(float)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_STANDARD = frozenset((b"", b"null", b'"default"', b'"standard"', b'"auto"', b'"on_demand"'))
_MAX_USD = 1e6  # of an answer: a vendor that reports more is mistaken


def _tier(raw: bytes) -> str | None:
    """Return a service tier; None for the standard one."""
    return None if raw in _STANDARD else raw.decode("utf-8", "replace").strip('"')

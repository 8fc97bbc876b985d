"""The cost of tokens at a price. Prices are US dollars per million tokens."""

from __future__ import annotations

from llmproxy.batteries.money import NANO
from llmproxy.config import Price
from llmproxy.operations import Usage

# Anthropic: what is kept for an hour costs twice the input, for five minutes 1.25 times.
HOUR_FACTOR = 2.0
NANO_PER_TOKEN = NANO / 1_000_000  # of a price of one dollar per million tokens


def nano_usd(price: Price, usage: Usage) -> int:
    """Return the cost of one answer, rounded to a nano-dollar.

    Cached and cache-written tokens are part of the input tokens, audio tokens of the input's or the
    output's. What has no price of its own costs as the rest of its kind.
    """
    input_tokens = usage.input_tokens
    total = usage.output_tokens * price.output
    if usage.cached_tokens:
        cached = min(usage.cached_tokens, input_tokens)
        input_tokens -= cached
        total += cached * (price.input if price.cached_input is None else price.cached_input)
    if usage.cache_write_tokens:
        written = min(usage.cache_write_tokens, input_tokens)
        input_tokens -= written
        hour = min(usage.cache_hour_tokens, written) if price.cache_write is not None else 0
        total += hour * price.input * HOUR_FACTOR
        rate = price.input if price.cache_write is None else price.cache_write
        total += (written - hour) * rate
    if usage.audio_input_tokens and price.audio_input is not None:
        heard = min(usage.audio_input_tokens, input_tokens)
        input_tokens -= heard
        total += heard * price.audio_input
    if usage.audio_output_tokens and price.audio_output is not None:
        spoken = min(usage.audio_output_tokens, usage.output_tokens)
        total += spoken * (price.audio_output - price.output)
    total += input_tokens * price.input
    nano = total * NANO_PER_TOKEN
    return round(nano if price.per_request is None else nano + price.per_request * NANO)


def cost_usd(price: Price, usage: Usage) -> float:
    """Return the same in US dollars."""
    return nano_usd(price, usage) / NANO

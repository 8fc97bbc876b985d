"""The cost of a call, computed from a price list (US dollars per million tokens)."""

from __future__ import annotations

from collections.abc import Mapping

from llmproxy.config import Price
from llmproxy.operations import Usage

Prices = Mapping[tuple[str, str], Price]  # by group and endpoint

MILLION = 1_000_000


def cost_usd(price: Price, usage: Usage) -> float:
    """Return the cost of a call in US dollars. Cached tokens are part of the input tokens."""
    cached_price = price.input if price.cached_input is None else price.cached_input
    cached = min(usage.cached_tokens, usage.input_tokens)
    fresh = usage.input_tokens - cached
    dollars = fresh * price.input + cached * cached_price + usage.output_tokens * price.output
    return dollars / MILLION

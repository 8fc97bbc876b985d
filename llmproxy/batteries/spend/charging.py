"""The cost of tokens at a price. Prices are US dollars per million tokens."""

from __future__ import annotations

from llmproxy.batteries.money import NANO
from llmproxy.config import Price
from llmproxy.config.sections import TokenPrice
from llmproxy.operations import Usage

# Anthropic: what is kept for an hour costs twice the input, for five minutes 1.25 times.
HOUR_FACTOR = 2.0
NANO_PER_TOKEN = NANO / 1_000_000  # of a price of one dollar per million tokens
# What a service tier costs, as a part of the standard price, where the tier has no price: roughly
# so at OpenAI and Google. The cost is an estimate then.
USUAL_FACTORS = {"flex": 0.5, "batch": 0.5, "priority": 2.0, "fast": 2.0}
# No answer costs more: what reports so many tokens is mistaken. Sums of calls keep within 64 bits.
MAX_NANO = 100_000 * NANO
USUAL_SEARCH_USD = 0.01  # Anthropic's and OpenAI's price of a web search


def nano_usd(price: Price, usage: Usage) -> int:
    """Return the cost of one answer, rounded to a nano-dollar."""
    charged = charge(price, usage)
    return 0 if charged is None else charged[0]


def charge(price: Price | None, usage: Usage) -> tuple[int, bool] | None:
    """Return the cost of one answer, rounded to a nano-dollar, and whether it is exact.

    What the vendor says that it charged precedes every price. None: neither is known, or it is more
    than any answer costs.
    """
    if usage.charged_usd is not None and (usage.charged_usd or price is None):
        nano, exact = usage.charged_usd * NANO, True
    elif price is None or _has_no_price(price, usage):
        return None
    else:
        nano, exact = _charge(price, usage)
    return (round(nano), exact) if nano <= MAX_NANO else None


def _has_no_price(price: Price, usage: Usage) -> bool:
    """Return whether images or sound were counted that have no price."""
    of_images = usage.images and price.per_image is None
    return bool(of_images or (usage.seconds and price.per_minute is None))


def _charge(price: Price, usage: Usage) -> tuple[float, bool]:
    """Return the cost of one answer at a price, and whether it is exact."""
    chosen, factor, exact = _price_of(price, usage)
    nano = _tokens(chosen, usage) * factor * NANO_PER_TOKEN
    if usage.searches:
        exact = exact and chosen.per_search is not None
        each = USUAL_SEARCH_USD if chosen.per_search is None else chosen.per_search
        nano += usage.searches * each * NANO
    if usage.images or usage.seconds:
        sound = usage.seconds / 60 * (chosen.per_minute or 0.0)
        nano += (usage.images * (chosen.per_image or 0.0) + sound) * NANO
    return nano if chosen.per_request is None else nano + chosen.per_request * NANO, exact


def _price_of(price: Price, usage: Usage) -> tuple[TokenPrice, float, bool]:
    """Return the price that holds for an answer, a factor, and whether both are certain."""
    chosen: TokenPrice = price
    if price.above:
        longest = max((size for size in price.above if size < usage.input_tokens), default=None)
        chosen = price if longest is None else price.above[longest]
    tier = usage.service_tier
    if tier is None:
        return chosen, 1.0, True
    if tier in price.tiers:
        return price.tiers[tier], 1.0, chosen is price
    return chosen, USUAL_FACTORS.get(tier, 1.0), False


def _tokens(price: TokenPrice, usage: Usage) -> float:
    """Return the cost of the tokens, in millionths of a dollar.

    Cached and cache-written tokens are part of the input tokens, those of images too, audio tokens
    of the input's or the output's. What has no price of its own costs as the rest of its kind.
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
    if usage.image_input_tokens and price.image_input is not None:
        seen = min(usage.image_input_tokens, input_tokens)
        input_tokens -= seen
        total += seen * price.image_input
    if usage.audio_output_tokens and price.audio_output is not None:
        spoken = min(usage.audio_output_tokens, usage.output_tokens)
        total += spoken * (price.audio_output - price.output)
    return total + input_tokens * price.input


def cost_usd(price: Price, usage: Usage) -> float:
    """Return the same as `nano_usd` in US dollars."""
    return nano_usd(price, usage) / NANO

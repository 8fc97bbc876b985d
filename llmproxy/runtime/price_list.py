"""List prices of models from the `genai-prices` package (the extra `llmproxy[prices]`).

The package carries its list and is asked for nothing else: it never goes to the network by itself,
and the part of it that could is not used. It is imported with the first price that is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from decimal import Decimal

from llmproxy.config import Price
from llmproxy.providers.base import Endpoint

logger = logging.getLogger("llmproxy")

# The list's names of our providers. Who is not here has no list: a server of one's own, whatever
# is not recognised, and those that the list does not know (version 0.2: deepinfra).
LISTED = {
    "openai": "openai",
    "azure": "azure",
    "azure-classic": "azure",
    "anthropic": "anthropic",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "mistral": "mistral",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "xai": "x-ai",
}


def prices_of(endpoints: Iterable[Endpoint]) -> dict[tuple[str, str], Price]:
    """Return prices by group and endpoint: from the config, else the list price if known."""
    prices = {}
    for endpoint in endpoints:
        price = endpoint.price
        if price is None:
            price = list_price(endpoint.provider.name, endpoint.model or "", quiet=True)
        if price is not None:
            prices[endpoint.group, endpoint.name] = price
    return prices


def list_price(provider: str, model: str, *, quiet: bool = False) -> Price | None:
    """Return today's list price of a provider's model; None, with a warning unless `quiet`, if it
    is unknown.

    If the price grows with the prompt, it is the one for short prompts. A model is found by its
    name, so an Azure deployment must be named like its model.
    """
    found = _look_up(provider, model)
    if isinstance(found, Price):
        return found
    if quiet:
        return None
    logger.warning(
        "No price is known for the model %r of %s: %s. Where endpoints are ordered by price it "
        "comes last; give its endpoint a `price` to change that.",
        model,
        provider,
        found,
    )
    return None


def _look_up(provider: str, model: str) -> Price | str:
    """Return the price, or why there is none."""
    listed = LISTED.get(provider)
    if listed is None:
        return "there are no list prices of that provider"
    try:
        from genai_prices import Usage, calc_price  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        return "the list of prices is missing (pip install 'llmproxy[prices]')"
    try:
        prices = calc_price(Usage(), model, provider_id=listed).model_price
    except LookupError:
        return "the list has no model of that name"
    text_input = _dollars(prices.input_mtok)
    if text_input is None:
        return "it is not priced by tokens of text"
    return Price(
        input=text_input,
        output=_dollars(prices.output_mtok) or 0.0,  # embeddings have no output
        cached_input=_dollars(prices.cache_read_mtok),
    )


def _dollars(price: object) -> float | None:
    base = getattr(price, "base", price)  # a price in steps has a base, for short prompts
    return float(base) if isinstance(base, Decimal) else None

"""List prices of models from the `genai-prices` package.

The package contains its list and is used for nothing else: it never goes to the network by itself,
and the part of it that could is not used. It is imported with the first price that is asked for.
"""

from __future__ import annotations

from decimal import Decimal

from llmproxy.config import Price

# The list's names of our providers. Others have no list: a server of one's own, a
# provider that is not recognised, and those that the list lacks (version 0.2: deepinfra).
LISTED = {
    "openai": "openai",
    "azure": "azure",
    "azure-classic": "azure",
    "anthropic": "anthropic",
    "bedrock": "aws",
    "cerebras": "cerebras",
    "cloudflare": "cloudflare",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "vertex": "google",
    "xai": "x-ai",
    "zai": "zai",
}


def list_price(provider: str, model: str) -> Price | str:
    """Return today's list price of a provider's model, or why it is not known.

    If the price grows with the prompt, it is the one for short prompts. A model is found by its
    name, so an Azure deployment must be named like its model.
    """
    listed = LISTED.get(provider)
    if listed is None:
        return "there are no list prices of that provider"
    try:
        from genai_prices import Usage, calc_price  # noqa: PLC0415 - slow to import
    except ImportError:
        return "the list of prices is missing (pip install genai-prices)"
    if provider == "vertex":
        model = model.removeprefix("google/")  # the list has the names of Google's own API
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
        cache_write=_dollars(prices.cache_write_mtok),
        audio_input=_dollars(prices.input_audio_mtok),
        audio_output=_dollars(prices.output_audio_mtok),
    )


def _dollars(price: object) -> float | None:
    base = getattr(price, "base", price)  # a price in steps has a base, for short prompts
    return float(base) if isinstance(base, Decimal) else None

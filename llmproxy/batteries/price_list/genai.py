"""List prices of models from the `genai-prices` package.

The package contains its list and is used for nothing else: it never goes to the network by itself,
and the part of it that could is not used. It is imported with the first price that is asked for.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from llmproxy.config import Price
from llmproxy.config.sections import TokenPrice

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

# The members of our prices, as the list names them, and for how many units its price is.
MEMBERS = {
    "input": ("input_mtok", 1),
    "output": ("output_mtok", 1),
    "cached_input": ("cache_read_mtok", 1),
    "cache_write": ("cache_write_mtok", 1),
    "audio_input": ("input_audio_mtok", 1),
    "audio_output": ("output_audio_mtok", 1),
    "image_input": ("input_image_mtok", 1),
    "per_request": ("requests_kcount", 1000),
    "per_search": ("web_searches_kcount", 1000),
}
TIERS = ("flex", "priority", "fast")
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


def list_price(provider: str, model: str, own: DataSnapshot | None = None) -> Price | str:
    """Return today's list price of a provider's model, or why it is not known.

    `own`: a list that precedes that of the package. A model is found by its name, so an Azure
    deployment must be named like its model.
    """
    listed = LISTED.get(provider)
    if listed is None:
        return "there are no list prices of that provider"
    try:
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - slow to import
    except ImportError:
        return "the list of prices is missing (pip install genai-prices)"
    if provider == "vertex":
        model = model.removeprefix("google/")  # the list has the names of Google's own API
    for snapshot in (own, get_snapshot()):
        if snapshot is not None:
            with suppress(LookupError):
                return _price_in(snapshot, listed, model)
    return "the list has no model of that name"


def _price_in(snapshot: DataSnapshot, provider: str, model: str) -> Price | str:
    """Return the price in a list, or why there is none. Raises LookupError for another model."""
    from genai_prices import Usage  # noqa: PLC0415 - slow to import

    def listed_price(**context: str) -> Any:
        return snapshot.calc(Usage(), model, provider, None, None, context or None).model_price

    standard = listed_price()
    members = _members(standard)
    if "input" not in members:
        return "it is not priced by tokens of text"
    tiers = {tier: _members(listed_price(service_tier=tier)) for tier in TIERS}
    tiers["batch"] = _members(listed_price(processing="batch"))
    return Price(
        **members,
        above={start: TokenPrice(**_members(standard, start)) for start in _steps(standard)},
        # The list gives the standard price where it has none for a tier.
        tiers={tier: TokenPrice(**other) for tier, other in tiers.items() if other != members},
    )


def _members(prices: Any, above: int = 0) -> dict[str, float]:
    """Return the members of a price, for prompts of more tokens than `above`."""
    members = {
        name: dollars / units
        for name, (listed, units) in MEMBERS.items()
        if (dollars := _dollars(getattr(prices, listed, None), above)) is not None
    }
    members.setdefault("output", 0.0)  # embeddings have none
    return members


def _dollars(price: object, above: int) -> float | None:
    if isinstance(price, Decimal):
        return float(price)
    if not hasattr(price, "tiers") or not hasattr(price, "base"):
        return None
    steps = [step.price for step in price.tiers if step.start <= above]  # they ascend
    return float(steps[-1] if steps else price.base)


def _steps(prices: Any) -> set[int]:
    """Return the lengths of prompts above which the price is another one."""
    found = (getattr(prices, listed, None) for listed, _ in MEMBERS.values())
    return {step.start for price in found for step in getattr(price, "tiers", ())}

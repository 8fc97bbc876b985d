"""The prices of endpoints: those in the config, else the list prices of their models."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from llmproxy.config import Price
from llmproxy.protocols import PriceList
from llmproxy.providers.base import Endpoint
from llmproxy.rules.prices import Prices

logger = logging.getLogger("llmproxy")


def no_list(provider: str, model: str) -> str:
    """Return why no list price is known: the core has no list."""
    del provider, model
    return "this installation has no `llmproxy.price_list`"


def prices_of(endpoints: Iterable[Endpoint], price_list: PriceList) -> Prices:
    """Return the prices that are known, by group and endpoint."""
    found = {
        (endpoint.group, endpoint.name): _price_of(endpoint, price_list) for endpoint in endpoints
    }
    return {key: price for key, price in found.items() if isinstance(price, Price)}


def price_of(endpoint: Endpoint, price_list: PriceList) -> Price | None:
    """Return the price of an endpoint; None, with a warning, if it is unknown."""
    found = _price_of(endpoint, price_list)
    if isinstance(found, Price):
        return found
    logger.warning(
        "No price is known for the endpoint %s in the group %s: %s. Set its `price`; without one, "
        "it comes last where endpoints are ordered by price.",
        endpoint.name,
        endpoint.group,
        found,
    )
    return None


def _price_of(endpoint: Endpoint, price_list: PriceList) -> Price | str:
    return endpoint.price or price_list(endpoint.provider.name, endpoint.model or "")

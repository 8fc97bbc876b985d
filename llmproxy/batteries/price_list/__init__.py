"""List prices of models, for endpoints without a `price`.

The only module of this package that others import. Without it, only the prices in the config are
known.
"""

from __future__ import annotations

from msgspec.structs import replace

from llmproxy.batteries.price_list.genai import list_price
from llmproxy.providers.base import Endpoint, Endpoints

__all__ = ["with_list_prices"]


def with_list_prices(endpoints: Endpoints) -> Endpoints:
    """Return the endpoints with the list prices of those that have no price of their own."""
    return {group: tuple(map(_priced, members)) for group, members in endpoints.items()}


def _priced(endpoint: Endpoint) -> Endpoint:
    if not isinstance(endpoint.price, str):
        return endpoint
    return replace(endpoint, price=list_price(endpoint.provider.name, endpoint.model or ""))

"""List prices of models, for endpoints without a `price`.

The only module of this package that others import. Without it, only the prices in the config are
known.
"""

from __future__ import annotations

from msgspec.structs import replace

from llmproxy.batteries.price_list.genai import list_price
from llmproxy.batteries.price_list.own_list import read_list
from llmproxy.batteries.settings import full
from llmproxy.config import Config
from llmproxy.providers.base import Endpoints

__all__ = ["list_price", "with_list_prices"]


def with_list_prices(config: Config, endpoints: Endpoints) -> Endpoints:
    """Return the endpoints with the list prices of those that have no price of their own.

    Raises ConfigError if the `price_list` of the config cannot be used.
    """
    file = full(config.general_settings).price_list
    own = None if file is None else read_list(file)
    return {
        group: tuple(
            replace(endpoint, price=list_price(endpoint.provider.name, endpoint.model or "", own))
            if isinstance(endpoint.price, str)
            else endpoint
            for endpoint in members
        )
        for group, members in endpoints.items()
    }

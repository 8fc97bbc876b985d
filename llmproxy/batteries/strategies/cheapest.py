"""The strategy `cheapest`: an expensive endpoint gets the calls for which cheaper ones are full."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import inf

from llmproxy.config import Price
from llmproxy.providers.base import Endpoint
from llmproxy.routing import EndpointState
from llmproxy.routing.strategies import Strategy

logger = logging.getLogger("llmproxy")

# A typical call has three input tokens for each output token.
INPUT_PARTS, OUTPUT_PARTS = 3, 1


class Cheapest(Strategy):
    """Within a tier of the config, make each price a tier of its own; an unknown one is last."""

    def adopt(self, states: Sequence[EndpointState]) -> None:
        """Warn of endpoints whose price is not known."""
        Strategy.adopt(self, states)
        for state in states:
            warn_without_price(state.endpoint)

    def _rank(self, state: EndpointState) -> float:
        price = state.endpoint.price
        return inf if isinstance(price, str) else blended(price)


def blended(price: Price) -> float:
    """Return US dollars per million tokens of a typical mix."""
    mixed = INPUT_PARTS * price.input + OUTPUT_PARTS * price.output
    return mixed / (INPUT_PARTS + OUTPUT_PARTS)


def warn_without_price(endpoint: Endpoint) -> None:
    """Warn of an endpoint whose price is not known."""
    if isinstance(endpoint.price, str):
        logger.warning(
            "No price is known for the endpoint %s in the group %s: %s. Set its `price`; without "
            "one, it comes last where endpoints are ordered by price.",
            endpoint.name,
            endpoint.group,
            endpoint.price,
        )

"""The strategies: how a group orders its endpoints into tiers, and shares calls within a tier.

To add one: a class here, its row in STRATEGIES, and its name and help in config/base.py. One that
measures attempts is a battery (batteries/latency), with its row there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from llmproxy.config import Strategy as StrategyName
from llmproxy.routing.endpoint import Checkout, EndpointState
from llmproxy.rules.prices import blended

Shares = list[float]


class Strategy:
    """`weighted`, and the base class of the others: calls are shared by weight within a tier."""

    def tiers(self, states: Sequence[EndpointState]) -> list[list[EndpointState]]:
        """Order the endpoints into groups of equal preference, the preferred ones first.

        Endpoints of weight 0 come last, whatever the strategy.
        """
        tiers: dict[tuple[bool, int, float], list[EndpointState]] = {}
        for state in states:
            endpoint = state.endpoint
            key = (endpoint.weight == 0, endpoint.tier, self._rank(state))
            tiers.setdefault(key, []).append(state)
        return [tiers[key] for key in sorted(tiers)]

    def adopt(self, states: Sequence[EndpointState]) -> None:
        """Measure what the strategy needs of a group's endpoints, and nothing else."""
        for state in states:
            state.checkout = Checkout

    def shares(self, states: Sequence[EndpointState], shares: Shares, now: float) -> Shares:
        """Return the shares by which the next call of a tier is given away.

        `shares`: by weight and slow start; 0 for an endpoint that does not take the call.
        """
        del states, now
        return shares

    def _rank(self, state: EndpointState) -> float:
        """Return the order within a tier of the config; equal ranks make one tier."""
        del state
        return 0.0


class LeastBusy(Strategy):
    """Give the call to the endpoints with the fewest calls under way for their share.

    An endpoint is as busy as its calls in flight divided by its share; among equals, calls are
    shared by weight.
    """

    def shares(self, states: Sequence[EndpointState], shares: Shares, now: float) -> Shares:
        """Keep the shares of the least busy endpoints; the others get 0."""
        del now
        load = [
            state.in_flight / share if share > 0 else -1.0
            for state, share in zip(states, shares, strict=True)
        ]
        least = min((busy for busy in load if busy >= 0), default=0.0)
        return [share if busy == least else 0.0 for busy, share in zip(load, shares, strict=True)]


class Cheapest(Strategy):
    """Within a tier of the config, make each price a tier of its own; an unknown one is last."""

    def _rank(self, state: EndpointState) -> float:
        price = state.endpoint.price
        return inf if isinstance(price, str) else blended(price)


Strategies = Mapping[StrategyName, Strategy]
STRATEGIES: Strategies = {
    "weighted": Strategy(),
    "least_busy": LeastBusy(),
    "cheapest": Cheapest(),
}

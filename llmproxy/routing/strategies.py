"""How a group orders its endpoints into tiers, and shares calls within a tier.

To add a strategy: a subclass and its row in batteries/strategies, its name and help in
config/base.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmproxy.config import Strategy as StrategyName
from llmproxy.routing.endpoint import Checkout, EndpointState

Shares = list[float]


class Strategy:
    """`weighted`, and the base class of the others: calls are shared by weight within a tier."""

    moves_shares = False  # from call to call: each needs the shares of the moment

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


Strategies = Mapping[StrategyName, Strategy]
WEIGHTED: Strategies = {"weighted": Strategy()}

"""The strategy `least_busy`: calls go where the fewest are under way."""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.routing import EndpointState
from llmproxy.routing.strategies import Shares, Strategy


class LeastBusy(Strategy):
    """Give the call to the endpoints with the fewest calls under way for their share.

    An endpoint is as busy as its calls in flight divided by its share; among equals, calls are
    shared by weight.
    """

    moves_shares = True

    def shares(self, states: Sequence[EndpointState], shares: Shares, now: float) -> Shares:
        """Keep the shares of the least busy endpoints; the others get 0."""
        del now
        load = [
            state.in_flight / share if share > 0 else -1.0
            for state, share in zip(states, shares, strict=True)
        ]
        least = min((busy for busy in load if busy >= 0), default=0.0)
        return [share if busy == least else 0.0 for busy, share in zip(load, shares, strict=True)]

"""The strategy `latency`: the power of two choices, over the times to the first token.

Each call takes the better one of two endpoints drawn at random: two are nearly as good as all, and
not all calls run to the one that is best at the moment (M. Mitzenmacher, "The power of two choices
in randomized load balancing", IEEE TPDS 12, 2001). How often each one wins is computed, not drawn:
the turns of rules/routing.py give the calls away by it, and `explain` shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from llmproxy.batteries.strategies.first_tokens import FirstTokens
from llmproxy.routing import EndpointState
from llmproxy.routing.strategies import Shares, Strategy

SHORTEST_S = 0.001
ASSUMED_S = 1.0  # while no endpoint has answered


class LowestLatency(Strategy):
    """Give the call to the faster one of two endpoints that are drawn by weight.

    Fast is a short time to the first token, times the calls under way for its weight and this one.
    An endpoint without a recent answer counts as no slower than the fastest one.
    """

    moves_shares = True

    def adopt(self, states: Sequence[EndpointState]) -> None:
        """Measure the endpoints of a group. What is known of them stays."""
        for state in states:
            if not isinstance(state.checkout, FirstTokens):
                state.checkout = FirstTokens()

    def shares(self, states: Sequence[EndpointState], shares: Shares, now: float) -> Shares:
        """Return how often each endpoint is the faster one of two."""
        taking = [
            (i, state.checkout)
            for i, (state, share) in enumerate(zip(states, shares, strict=True))
            if share > 0 and isinstance(state.checkout, FirstTokens)
        ]
        if len(taking) < 2:
            return shares
        known = (tokens.average_s for _, tokens in taking if tokens.is_known)
        best_s = max(SHORTEST_S, min(known, default=ASSUMED_S))
        usual = sum(shares) / len(taking)
        costs = [0.0] * len(shares)
        for i, tokens in taking:
            load = 1 + states[i].in_flight * usual / shares[i]
            costs[i] = tokens.expected_s(now, best_s) * load
        return two_choices(shares, costs)


def two_choices(shares: Sequence[float], costs: Sequence[float]) -> Shares:
    """Return how often each place has the lower cost of two different ones drawn by their shares.

    The sum is 1. Places of equal cost divide their calls by `shares`; a share of 0 stays 0. At
    least two shares are above 0.
    """
    total = sum(shares)
    wins = [0.0] * len(shares)
    first = second = 0.0  # sums over the dearer places: chance, and chance / (1 - chance)
    dearest_first = sorted(
        (i for i, share in enumerate(shares) if share), key=costs.__getitem__, reverse=True
    )
    for _, equals in groupby(dearest_first, key=costs.__getitem__):
        members = list(equals)
        won = weight = 0.0
        for i in members:
            chance = shares[i] / total
            # It is drawn and then a dearer one, or a dearer one and then it.
            won += chance / (1 - chance) * first + chance * second
            first += chance
            second += chance / (1 - chance)
            weight += shares[i]
        for i in members:
            wins[i] = won * shares[i] / weight
    return wins

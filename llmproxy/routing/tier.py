"""What a call asks of its group, and the endpoints of equal preference that it may get."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, inf
from typing import Protocol

import msgspec

from llmproxy.routing.endpoint import EndpointState
from llmproxy.routing.strategies import Strategy
from llmproxy.rules.routing import WeightedRoundRobin

# The trace of a call names at most so many of the endpoints that did not take it.
MAX_PASSED_OVER = 8


class Conversation(Protocol):
    """What a group's affinity knows of the conversation that a call is a turn of."""

    def takes_turns(self, tier: Tier, shares: Sequence[float], now: float) -> bool:
        """Return whether the call goes where a tier's turn is, and if so count it."""

    def choose(self, tier: Tier, weights: list[float], now: float) -> EndpointState:
        """Return which endpoint of a tier takes the call. `weights`: 0 = it does not."""

    def dearer(self, tiers: Sequence[Tier], demand: CallDemand, now: float) -> EndpointState | None:
        """Return an endpoint behind the first tier that is cheaper for it; None without one."""

    def served(self, state: EndpointState, now: float) -> str | None:
        """Note which endpoint accepted the call; returns why it was preferred, if it was."""


class CallDemand(msgspec.Struct, eq=False):
    """What one call asks of its group. Mutable; owned by the call's Attempts.

    `tokens`: the estimated input and the output bound, as some vendors charge them on arrival.
    `unwritten`: the part of the output bound that such calls do not usually write.
    `excluded`: the endpoints that may not serve it now. `passed_over`: some of those that would
    have, if they took calls. `spill_at`: from then on an expensive tier is as good as a cheap one.
    `conversation`: prefers endpoints; None without affinity.
    """

    tokens: int = 0
    priority: int = 0
    spill_at: float = 0.0
    excluded: list[EndpointState] = []
    passed_over: list[EndpointState] = []
    unwritten: int = 0
    conversation: Conversation | None = None

    def tokens_at(self, state: EndpointState) -> int:
        """Return the tokens to reserve at an endpoint, as its vendor charges them."""
        if not self.unwritten or state.endpoint.provider.charges_output_bound:
            return self.tokens
        return self.tokens - self.unwritten

    @property
    def restricted(self) -> bool:
        """Whether some endpoints are excluded for it. Constant while it waits."""
        return bool(self.excluded)

    def pass_over(self, state: EndpointState) -> None:
        """Note an endpoint that did not take the call, though it might have, for its trace."""
        noted = self.passed_over
        if len(noted) < MAX_PASSED_OVER and state not in noted and state not in self.excluded:
            self.passed_over.append(state)


class Tier:
    """Endpoints of equal preference, which share calls according to the strategy.

    A call asks the endpoint whose turn it is and those that got less than their weight last time
    (`_unlike`: their places). Only if one of these has changed, it asks all.
    """

    __slots__ = ("_round_robin", "_strategy", "_unlike", "_weights", "states")

    def __init__(self, states: Sequence[EndpointState], strategy: Strategy) -> None:
        self.states = tuple(states)
        self._weights = [float(state.endpoint.weight or 1) for state in states]
        self._strategy = strategy
        self._round_robin = WeightedRoundRobin(len(self.states))
        self._unlike: list[int] = []

    def choose(self, demand: CallDemand, now: float) -> EndpointState | None:
        """Return the endpoint that is next for a call; None if none takes it."""
        if len(self.states) == 1:
            only = self.states[0]
            if only not in demand.excluded and only.takes(demand.tokens_at(only), now):
                return only
            demand.pass_over(only)
            return None
        turn, shares = demand.conversation, self._round_robin.shares
        if self._is_steady(demand, now) and (not turn or turn.takes_turns(self, shares, now)):
            self._pass_over(self._unlike, shares, demand)
            return self.take(shares)
        weights = self.weights(demand, now)
        self._pass_over(range(len(weights)), weights, demand)
        if not any(weights):
            return None
        return turn.choose(self, weights, now) if turn else self.take(self.shares(weights, now))

    def take(self, shares: Sequence[float]) -> EndpointState:
        """Return the endpoint whose turn it is."""
        if shares is not self._round_robin.shares:
            both = enumerate(zip(shares, self._weights, strict=True))
            self._unlike = [place for place, (share, weight) in both if share != weight]
        return self.states[self._round_robin.take(shares)]

    def _is_steady(self, demand: CallDemand, now: float) -> bool:
        shares = self._round_robin.shares
        if not shares or self._strategy.moves_shares:
            return False
        places = (self._round_robin.next(), *self._unlike)
        return all(self._weight(place, demand, now) == shares[place] for place in places)

    def _pass_over(self, places: Iterable[int], weights: Sequence[float], call: CallDemand) -> None:
        for place in places:
            if not weights[place]:
                call.pass_over(self.states[place])

    def weights(self, demand: CallDemand, now: float) -> list[float]:
        """Return the endpoints' weights now: less in a slow start, 0 for one that takes no call."""
        return [self._weight(place, demand, now) for place in range(len(self.states))]

    def _weight(self, place: int, demand: CallDemand, now: float) -> float:
        state = self.states[place]
        takes = state not in demand.excluded and state.takes(demand.tokens_at(state), now)
        return self._weights[place] * state.breaker.share(now) if takes else 0.0

    def shares(self, weights: list[float], now: float) -> list[float]:
        """Return the shares by which the next call is given away, as the strategy makes them."""
        return self._strategy.shares(self.states, weights, now)

    def skip(self, calls: int) -> None:
        """Give away so many calls that nothing makes."""
        for _ in range(calls):
            self.take(self._weights)

    def available_in_s(
        self, demand: CallDemand, now: float, ahead: int = 0, tokens_ahead: int = 0
    ) -> float:
        """Return the seconds until the tier has capacity for a call; infinite: not by itself.

        `ahead`, `tokens_ahead`: the calls before it, which spread evenly over the endpoints.
        """
        states = [
            state
            for state in self.states
            if state not in demand.excluded and (state.alone or state.breaker.admits(now))
        ]
        if not states:
            return inf
        requests = 1 + ceil(ahead / len(states))
        more = tokens_ahead // len(states)
        return min(
            state.available_in_s(demand.tokens_at(state) + more, now, requests) for state in states
        )

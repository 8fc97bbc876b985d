"""The endpoints of a model group: whose turn it is, and who waits while all are full."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from math import ceil, inf, isinf

import msgspec

from llmproxy.calls import Call
from llmproxy.errors import Skipped, UpstreamError
from llmproxy.routing.endpoint import Checkout, EndpointState
from llmproxy.routing.strategies import Price, Strategy
from llmproxy.rules.estimate import Estimator, Size, measure
from llmproxy.rules.line import Line
from llmproxy.rules.retry import RetryBudget
from llmproxy.rules.routing import WeightedRoundRobin

# What a client is told when only breakers are in its way: the next call will probe.
PROBE_HINT_S = 1.0
# Of a crowd of small calls one is measured in so many seconds, while there is plenty for all.
MEASURE_EVERY_S = 0.005
ROUGH_BYTES = 8_192
# Of a long line, the needs of so many are told to the shared view: its grants come in small lots.
TOLD_OF_LINE = 100
# Of the endpoints that took no call, its trace names so many.
MAX_PASSED_OVER = 8


class CallDemand(msgspec.Struct, eq=False):
    """What one call asks of its group. Mutable; owned by the call's attempt loop.

    `tokens`: the estimated input and the output bound, as a vendor charges them on arrival.
    `excluded`: the endpoints that may not serve it now. `passed_over`: some of those that would
    have, if they took calls. `spill_at`: from then on a dearer tier is as good as a cheap one.
    """

    tokens: int = 0
    priority: int = 0
    spill_at: float = 0.0
    excluded: list[EndpointState] = []
    passed_over: list[EndpointState] = []

    @property
    def restricted(self) -> bool:
        """It may not go everywhere. While it waits, that does not change."""
        return bool(self.excluded)

    def pass_over(self, state: EndpointState) -> None:
        """It took no call when it was its checkout."""
        if len(self.passed_over) < MAX_PASSED_OVER and state not in self.passed_over:
            self.passed_over.append(state)


class Tier:
    """Endpoints of equal preference, which share calls as the strategy says."""

    __slots__ = ("_round_robin", "_strategy", "_weights", "states")

    def __init__(self, states: Sequence[EndpointState], strategy: Strategy) -> None:
        self.states = tuple(states)
        self._weights = [float(state.endpoint.weight or 1) for state in states]
        self._strategy = strategy
        self._round_robin = WeightedRoundRobin(len(self.states))

    def choose(self, demand: CallDemand, now: float) -> EndpointState | None:
        """Return the endpoint that is next for a call; None if none takes it."""
        if len(self.states) == 1:
            only = self.states[0]
            if only in demand.excluded:
                return None
            if only.takes(demand.tokens, now):
                return only
            demand.pass_over(only)
            return None
        weights = self.weights(demand, now)
        if 0.0 in weights:
            for state, weight in zip(self.states, weights, strict=True):
                if not weight and state not in demand.excluded:
                    demand.pass_over(state)
            if not any(weights):
                return None
        return self.states[self._round_robin.take(self.shares(weights))]

    def weights(self, demand: CallDemand, now: float) -> list[float]:
        """Return the endpoints' weights now: less in a slow start, 0 for one that takes no call."""
        tokens, excluded = demand.tokens, demand.excluded
        return [
            weight * state.breaker.share(now)
            if state not in excluded and state.takes(tokens, now)
            else 0.0
            for state, weight in zip(self.states, self._weights, strict=True)
        ]

    def shares(self, weights: list[float]) -> list[float]:
        """Return the shares by which the next call is given away, as the strategy makes them."""
        return self._strategy.shares(self.states, weights)

    def skip(self, calls: int) -> None:
        """Give away so many calls that nothing makes."""
        for _ in range(calls):
            self._round_robin.take(self._weights)

    def available_in_s(
        self, demand: CallDemand, now: float, ahead: int = 0, tokens_ahead: int = 0
    ) -> float:
        """Seconds until the tier has room for a call behind so many others, who spread evenly
        over its endpoints; infinite if no endpoint is healthy or will be by itself."""
        states = [
            state
            for state in self.states
            if state not in demand.excluded and (state.alone or state.breaker.admits(now))
        ]
        if not states:
            return inf
        requests = 1 + ceil(ahead / len(states))
        tokens = demand.tokens + tokens_ahead // len(states)
        return min(state.available_in_s(tokens, now, requests) for state in states)


class Group:
    """The endpoints that keep one model group's promise, and the line in front of them.

    `spill_wait_s`: how long a call waits for a cheaper tier before it takes a dearer one.
    """

    __slots__ = (
        "_rough_until",
        "_tokens_a_byte",
        "budget",
        "context_fallbacks",
        "counts_tokens",
        "estimator",
        "fallbacks",
        "in_flight",
        "line",
        "looks",
        "name",
        "probing",
        "spill_wait_s",
        "states",
        "tiers",
    )

    def __init__(
        self,
        name: str,
        states: Sequence[EndpointState],
        strategy: Strategy,
        *,
        spill_wait_s: float = 0.0,
        price: Price,
    ) -> None:
        self.name = name
        self.become(states, strategy, spill_wait_s=spill_wait_s, price=price)
        self.budget = RetryBudget()
        self.estimator = Estimator()
        self._rough_until = 0.0
        self._tokens_a_byte = 0.0
        self.line: Line[CallDemand] = Line()
        self.looks = 0  # at the line, for what other instances may have
        self.in_flight = 0
        self.probing = False
        self.fallbacks: tuple[Group, ...] = ()
        self.context_fallbacks: tuple[Group, ...] = ()

    def become(
        self,
        states: Sequence[EndpointState],
        strategy: Strategy,
        *,
        spill_wait_s: float = 0.0,
        price: Price,
    ) -> None:
        """From now on these endpoints keep the promise, for those who wait, too."""
        self.states = tuple(states)
        self.tiers = [Tier(members, strategy) for members in strategy.tiers(states, price)]
        self.spill_wait_s = spill_wait_s
        # Whether the tokens of a call matter to any endpoint; whoever learns of a limit says so.
        self.counts_tokens = any(state.capacity.counts_tokens for state in states)

    def tokens_of(self, call: Call) -> tuple[int, Size | None]:
        """The tokens of a call as a vendor charges them on arrival, the estimated input and the
        output bound; and what the estimate was made of. 0 and None where nobody counts them."""
        if not self.counts_tokens or not isinstance(call.body, bytes):
            return 0, None
        size = measure(call.body, call.route.path)
        return self.estimator.tokens(size) + (call.max_output_tokens or 0), size

    def rough_tokens_of(self, call: Call, now: float) -> tuple[int, Size | None]:
        """The same in a crowd, where measuring every call is not free: while so much is left that
        it does not matter, small calls are taken for as dense as the last one that was measured.
        """
        body = call.body
        if isinstance(body, bytes) and now < self._rough_until and len(body) <= ROUGH_BYTES:
            return int(len(body) * self._tokens_a_byte) + (call.max_output_tokens or 0), None
        tokens, size = self.tokens_of(call)
        if size is not None and all(each.capacity.has_plenty(tokens) for each in self.states):
            self._rough_until = now + MEASURE_EVERY_S
            self._tokens_a_byte = (tokens - (call.max_output_tokens or 0)) / max(1, size.text_bytes)
        return tokens, size

    def learn_tokens(self, size: Size, input_tokens: int) -> None:
        """What a vendor says that a call's input came to."""
        self.estimator.learn(size, input_tokens)

    def choose(
        self, demand: CallDemand, now: float, ahead: int = 0, tokens_ahead: int = 0
    ) -> EndpointState | None:
        """The next endpoint: the cheapest tier with room, then whose turn it is.

        None also where it is worth waiting a moment for a cheaper tier. `ahead`: calls that come
        first in the cheapest tier.
        """
        for tier in self.tiers:
            if not ahead:
                chosen = tier.choose(demand, now)
                if chosen is not None:
                    return chosen
            patience_s = demand.spill_at - now
            if (
                patience_s > 0
                and tier.available_in_s(demand, now, ahead, tokens_ahead) <= patience_s
            ):
                return None
            ahead = tokens_ahead = 0
        return None

    def randomise_start(self, draw: Callable[[], float]) -> None:
        """Begin the turns somewhere: instances that begin together would go in step."""
        for tier in self.tiers:
            tier.skip(int(draw() * len(tier.states)))

    def take(
        self, demand: CallDemand, now: float, ahead: int = 0, tokens_ahead: int = 0
    ) -> Checkout | None:
        """A checkout for a call, if an endpoint has room for it. `ahead`: as for `choose`."""
        chosen = self.choose(demand, now, ahead, tokens_ahead)
        return None if chosen is None else chosen.begin(demand.tokens, now)

    def take_as_newcomer(self, demand: CallDemand, now: float) -> Checkout | None:
        """A checkout for a call that has not waited: nobody overtakes those who do.

        While they only wait for a cheaper tier, the dearer ones are free for others.
        """
        if not self.line.places:
            return self.take(demand, now)
        ahead, tokens_ahead = self.line.ahead_of(demand.priority)
        if ahead and self.line.first.spill_at <= now:
            return None
        return self.take(demand, now, ahead, tokens_ahead)

    def serve_line(self, now: float) -> Iterator[tuple[CallDemand, Checkout]]:
        """Give turns to those who wait, in their order, as far as there is room."""
        for demand in self.line:
            checkout = self.take(demand, now)
            if checkout is not None:
                self.line.leave(demand)
                yield demand, checkout
            elif not demand.restricted:  # who may not go everywhere holds up nobody else
                return

    def tell_shortage(self, now: float) -> None:
        """Those who wait need capacity that other instances may have to spare.

        Each asks for it at one endpoint at a time, the next one at the next look: what is granted
        and not used is capacity that nobody has.
        """
        for tier in self.tiers:
            sharing = [each for each in tier.states if each.capacity.quota and each.available(now)]
            if not sharing:
                continue
            self.looks += 1
            for place, demand in enumerate(islice(self.line, TOLD_OF_LINE), self.looks):
                sharing[place % len(sharing)].capacity.note_waiting(demand.tokens)
            return

    def unservable(self, now: float) -> list[CallDemand]:
        """Those who wait for endpoints of which none is healthy any more."""
        healthy = any(
            not state.drained and (state.alone or state.breaker.admits(now))
            for state in self.states
        )
        if healthy and not self.line.restricted:
            return []
        doubtful = [demand for demand in self.line if demand.restricted or not healthy]
        return [each for each in doubtful if isinf(self.available_in_s(each, now, newcomer=False))]

    def line_moves_in_s(self, now: float) -> float:
        """Seconds until the line may move by itself: somebody has room, or somebody gives up
        waiting for a cheaper tier. Infinite if nothing but an event can move it."""
        moves_in_s = inf
        for demand in self.line:
            moves_in_s = min(moves_in_s, self._moves_in_s(demand, now))
            if not demand.restricted:
                break
        return moves_in_s

    def available_in_s(self, demand: CallDemand, now: float, *, newcomer: bool) -> float:
        """Seconds until a healthy endpoint has room for a call; infinite if none will by itself.

        `newcomer`: it would stand at the end of the line.
        """
        ahead = self.line.ahead_of(demand.priority) if newcomer else (0, 0)
        return min(tier.available_in_s(demand, now, *ahead) for tier in self.tiers)

    def _moves_in_s(self, demand: CallDemand, now: float) -> float:
        """Seconds until a waiting call may have a checkout. The room of a dearer tier is of no use
        to who waits for a cheaper one (`choose`)."""
        patience_s = demand.spill_at - now
        if patience_s <= 0:
            return self.available_in_s(demand, now, newcomer=False)
        rooms_in_s = [tier.available_in_s(demand, now) for tier in self.tiers]
        soon = (room_in_s for room_in_s in rooms_in_s if room_in_s <= patience_s)
        return next(soon, min(patience_s, *rooms_in_s))

    def soonest(self, useless: Collection[EndpointState], now: float) -> EndpointState | None:
        """Of the endpoints that may still be of use, the one that recovers first."""
        hopeful = [state for state in self.states if state not in useless]
        return min(hopeful, key=lambda state: state.ready_at(now), default=None)

    def recovers_in_s(
        self, useless: Collection[EndpointState], demand: CallDemand, now: float
    ) -> float | None:
        """When to come back, in seconds; None = this call cannot be served here at all.

        Cooldowns and capacity are kept, so their time is the true one; an open breaker is probed
        by the next call.
        """
        hopeful = [state for state in self.states if state not in useless]
        if not hopeful:
            return None
        healthy = [state for state in hopeful if state.alone or state.breaker.admits(now)]
        hopeful = healthy or hopeful
        ahead, tokens_ahead = self.line.ahead_of(demand.priority)
        requests = 1 + ceil(ahead / len(hopeful))
        tokens = demand.tokens + tokens_ahead // len(hopeful)
        returns_in_s = min(_returns_in_s(state, tokens, requests, now) for state in hopeful)
        return None if isinf(returns_in_s) else returns_in_s

    def full(self, demand: CallDemand, now: float) -> bool:
        """It is limits that are in the way: of the endpoints that are not broken, none has room, or
        none for who is not first in line."""
        if self.line.ahead_of(demand.priority)[0] and any(
            each.available(now) for each in self.states
        ):
            return True
        at_a_limit = [
            state.throttled(now)
            or (state.available(now) and state.available_in_s(demand.tokens, now) > 0)
            for state in self.states
        ]
        return any(at_a_limit) and not any(state.takes(demand.tokens, now) for state in self.states)

    def skipped(
        self, failures: Sequence[UpstreamError], demand: CallDemand, now: float
    ) -> list[Skipped]:
        """The endpoints that were not tried, and why."""
        tried = {failure.endpoint for failure in failures}
        return [
            Skipped(state.endpoint.name, state.why_not(demand.tokens, now))
            for state in self.states
            if state.endpoint.name not in tried
        ]


def _returns_in_s(state: EndpointState, tokens: int, requests: int, now: float) -> float:
    wait_s = state.available_in_s(tokens, now, requests)
    return (
        wait_s
        if wait_s > 0 and state.available(max(now, state.cooldown_until))
        else max(wait_s, PROBE_HINT_S)
    )

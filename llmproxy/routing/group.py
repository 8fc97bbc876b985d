"""The endpoints of a model group: which one takes a call, and what happens while all are full."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from math import ceil, inf, isinf
from typing import Any, Protocol

from llmproxy.calls import Accepted, Call
from llmproxy.config import GeneralSettings
from llmproxy.errors import Skipped, UpstreamError
from llmproxy.routing.actions import RoutedCall, Try
from llmproxy.routing.endpoint import Checkout, EndpointState, StateChange
from llmproxy.routing.strategies import Strategy
from llmproxy.routing.tier import CallDemand, Conversation, Tier
from llmproxy.routing.token_estimates import TokenEstimates
from llmproxy.routing.wait_queue import WaitQueue
from llmproxy.rules.retry import RetryBudget

# The hint to a client when only breakers are in its way: the next call will probe.
PROBE_HINT_S = 1.0


class Entrant(Protocol):
    """What a race needs of the call."""

    def make(self, attempt: Try) -> Coroutine[Any, Any, Accepted]:
        """Make an attempt. Raises UpstreamError."""

    def failed(self, attempt: Try, failure: UpstreamError) -> None:
        """Report that an attempt failed."""

    def next_hedge(self) -> Try | None:
        """Return an attempt to make beside the one under way; None if there is none now."""

    def hedge_in_s(self) -> float | None:
        """Return after how many seconds the only attempt under way may be hedged; None: never."""

    def won(self, attempt: Try) -> None:
        """Note which attempt was accepted first."""


class Hedging(Protocol):
    """When a call of a group gets a hedge: a second attempt beside one at a silent endpoint."""

    def adopt(self, settings: GeneralSettings, states: Collection[EndpointState]) -> None:
        """Serve the endpoints of a config from now on. What is known of them stays."""

    def after_s(self, call: RoutedCall, attempt: Try, *, is_first: bool) -> float | None:
        """Return after how many seconds of silence an attempt may be hedged; None: not at all.

        `is_first`: it is the call's first attempt, and counts for the budget.
        """

    def begin(
        self,
        group: Group,
        demand: CallDemand,
        silent: Try,
        useless: Collection[EndpointState],
        now: float,
    ) -> Try | None:
        """Begin an attempt at another endpoint; None if none has capacity or no budget is left."""

    def answered(self, call: RoutedCall, attempt: Try, now: float) -> None:
        """Learn how soon an endpoint's answer began."""

    def outrun(self, call: RoutedCall, attempt: Try, now: float, draw: float) -> list[StateChange]:
        """Judge an endpoint whose attempt was given up, because another was accepted first."""

    def race(
        self, entrant: Entrant, first: Try, hedge_at: float
    ) -> Coroutine[Any, Any, Accepted | None]:
        """Make an attempt, and hedges from a moment on. Return what was accepted first, after
        `entrant.won`; None if all have failed.

        When it ends, all but the winner have ended, and their connections are closed.
        """


# Returns what is known of the conversation of a call.
Affinity = Callable[[Call], Conversation]


class Group:
    """The endpoints behind one model group, and the queue in front of them.

    `spill_wait_s`: how long a call waits for a cheaper tier before it takes an expensive one.
    `in_flight`: the calls that are in the group, waiting ones included. `takes_client_keys`: some
    endpoint has no credential, and gets that of the client. `hedging`: None = a silent
    endpoint is waited for, also because there is no other.
    """

    __slots__ = (
        "affinity",
        "budget",
        "estimates",
        "hedging",
        "in_flight",
        "name",
        "queue",
        "spill_wait_s",
        "states",
        "takes_client_keys",
        "tiers",
    )

    def __init__(self, name: str, estimates: TokenEstimates) -> None:
        self.name = name
        self.budget = RetryBudget()
        self.hedging: Hedging | None = None
        self.affinity: Affinity | None = None  # None: no call prefers an endpoint
        self.estimates = estimates
        self.queue = WaitQueue()
        self.in_flight = 0
        self.states: tuple[EndpointState, ...] = ()
        self.takes_client_keys = False
        self.tiers: list[Tier] = []
        self.spill_wait_s = 0.0

    def update(
        self, states: Sequence[EndpointState], strategy: Strategy, *, spill_wait_s: float
    ) -> None:
        """Set the endpoints, for the waiting calls, too."""
        self.states = tuple(states)
        self.takes_client_keys = not all(state.endpoint.has_own_credential for state in states)
        strategy.adopt(states)
        self.tiers = [Tier(members, strategy) for members in strategy.tiers(states)]
        self.spill_wait_s = spill_wait_s
        self.estimates.needed = any(state.capacity.counts_tokens for state in states)

    def choose(
        self, demand: CallDemand, now: float, ahead: int = 0, tokens_ahead: int = 0
    ) -> EndpointState | None:
        """Return the next endpoint for a call, in the cheapest tier that has capacity.

        None also where waiting a moment for a cheaper tier is worth it. `ahead`: calls that come
        first in the cheapest tier.
        """
        turn, tiers = demand.conversation, self.tiers
        if turn and len(tiers) > 1 and not ahead and (cached := turn.dearer(tiers, demand, now)):
            return cached
        for tier in tiers:
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

    def with_failures(self) -> list[EndpointState]:
        """Return the endpoints that were ever set aside, or whose breaker is not closed.

        The others are healthy: whoever looks at all from time to time need not ask these more.
        """
        return [s for s in self.states if s.cooldown_until or not s.breaker.closed]

    def randomise_start(self, draw: Callable[[], float]) -> None:
        """Start the round robin anywhere: instances that start together must not go in step."""
        for tier in self.tiers:
            tier.skip(int(draw() * len(tier.states)))

    def take(
        self, demand: CallDemand, now: float, ahead: int = 0, tokens_ahead: int = 0
    ) -> Checkout | None:
        """Return a checkout, if an endpoint has capacity for the call. `ahead`: as for `choose`."""
        chosen = self.choose(demand, now, ahead, tokens_ahead)
        return None if chosen is None else chosen.begin(demand.tokens_at(chosen), now)

    def take_as_newcomer(self, demand: CallDemand, now: float) -> Checkout | None:
        """Return a checkout for a call that has not waited; it does not overtake those that do.

        While these only wait for a cheaper tier, the expensive ones are free for others.
        """
        if not self.queue.waiters:
            chosen = self.choose(demand, now)
            return None if chosen is None else chosen.begin(demand.tokens_at(chosen), now)
        ahead, tokens_ahead = self.queue.position(demand.priority)
        if ahead and self.queue.first.spill_at <= now:
            return None
        return self.take(demand, now, ahead, tokens_ahead)

    def serve_queue(self, now: float) -> Iterator[tuple[CallDemand, Checkout]]:
        """Give checkouts to waiting calls, in their order, as far as there is capacity."""
        for demand in self.queue:
            checkout = self.take(demand, now)
            if checkout is not None:
                self.queue.leave(demand)
                yield demand, checkout
            elif not demand.restricted:  # a restricted call does not hold up the others
                return

    def unservable(self, now: float) -> list[CallDemand]:
        """Return the waiting calls whose endpoints are all unhealthy now."""
        healthy = any(
            not state.drained and (state.alone or state.breaker.admits(now))
            for state in self.states
        )
        doubtful = [demand for demand in self.queue if demand.restricted or not healthy]
        return [
            demand for demand in doubtful if isinf(self.available_in_s(demand, now, newcomer=False))
        ]

    def queue_moves_in_s(self, now: float) -> float:
        """Return the seconds until a waiting call may be served without an event.

        An endpoint gets capacity by then, or a call stops waiting for a cheaper tier.
        """
        moves_in_s = inf
        for demand in self.queue:
            moves_in_s = min(moves_in_s, self._moves_in_s(demand, now))
            if not demand.restricted:
                break
        return moves_in_s

    def available_in_s(self, demand: CallDemand, now: float, *, newcomer: bool) -> float:
        """Return the seconds until an endpoint has capacity for a call; infinite: not by itself.

        `newcomer`: the call would be at the end of the queue.
        """
        ahead = self.queue.position(demand.priority) if newcomer else (0, 0)
        return min(tier.available_in_s(demand, now, *ahead) for tier in self.tiers)

    def _moves_in_s(self, demand: CallDemand, now: float) -> float:
        """Return the seconds until a waiting call may get a checkout.

        Capacity of an expensive tier is of no use to a call that waits for a cheaper one.
        """
        patience_s = demand.spill_at - now
        if patience_s <= 0:
            return self.available_in_s(demand, now, newcomer=False)
        tiers_in_s = [tier.available_in_s(demand, now) for tier in self.tiers]
        soon = (tier_in_s for tier_in_s in tiers_in_s if tier_in_s <= patience_s)
        return next(soon, min(patience_s, *tiers_in_s))

    def recovers_in_s(
        self, useless: Collection[EndpointState], demand: CallDemand, now: float
    ) -> float | None:
        """Return in how many seconds a retry may succeed; None if this call cannot be served here.

        Cooldowns and limits end at a known time; an open breaker is probed by the next call.
        """
        hopeful = [state for state in self.states if state not in useless]
        if not hopeful:
            return None
        hopeful = [s for s in hopeful if s.alone or s.breaker.admits(now)] or hopeful
        ahead, tokens_ahead = self.queue.position(demand.priority)
        requests = 1 + ceil(ahead / len(hopeful))
        more = tokens_ahead // len(hopeful)
        returns_in_s = min(
            _returns_in_s(state, demand.tokens_at(state) + more, requests, now) for state in hopeful
        )
        return None if isinf(returns_in_s) else returns_in_s

    def full(self, demand: CallDemand, now: float) -> bool:
        """Whether limits are in the way: healthy endpoints are full, or others wait already."""
        if self.queue.position(demand.priority)[0] and any(
            state.available(now) for state in self.states
        ):
            return True
        at_a_limit = [
            state.throttled(now)
            or (state.available(now) and state.available_in_s(demand.tokens_at(state), now) > 0)
            for state in self.states
        ]
        return any(at_a_limit) and not any(
            state.takes(demand.tokens_at(state), now) for state in self.states
        )

    def skipped(
        self, failures: Sequence[UpstreamError], demand: CallDemand, now: float
    ) -> list[Skipped]:
        """Return the endpoints that were not tried, and why."""
        tried = {failure.endpoint for failure in failures}
        return [
            Skipped(state.endpoint.name, state.why_not(demand.tokens_at(state), now))
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

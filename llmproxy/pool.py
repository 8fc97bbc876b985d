"""The endpoints' state: breaker, cooldown, calls in flight; and who is next.

The pool is the one owner of that state. It decides nothing about failures (rules/retry.py does)
and does no I/O; `now` is seconds on the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from llmproxy.calls import Call
from llmproxy.errors import ClientError, Skipped, Throttled, UpstreamError
from llmproxy.providers.base import Endpoint
from llmproxy.rules.breaker import Breaker
from llmproxy.rules.retry import RetryBudget
from llmproxy.rules.routing import Turns, least_busy

# What a client is told when only breakers are in its way: the next call will probe.
PROBE_HINT_S = 1.0

Strategy = Literal["weighted", "least_busy"]


class EndpointState:
    """One endpoint in one group, as it is now. Mutable; owned by its Group."""

    __slots__ = ("alone", "breaker", "cooldown_until", "cooldown_why", "endpoint", "in_flight")

    def __init__(self, endpoint: Endpoint, breaker: Breaker, *, alone: bool) -> None:
        self.endpoint = endpoint
        self.breaker = breaker
        self.alone = alone
        self.cooldown_until = 0.0
        self.cooldown_why = ""
        self.in_flight = 0

    def available(self, now: float) -> bool:
        """May a call go here now? The only endpoint of a group is never shut by its breaker:
        with nowhere else to go, trying beats failing."""
        return self.cooldown_until <= now and (self.alone or self.breaker.admits(now))

    def ready_at(self, now: float) -> float:
        """When it may be available again, on the clock of `now`."""
        opens = now if self.alone else self.breaker.opens_until(now)
        return max(self.cooldown_until, opens, now)

    def why_not(self, now: float) -> str:
        """Why it is not available, in words for the client and the log."""
        if self.cooldown_until > now:
            return f"{self.cooldown_why}, cooling down for {self.cooldown_until - now:.1f} s more"
        if self.available(now):
            return "no attempt was left for it"
        wait_s = self.breaker.opens_until(now) - now
        if wait_s > 0:
            return f"breaker open for {wait_s:.1f} s more"
        return "breaker half-open, a probe is under way"

    def cool(self, until: float, why: str) -> None:
        """Leave it alone until then. Never shortens a cooldown."""
        if until > self.cooldown_until:
            self.cooldown_until = until
            self.cooldown_why = why

    def begin(self, now: float) -> int:
        """An attempt starts here; returns the ticket that its end must show."""
        self.in_flight += 1
        return self.breaker.begin(now)

    def answered(self, now: float, ticket: int) -> bool:
        """The attempt was accepted; returns whether the endpoint is back from a failure."""
        return self.breaker.succeed(now, ticket)

    def fail(self, now: float, ticket: int, draw: float) -> None:
        """The attempt failed, and it was the endpoint's fault."""
        self.breaker.fail(now, ticket, draw)

    def forget(self, now: float, ticket: int) -> None:
        """The attempt told nothing about the endpoint's health."""
        self.breaker.forget(now, ticket)

    def leave(self) -> None:
        """The attempt is over."""
        self.in_flight -= 1


class Tier:
    """Endpoints of equal preference, taking turns by weight."""

    __slots__ = ("_strategy", "_turns", "_weights", "states")

    def __init__(self, states: Sequence[EndpointState], strategy: Strategy) -> None:
        self.states = tuple(states)
        self._weights = [float(state.endpoint.weight or 1) for state in states]
        self._strategy = strategy
        self._turns = Turns(len(self.states))

    def choose(self, tried: Collection[EndpointState], now: float) -> EndpointState | None:
        """Whose turn it is among the available ones that were not tried; None if there is none."""
        if len(self.states) == 1:
            only = self.states[0]
            return only if only not in tried and only.available(now) else None
        shares = [
            weight * state.breaker.share(now)
            if state.available(now) and state not in tried
            else 0.0
            for state, weight in zip(self.states, self._weights, strict=True)
        ]
        if not any(shares):
            return None
        if self._strategy == "least_busy":
            shares = least_busy([state.in_flight for state in self.states], shares)
        return self.states[self._turns.take(shares)]


class Group:
    """The endpoints that keep one model group's promise."""

    __slots__ = ("budget", "in_flight", "name", "probing", "states", "tiers")

    def __init__(self, name: str, states: Sequence[EndpointState], strategy: Strategy) -> None:
        self.name = name
        self.states = tuple(states)
        self.tiers = [Tier(members, strategy) for members in _by_preference(states)]
        self.budget = RetryBudget()
        self.in_flight = 0
        self.probing = False

    def choose(self, tried: Collection[EndpointState], now: float) -> EndpointState | None:
        """The next endpoint: the lowest tier with room, then whose turn it is."""
        for tier in self.tiers:
            chosen = tier.choose(tried, now)
            if chosen is not None:
                return chosen
        return None

    def soonest(self, useless: Collection[EndpointState], now: float) -> EndpointState | None:
        """Of the endpoints that may still be of use, the one that recovers first."""
        hopeful = [state for state in self.states if state not in useless]
        return min(hopeful, key=lambda state: state.ready_at(now), default=None)

    def recovers_in_s(self, useless: Collection[EndpointState], now: float) -> float | None:
        """When to come back, in seconds; None = this call cannot be served here at all.

        A cooldown was asked for and is kept; an open breaker is probed by the next call.
        """
        hopeful = [state.cooldown_until - now for state in self.states if state not in useless]
        return max(min(hopeful), PROBE_HINT_S) if hopeful else None

    def all_throttled(self, now: float) -> bool:
        """Every endpoint has said that we are too fast."""
        return all(
            state.cooldown_until > now and state.cooldown_why == Throttled.reason
            for state in self.states
        )

    def skipped(self, failures: Sequence[UpstreamError], now: float) -> list[Skipped]:
        """The endpoints that were not tried, and why."""
        tried = {failure.endpoint for failure in failures}
        return [
            Skipped(state.endpoint.name, state.why_not(now))
            for state in self.states
            if state.endpoint.name not in tried
        ]


def _by_preference(states: Sequence[EndpointState]) -> list[list[EndpointState]]:
    """Tiers in order; endpoints of weight 0 behind all others, as the last resort."""
    tiers: dict[tuple[bool, int], list[EndpointState]] = {}
    for state in states:
        key = (state.endpoint.weight == 0, state.endpoint.tier)
        tiers.setdefault(key, []).append(state)
    return [tiers[key] for key in sorted(tiers)]


class Pool:
    """Every group by its name; `*` serves the names that no other group has."""

    WILDCARD = "*"

    def __init__(self, groups: dict[str, Group]) -> None:
        self.groups = groups

    def group_for(self, call: Call) -> Group:
        """The group that a call is for. Raises ClientError if there is none."""
        group = self.groups.get(call.model) if call.model is not None else None
        if group is None:
            group = self.groups.get(self.WILDCARD) or self._without_wildcard(call)
        if len(group.states) > 1 and call.account_bound:
            raise ClientError(
                f"This {call.method} /{call.route.operation} uses ids that live in one account, "
                f"and the model group '{group.name}' has {len(group.states)} endpoints. This "
                "version cannot tell which one is meant: give such calls a group with a single "
                "endpoint.",
                status=501,
                code="account_bound_path",
            )
        return group

    def _without_wildcard(self, call: Call) -> Group:
        names = ", ".join(self.groups)
        if call.model is not None:
            raise ClientError(
                f"The model '{call.model}' does not exist here. This proxy serves: {names}.",
                status=404,
                code="model_not_found",
                param="model",
            )
        if call.account_bound or call.method in ("GET", "HEAD", "DELETE"):
            if len(self.groups) == 1:
                return next(iter(self.groups.values()))
            raise ClientError(
                f"{call.method} /{call.route.operation} names no model, and this proxy has several "
                f"model groups ({names}) but none called '*', which serves such calls.",
                status=501,
                code="account_bound_path",
            )
        raise ClientError(
            f"You must provide a model parameter. This proxy serves: {names}.", param="model"
        )

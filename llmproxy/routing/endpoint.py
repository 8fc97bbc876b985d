"""One endpoint as it is now, and a call's checkout at it."""

from __future__ import annotations

from math import inf

import msgspec

from llmproxy.calls import RateLimits
from llmproxy.errors import Throttled, UpstreamError
from llmproxy.events import EndpointChange
from llmproxy.providers.base import Endpoint
from llmproxy.rules.breaker import Breaker
from llmproxy.rules.capacity import Capacity, Reservation
from llmproxy.rules.retry import Judgement

DRAINED = "drained by the operator"


class EndpointState:
    """One endpoint in one group. Mutable; owned by its Group.

    `alone`: the group has no other. Its capacity may be shared with endpoints of other groups that
    are the same place.
    """

    __slots__ = (
        "alone",
        "breaker",
        "capacity",
        "cooldown_until",
        "cooldown_why",
        "endpoint",
        "failed_why",
        "in_flight",
        "learns_limits",
    )

    def __init__(
        self, endpoint: Endpoint, breaker: Breaker, capacity: Capacity, *, alone: bool
    ) -> None:
        self.breaker = breaker
        self.capacity = capacity
        self.become(endpoint, alone=alone)
        self.cooldown_until = 0.0
        self.cooldown_why = ""
        self.failed_why = ""  # the last failure that its breaker was told of
        self.in_flight = 0

    def become(self, endpoint: Endpoint, *, alone: bool) -> None:
        """The same place, of which the config says other things: its weight, its price."""
        self.endpoint = endpoint
        self.alone = alone
        # Limits belong to a credential and a model. Where the client brings either, what one
        # answer says of them is not true of the next call.
        self.learns_limits = endpoint.has_own_credential and endpoint.model is not None

    def available(self, now: float) -> bool:
        """Is it healthy? The only endpoint of a group is never shut by its breaker: with nowhere
        else to go, trying beats failing."""
        return self.cooldown_until <= now and (self.alone or self.breaker.admits(now))

    def takes(self, tokens: int, now: float) -> bool:
        """May a call with so many tokens go here now: healthy, and not full?"""
        if self.cooldown_until > now or not (self.alone or self.breaker.admits(now)):
            return False
        capacity = self.capacity
        return not capacity.bounded or capacity.has_room(tokens, now)

    def available_in_s(self, tokens: int, now: float, requests: int = 1) -> float:
        """Seconds until cooldown and capacity let so many calls with so many tokens in all go
        here; the breaker does not count."""
        wait_s = max(0.0, self.cooldown_until - now)
        if self.capacity.bounded:
            wait_s = max(wait_s, self.capacity.wait_s(tokens, now, requests))
        return wait_s

    def ready_at(self, now: float) -> float:
        """When it may be healthy again, on the clock of `now`."""
        opens = now if self.alone else self.breaker.opens_until(now)
        return max(self.cooldown_until, opens, now)

    def throttled(self, now: float) -> bool:
        """It has said that we are too fast, and its time is not over."""
        return self.cooldown_until > now and self.cooldown_why == Throttled.reason

    def why_not(self, tokens: int, now: float) -> str:
        """Why it does not take a call, in words for the client and the log."""
        if self.drained:
            return DRAINED
        if self.cooldown_until > now:
            return f"{self.cooldown_why}, cooling down for {self.cooldown_until - now:.1f} s more"
        if not self.available(now):
            wait_s = self.breaker.opens_until(now) - now
            if wait_s > 0:
                cause = f"{self.failed_why}, " if self.failed_why else ""
                return f"{cause}breaker open for {wait_s:.1f} s more"
            return "breaker half-open, a probe is under way"
        wait_s = self.available_in_s(tokens, now)
        return f"full for {wait_s:.1f} s more" if wait_s > 0 else "no attempt was left for it"

    def cool(self, until: float, why: str) -> None:
        """Leave it alone until then. Never shortens a cooldown."""
        if until > self.cooldown_until:
            self.cooldown_until = until
            self.cooldown_why = why

    @property
    def drained(self) -> bool:
        """The operator wants no attempts here: a cooldown without an end."""
        return self.cooldown_until == inf

    def drain(self) -> None:
        """No attempts from now on; those under way end as they would."""
        self.cool(inf, DRAINED)

    def enable(self) -> None:
        """Undo a drain."""
        if self.drained:
            self.cooldown_until = 0.0

    def clear(self, now: float) -> None:
        """Forget that it failed or was too busy; a drain stays."""
        if not self.drained:
            self.cooldown_until = 0.0
        self.breaker.close_elsewhere(now)

    def begin(self, tokens: int, now: float) -> Checkout:
        """A call's checkout: whoever takes it ends it."""
        self.in_flight += 1
        return Checkout(self, self.breaker.begin(now), self.capacity.reserve(tokens, now))


class Checkout(msgspec.Struct, eq=False):
    """A call's checkout at an endpoint: its capacity is reserved, and the breaker knows of it.

    One of `answered`, `failed` and `says_nothing` tells the breaker (and `failed` may follow on
    `answered` when a stream breaks); then `end`, once.
    """

    state: EndpointState
    _ticket: int
    _reservation: Reservation

    def answered(self, now: float) -> bool:
        """The attempt was accepted; returns whether the endpoint is back from a failure."""
        self.state.capacity.answered()
        return self.state.breaker.succeed(now, self._ticket)

    def failed(self, now: float, draw: float) -> None:
        """The attempt failed, and it was the endpoint's fault."""
        self.state.breaker.fail(now, self._ticket, draw)

    def says_nothing(self, now: float) -> None:
        """The attempt told nothing about the endpoint's health."""
        self.state.breaker.forget(now, self._ticket)

    @property
    def wants_report(self) -> bool:
        """Whether the answer's headers may tell something new of the endpoint's limits."""
        state = self.state
        return state.learns_limits and state.capacity.needs_headers(self._reservation)

    def learn(self, told: RateLimits) -> None:
        """What the answer's headers say of the endpoint's limits."""
        self.state.capacity.learn(self._reservation, told)

    def end(self, now: float, *, used_tokens: int | None = None, sent: bool = True) -> None:
        """The attempt is over. `sent`: the endpoint may have charged it."""
        self.state.in_flight -= 1
        if sent:
            self.state.capacity.settle(self._reservation, used_tokens, now)
        else:
            self.state.capacity.give_back(self._reservation, now)


class StateChange(msgspec.Struct, frozen=True):
    """An endpoint left the healthy state or came back. `for_s`: for so long, if that is known."""

    state: EndpointState
    what: EndpointChange
    why: str
    for_s: float | None = None


def fail_breaker(
    checkout: Checkout, failure: UpstreamError, now: float, draw: float
) -> list[StateChange]:
    """Count a failure against the endpoint's health."""
    state = checkout.state
    before = state.breaker.state(now)
    checkout.failed(now, draw)
    state.failed_why = failure.reason
    after = state.breaker.state(now)
    if after is before:
        return []
    open_s = state.breaker.opens_until(now) - now
    return [StateChange(state, EndpointChange(after.value), failure.message, open_s)]


def cool_after(
    state: EndpointState, failure: UpstreamError, judgement: Judgement, seconds: float, now: float
) -> list[StateChange]:
    """Leave an endpoint alone for so many seconds; a change only if it was not cooling already."""
    was_cooling = state.cooldown_until > now
    state.cool(now + seconds, failure.reason)
    if isinstance(failure, Throttled):
        state.capacity.throttled()
    if judgement.slow_start:
        state.breaker.slow_down(now + seconds)
    if was_cooling:
        return []
    what = EndpointChange.MISCONFIGURED if judgement.loud else EndpointChange.COOLING
    return [StateChange(state, what, failure.message, seconds)]

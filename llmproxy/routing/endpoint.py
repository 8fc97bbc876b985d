"""The state of one endpoint, and a call's checkout of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from math import inf
from typing import assert_never

import msgspec

from llmproxy.errors import (
    CredentialRejected,
    Misconfigured,
    QuotaExhausted,
    Throttled,
    UpstreamError,
)
from llmproxy.events import EndpointChange, EndpointStateChanged
from llmproxy.operations.rate_limits import RateLimits
from llmproxy.providers.base import Endpoint
from llmproxy.rules.breaker import Breaker, BreakerState
from llmproxy.rules.capacity import Capacity, Reservation

DRAINED = "drained by the operator"
NEEDS_A_PERSON = frozenset((CredentialRejected.reason, Misconfigured.reason, QuotaExhausted.reason))


class AvailabilityKind(StrEnum):
    """Why an endpoint does not take a call; the first that applies, in this order."""

    DRAINED = "drained"  # by the operator
    COOLING = "cooling"
    OPEN = "open"  # its breaker
    PROBED = "probed"  # its breaker is half-open, and the probe is under way
    FULL = "full"  # its limits leave no capacity
    AVAILABLE = "available"


class Availability(msgspec.Struct, frozen=True):
    """Whether an endpoint takes a call.

    `seconds`: how long it does not, as far as that is known; infinite if nothing ends it by itself.
    `cause`: the failure behind it, such as `throttled`; "" without one. A half-open breaker has one
    even if it takes the call.
    """

    kind: AvailabilityKind
    seconds: float = 0.0
    cause: str = ""

    @property
    def text(self) -> str:
        """The same, for the client and the log."""
        cause = f"{self.cause}, " if self.cause else ""
        match self.kind:
            case AvailabilityKind.DRAINED:
                return DRAINED
            case AvailabilityKind.COOLING:
                return f"{cause}cooling down for {self.seconds:.1f} s more"
            case AvailabilityKind.OPEN:
                return f"{cause}breaker open for {self.seconds:.1f} s more"
            case AvailabilityKind.PROBED:
                return "breaker half-open, a probe is under way"
            case AvailabilityKind.FULL:
                return f"full for {self.seconds:.1f} s more"
            case AvailabilityKind.AVAILABLE:
                return "not retried yet"
            case _:
                assert_never(self.kind)


class Past:
    """What an endpoint's earlier attempts came to. Mutable.

    `served_at`: its last answer. `failed_at`, `failed_why`: the last failure that its breaker
    counted. `refusal`: the last one that a person must mend, such as a refused key. `suspected_at`:
    when the log last said that it looks misconfigured.
    """

    __slots__ = ("failed_at", "failed_why", "refusal", "served_at", "suspected_at")

    def __init__(self) -> None:
        self.failed_at = 0.0
        self.failed_why = ""
        self.refusal: UpstreamError | None = None
        self.served_at = self.suspected_at = -inf


class EndpointState:
    """One endpoint in one group. Mutable; owned by its Group.

    `alone`: the group has no other. Endpoints of other groups that are the same account share its
    capacity. `same_key`: the endpoints of all groups that have its address and credential.
    `checkout` makes its checkouts; a strategy may replace it to measure attempts.
    """

    __slots__ = (
        "alone",
        "breaker",
        "capacity",
        "checkout",
        "cooldown_until",
        "cooldown_why",
        "endpoint",
        "in_flight",
        "learns_limits",
        "past",
        "same_key",
    )

    def __init__(
        self, endpoint: Endpoint, breaker: Breaker, capacity: Capacity, *, alone: bool
    ) -> None:
        self.breaker = breaker
        self.capacity = capacity
        self.update(endpoint, alone=alone)
        self.cooldown_until = 0.0
        self.cooldown_why = ""
        self.in_flight = 0
        self.past = Past()
        self.same_key: Sequence[EndpointState] = ()
        self.checkout: Callable[[EndpointState, int, Reservation, float], Checkout] = Checkout

    def update(self, endpoint: Endpoint, *, alone: bool) -> None:
        """Replace the endpoint by the same place with another config: its weight, its price."""
        self.endpoint = endpoint
        self.alone = alone
        # Limits belong to a credential and a model. If the client brings either, the limits that
        # one answer reports do not hold for the next call.
        self.learns_limits = endpoint.has_own_credential and endpoint.model is not None

    def available(self, now: float) -> bool:
        """Return whether it is healthy. A breaker never shuts a group's only endpoint: trying it
        beats failing."""
        return self.cooldown_until <= now and (self.alone or self.breaker.admits(now))

    def takes(self, tokens: int, now: float) -> bool:
        """Return whether it takes a call with so many tokens: it is healthy and not full."""
        if self.cooldown_until > now or not (self.alone or self.breaker.admits(now)):
            return False
        capacity = self.capacity
        return not capacity.bounded or capacity.has_room(tokens, now)

    def available_in_s(self, tokens: int, now: float, requests: int = 1) -> float:
        """Return the seconds until cooldown and capacity admit so many calls with so many tokens
        in all. The breaker is not considered."""
        wait_s = max(0.0, self.cooldown_until - now)
        if self.capacity.bounded:
            wait_s = max(wait_s, self.capacity.wait_s(tokens, now, requests))
        return wait_s

    def ready_at(self, now: float) -> float:
        """Return when it may be healthy again, on the clock of `now`."""
        opens = now if self.alone else self.breaker.opens_until(now)
        return max(self.cooldown_until, opens, now)

    def throttled(self, now: float) -> bool:
        """Return whether it cools down after a 429."""
        return self.cooldown_until > now and self.cooldown_why == Throttled.reason

    def refusal(self, now: float) -> UpstreamError | None:
        """Return the failure for which it is set aside until a person acts; None if it is not, or
        if another process found it."""
        refusal = self.past.refusal
        if refusal is None or self.cooldown_until <= now or self.cooldown_why != refusal.reason:
            return None
        return refusal

    def is_refused_by_hearsay(self, now: float) -> bool:
        """Return whether another process found that a person must act. Its words are unknown."""
        if self.cooldown_until <= now or self.drained or self.refusal(now) is not None:
            return False
        return self.cooldown_why in NEEDS_A_PERSON

    def is_set_aside(self, now: float) -> bool:
        """Return whether a person had to act, and nothing has shown since that one did.

        When its time is over it is tried, but it is not known to be well.
        """
        until = self.cooldown_until
        is_refused = self.cooldown_why in NEEDS_A_PERSON and 0.0 < until < inf
        return is_refused and (now < until or self.past.served_at < until)

    def why_not(self, tokens: int, now: float) -> str:
        """Return why it does not take a call, for the client and the log."""
        return self.availability(tokens, now).text

    def availability(self, tokens: int, now: float) -> Availability:
        """Return whether it takes a call with so many tokens, and why not and for how long."""
        if self.drained:
            return Availability(AvailabilityKind.DRAINED, inf)
        if self.cooldown_until > now:
            cooling_s = self.cooldown_until - now
            return Availability(AvailabilityKind.COOLING, cooling_s, self.cooldown_why)
        if not self.available(now):
            open_s = self.breaker.opens_until(now) - now
            if open_s > 0:
                return Availability(AvailabilityKind.OPEN, open_s, self.past.failed_why)
            return Availability(AvailabilityKind.PROBED, 0.0, self.past.failed_why)
        full_s = self.available_in_s(tokens, now)
        kind = AvailabilityKind.FULL if full_s > 0 else AvailabilityKind.AVAILABLE
        if not self.alone and self.breaker.state(now) is not BreakerState.CLOSED:
            return Availability(kind, full_s, self.past.failed_why)
        return Availability(kind, full_s, self.cooldown_why if self.is_set_aside(now) else "")

    def cool(self, until: float, why: str) -> None:
        """Start a cooldown until then. Never shortens one."""
        if until > self.cooldown_until:
            self.cooldown_until = until
            self.cooldown_why = why

    @property
    def drained(self) -> bool:
        """Whether the operator took it out of service: a cooldown without an end."""
        return self.cooldown_until == inf

    def drain(self) -> None:
        """Begin no more attempts here; those under way go on."""
        self.cool(inf, DRAINED)

    def enable(self) -> None:
        """Undo a drain."""
        if self.drained:
            self.cooldown_until = 0.0

    def clear(self, now: float) -> None:
        """End its cooldown, close its breaker, forget learned limits; a drain stays."""
        if not self.drained:
            self.cooldown_until = 0.0
        self.breaker.close_elsewhere(now)
        self.capacity.forget_learned()

    def begin(self, tokens: int, now: float) -> Checkout:
        """Check it out for a call. The caller ends the checkout."""
        self.in_flight += 1
        return self.checkout(self, self.breaker.begin(now), self.capacity.reserve(tokens, now), now)


class Checkout(msgspec.Struct, eq=False):
    """One attempt's hold on an endpoint: reserved capacity, and a ticket of its breaker.

    Report one of `answered`, `failed` and `says_nothing` (`failed` may follow `answered` when a
    stream breaks), and call `end` once.
    """

    state: EndpointState
    _ticket: int
    _reservation: Reservation
    began_at: float

    def answered(self, now: float) -> bool:
        """Count an accepted attempt; returns whether the endpoint is back from a failure."""
        self.state.capacity.answered()
        self.state.past.served_at = now
        return self.state.breaker.succeed(now, self._ticket)

    def failed(self, now: float, draw: float) -> None:
        """Count a failure of the endpoint."""
        self.state.breaker.fail(now, self._ticket, draw)

    def says_nothing(self, now: float) -> None:
        """Count nothing: the attempt says nothing about the endpoint's health."""
        self.state.breaker.forget(now, self._ticket)

    @property
    def wants_report(self) -> bool:
        """Whether the answer's headers may hold news about the endpoint's limits."""
        state = self.state
        return state.learns_limits and state.capacity.needs_headers(self._reservation)

    def learn(self, limits: RateLimits) -> None:
        """What the answer's headers say of the endpoint's limits."""
        self.state.capacity.learn(self._reservation, limits)

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

    def event(self, group: str) -> EndpointStateChanged:
        """Return the event that reports it. `group`: the endpoint's."""
        name = self.state.endpoint.name
        return EndpointStateChanged(group, name, self.what, self.why, self.for_s)


def fail_breaker(
    checkout: Checkout, failure: UpstreamError, now: float, draw: float
) -> list[StateChange]:
    """Count an attempt's failure against the endpoint's health."""
    before = checkout.state.breaker.state(now)
    checkout.failed(now, draw)
    return note_failure(checkout.state, failure, before, now)


def note_failure(
    state: EndpointState, failure: UpstreamError, before: BreakerState, now: float
) -> list[StateChange]:
    """Remember a failure that the breaker has counted. `before`: its state until then."""
    state.past.failed_at, state.past.failed_why = now, failure.reason
    after = state.breaker.state(now)
    if after is before:
        return []
    open_s = state.breaker.opens_until(now) - now
    return [StateChange(state, EndpointChange(after.value), failure.message, open_s)]

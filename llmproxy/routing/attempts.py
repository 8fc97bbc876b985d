"""What a call does next in its group: the state machine behind failover and `llmproxy simulate`.

`Attempts` has no clock, no random source, no I/O and no events. `now` (seconds, monotonic) and
`draw` (a random number in [0, 1)) are arguments; what happened is returned. A driver asks `next`
what to do, does it, and reports how it went. pipeline/failover drives it with asyncio,
tools/simulate from a heap of simulated moments.
"""

from __future__ import annotations

from enum import StrEnum
from math import isinf

import msgspec

from llmproxy.errors import NoEndpoint, StreamBroken, TimedOut, UpstreamError
from llmproxy.events import EndpointChange
from llmproxy.operations.rate_limits import RateLimits
from llmproxy.routing.actions import (
    Action,
    AttemptPolicy,
    Failed,
    GiveUp,
    Pause,
    RoutedCall,
    Try,
    WaitInLine,
)
from llmproxy.routing.endpoint import (
    Checkout,
    EndpointState,
    StateChange,
    cool_after,
    fail_breaker,
)
from llmproxy.routing.exhausted import no_endpoint_error, what_came
from llmproxy.routing.group import Group
from llmproxy.routing.tier import CallDemand
from llmproxy.rules.retry import Judgement, backoff_s, judge, passes_unchanged
from llmproxy.steps import Verdict

# All pauses of a call together, between its attempts and before a probe, last no longer.
MAX_PAUSES_S = 10.0
# While another call probes the group, look again this often (jittered).
PROBE_POLL_S = 0.1
BUDGET_POLL_S = 0.02  # so often while the retry budget is used up (jittered)


class _Failure(msgspec.Struct, frozen=True):
    state: EndpointState
    error: UpstreamError
    judgement: Judgement
    is_clients: bool  # only the client can correct it


class CallState(StrEnum):
    """Where a call is, as the table below uses it."""

    CHOOSING = "choosing"
    OWES_RETRY = "owes retry"
    BLOCKED = "blocked"
    QUEUED = "queued"
    PAUSED = "paused"
    DECIDED = "decided"
    UNDER_WAY = "under way"
    ACCEPTED = "accepted"
    OVER = "over"


# The state machine
#
# A call enters a group, makes attempts until one is accepted or none is left, and leaves it:
#
#   state        `next` returns                                          and the call is
#   ----------   -----------------------------------------------------   ----------
#   CHOOSING     Try: an endpoint takes the call                         UNDER_WAY
#                otherwise, what BLOCKED returns
#   OWES_RETRY   Pause: the group's retry budget is used up              OWES_RETRY
#                otherwise, what CHOOSING returns, with a slot of it
#   BLOCKED      WaitInLine: one will have capacity in time              QUEUED
#                Pause: the rest cools down, or failed a moment ago      PAUSED
#                Try: every breaker is open, and no other call probes    UNDER_WAY
#                GiveUp: no endpoint can serve it in time                OVER
#   PAUSED       Try: an endpoint takes it, or can be probed now         UNDER_WAY
#                otherwise, what BLOCKED returns
#   DECIDED      the Try or GiveUp that a report has led to              UNDER_WAY, OVER
#
#   state        report                                                  and the call is
#   ----------   -----------------------------------------------------   ----------
#   QUEUED       left_queue with a checkout                              DECIDED (Try)
#                left_queue without                                      BLOCKED
#   UNDER_WAY    accepted                                                ACCEPTED
#                failed: another attempt may help                        CHOOSING, OWES_RETRY
#                failed: none may, or there is no time                   DECIDED (GiveUp)
#                abandoned                                               UNDER_WAY
#   ACCEPTED     finished                                                OVER
#   any          close                                                   OVER
#
# Theory. Each endpoint is tried once before any is tried twice: `demand.excluded` holds those that
# were. When none of the others takes the call, it is BLOCKED, and only the endpoints whose last
# failure rules out another attempt for this call stay excluded.
#
# Where only open breakers are in the way, waiting does not help by itself: a breaker closes because
# an attempt succeeded. So one call of the group, the probe, is sent early to the endpoint that
# would recover first, and the others pause for its result. That is why `next` looks twice: a call
# that paused takes any endpoint that has come back, and probes only if none has.
#
# Claims (a checkout, a slot of the retry budget, the permit to probe) belong to the attempt, not to
# the call. Several attempts may be under way at once; each is reported, and gives back its claims,
# exactly once. `close` gives back the rest, so a driver that is cancelled anywhere leaks nothing.

_CHOOSING = CallState.CHOOSING  # looked up for every call; the attribute of an enum is slow
_UNDER_WAY = CallState.UNDER_WAY
_ACCEPTED = CallState.ACCEPTED


class Attempts(msgspec.Struct, eq=False):
    """The attempts of one call in one group. Entered when made; ended by `finished` or `close`.

    `_holds_retry`: a slot of the retry budget is held for the next attempt. `_probe`: may be probed
    after the pause. `_decided`: what `next` returns, whatever the endpoints' state.
    """

    _group: Group
    _call: RoutedCall
    demand: CallDemand
    _policy: AttemptPolicy
    state: CallState = _CHOOSING
    _under_way: list[Try] = []
    _failures: list[_Failure] = []
    _holds_retry: bool = False
    _decided: Try | GiveUp | None = None
    _probe: EndpointState | None = None
    _paused_s: float = 0.0
    _queued_s: float = 0.0

    def __post_init__(self) -> None:
        self._group.in_flight += 1

    @property
    def may_go_elsewhere(self) -> bool:
        """Whether another group may serve the call: no attempt can have taken effect."""
        return not self._failures or self._failures[-1].judgement.try_elsewhere

    # ---- what to do

    def next(self, now: float, draw: float) -> Action:
        """Return what the call does now."""
        state = self.state
        if state is not _CHOOSING:
            match state:
                case CallState.DECIDED if self._decided is not None:
                    return self._act(self._decided)
                case CallState.BLOCKED:
                    return self._blocked(now, draw)
                case CallState.OWES_RETRY:
                    if not self._group.budget.allows(self._group.in_flight):
                        return self._pause(BUDGET_POLL_S * (1 + draw), now, CallState.OWES_RETRY)
                    self._group.budget.begin()
                    self._holds_retry = True
                case CallState.PAUSED:
                    pass
                case _:
                    raise RuntimeError(f"a call that is {state} does nothing next")
        checkout = self._group.take_as_newcomer(self.demand, now)
        if checkout is not None:  # what `_try` does, without the price of another call
            self.state = _UNDER_WAY
            attempt = Try(checkout, self._holds_retry)
            if self._holds_retry:
                self._holds_retry = False
            self._under_way.append(attempt)
            self.demand.excluded.append(checkout.state)
            return attempt
        probe, self._probe = self._probe, None
        if probe is not None and not self._group.probing:
            return self._act(self._try_early(probe, now))
        return self._blocked(now, draw)

    def _act(self, action: Try | GiveUp) -> Try | GiveUp:
        self.state = _UNDER_WAY if isinstance(action, Try) else CallState.OVER
        return action

    def _try(self, checkout: Checkout, holds_probe: bool = False) -> Try:
        attempt = Try(checkout, self._holds_retry, holds_probe)
        self._holds_retry = False
        self._under_way.append(attempt)
        self.demand.excluded.append(checkout.state)
        return attempt

    def _try_early(self, probe: EndpointState, now: float) -> Try:
        self._group.probing = True
        return self._try(probe.begin(self.demand.tokens, now), True)

    def _blocked(self, now: float, draw: float) -> Action:
        group, demand = self._group, self.demand
        useless = self._useless()
        state = group.soonest(useless, now)
        if state is None:
            return self._act(self._give_up(now))
        demand.excluded = useless + [attempt.checkout.state for attempt in self._under_way]
        available_in_s = group.available_in_s(demand, now, newcomer=True)
        only_broken = isinf(available_in_s)
        if not only_broken and (available_in_s > 0 or not self._failures):
            return self._wait_in_line(available_in_s, now)
        self._probe = state if only_broken and state.cooldown_until <= now else None
        pause_s = self._pause_s(state, now, draw)
        if not pause_s and self._probe is not None and not group.probing:
            self._probe = None
            if now < self._call.deadline_at:
                return self._act(self._try_early(state, now))
        return self._pause(pause_s, now, CallState.PAUSED)

    def _wait_in_line(self, available_in_s: float, now: float) -> Action:
        """Wait in the queue, if the call will be served in time."""
        queue, demand = self._policy.queue, self.demand
        patience_s = min(queue.max_wait_s - self._queued_s, self._call.deadline_at - now)
        crowded = len(self._group.queue) >= queue.max_waiting
        if crowded or patience_s <= 0:
            # No place or no time to wait for a cheaper tier. And capacity that came free in the
            # very moment in which the time ran out is still good.
            demand.spill_at = min(demand.spill_at, now)
            checkout = self._group.take_as_newcomer(demand, now)
            if checkout is not None:
                return self._act(self._try(checkout))
        if crowded or available_in_s > patience_s:
            return self._act(self._give_up(now))
        self.state = CallState.QUEUED
        return WaitInLine(patience_s)

    def _pause(self, pause_s: float, now: float, state: CallState) -> Action:
        self._paused_s += pause_s
        if self._paused_s > MAX_PAUSES_S or now + pause_s >= self._call.deadline_at:
            return self._act(self._give_up(now))
        self.state = state
        return Pause(pause_s)

    def _pause_s(self, state: EndpointState, now: float, draw: float) -> float:
        if state.cooldown_until > now:
            return state.cooldown_until - now
        if self._failures:
            base_s = self._failures[-1].judgement.backoff_base_s
            return backoff_s(len(self._failures), base_s, draw)
        return PROBE_POLL_S * (1 + draw) if self._group.probing else 0.0

    def _useless(self) -> list[EndpointState]:
        """Return the endpoints that another attempt of this call cannot help at."""
        return [failure.state for failure in self._failures if not failure.judgement.try_again_here]

    # ---- what came of it

    def left_queue(self, checkout: Checkout | None, waited_s: float) -> None:
        """The wait in the queue is over. `checkout`: None if no endpoint became available."""
        self._queued_s += waited_s
        if checkout is None:
            self.state = CallState.BLOCKED
        else:
            self._decided = self._try(checkout)
            self.state = CallState.DECIDED

    def learn(self, attempt: Try, limits: RateLimits) -> None:
        """Note what the headers of an attempt's answer say about the endpoint's limits."""
        attempt.checkout.learn(limits)
        if limits.tokens is not None:
            self._group.estimates.needed = True

    def accepted(self, attempt: Try, now: float) -> StateChange | None:
        """An endpoint accepted the call. Returns a change if it is back from a failure."""
        self.state = _ACCEPTED
        closed = attempt.checkout.answered(now)
        if attempt.holds_retry or attempt.holds_probe:
            self._return_claims(attempt)
        if not closed:
            return None
        return StateChange(attempt.checkout.state, EndpointChange.CLOSED, "it answers again")

    def failed(self, attempt: Try, failure: UpstreamError, now: float, draw: float) -> Failed:
        """An attempt failed. Settles its endpoint's state and decides what the call does next."""
        checkout = attempt.checkout
        state = checkout.state
        own_model = state.endpoint.model is not None
        own_credential = self._call.caller is not None or state.endpoint.has_own_credential
        judgement = judge(
            failure, replay=self._call.replay, own_credential=own_credential, own_model=own_model
        )
        is_clients = passes_unchanged(failure, own_credential=own_credential, own_model=own_model)
        self._failures.append(_Failure(state, failure, judgement, is_clients))
        changes = []
        if judgement.feeds_breaker:
            changes += fail_breaker(checkout, failure, now, draw)
        else:
            checkout.says_nothing(now)
        if judgement.cooldown_s is not None:
            changes += cool_after(state, failure, judgement, judgement.cooldown_s, now)
        self._end(attempt, now, sent=failure.sent)
        error = self._reason_to_end(judgement, now)
        if error is not None:
            self._decided = GiveUp(error)
            self.state = CallState.DECIDED
            return Failed(Verdict.GIVE_UP, tuple(changes))
        self.state = CallState.OWES_RETRY if judgement.costs_budget else _CHOOSING
        return Failed(self._next_place(state), tuple(changes))

    def abandoned(self, attempt: Try, now: float, *, sent: bool = True) -> None:
        """An attempt was given up under way: it says nothing about its endpoint.

        `sent`: the endpoint may have charged it.
        """
        attempt.checkout.says_nothing(now)
        self._end(attempt, now, sent=sent)

    def finished(
        self,
        attempt: Try,
        now: float,
        *,
        used_tokens: int | None,
        broken: StreamBroken | None = None,
        draw: float = 0.0,
    ) -> StateChange | None:
        """End the call with the answer of an accepted attempt, which may have `broken` half-way.

        `used_tokens`: the usage that the endpoint reported, if it did.
        """
        self._under_way.remove(attempt)
        attempt.checkout.end(now, used_tokens=used_tokens)
        self.close(now)
        if broken is None:
            return None
        return next(iter(fail_breaker(attempt.checkout, broken, now, draw)), None)

    def close(self, now: float) -> None:
        """Let the call leave the group. Abandons what is still under way."""
        while self._under_way:
            attempt = self._under_way[-1]
            self.abandoned(attempt, now, sent=attempt is not self._decided)
        if self._holds_retry:
            self._group.budget.end()
            self._holds_retry = False
        self._group.in_flight -= 1
        self.state = CallState.OVER

    def _end(self, attempt: Try, now: float, *, sent: bool) -> None:
        self._under_way.remove(attempt)
        attempt.checkout.end(now, sent=sent)
        self._return_claims(attempt)

    def _return_claims(self, attempt: Try) -> None:
        """The retry or the probe is over: others may begin theirs."""
        if attempt.holds_retry:
            self._group.budget.end()
        if attempt.holds_probe:
            self._group.probing = False
        attempt.holds_retry = attempt.holds_probe = False

    # ---- the end

    def _reason_to_end(self, judgement: Judgement, now: float) -> UpstreamError | NoEndpoint | None:
        """Return the error that ends the call after its last failure; None if it goes on."""
        failure, deadline_at = self._failures[-1].error, self._call.deadline_at
        if isinstance(failure, TimedOut) and now >= deadline_at:
            return self._give_up(now).error
        if not (judgement.try_elsewhere or judgement.try_again_here):
            return failure
        if len(self._failures) >= self._policy.max_attempts or now >= deadline_at:
            return self._give_up(now).error
        return None

    def _next_place(self, failed: EndpointState) -> Verdict:
        useless = self._useless()
        if all(state is failed or state in useless for state in self._group.states):
            return Verdict.SAME_ENDPOINT
        return Verdict.NEXT_ENDPOINT

    def _give_up(self, now: float) -> GiveUp:
        """End a call that no endpoint could answer.

        The last endpoint's own answer is the most faithful error where there is no other endpoint,
        and for what only the client can correct.
        """
        if self._failures:
            last = self._failures[-1]
            is_best = last.is_clients or len(self._group.states) == 1
            if is_best and last.error.answer is not None:
                return GiveUp(last.error)
        failures = [failure.error for failure in self._failures]
        error = no_endpoint_error(
            *(self._group, self.demand, failures, now),
            useless=self._useless(),
            deadline_at=self._call.deadline_at,
        )
        return GiveUp(what_came(failures, error) or error)

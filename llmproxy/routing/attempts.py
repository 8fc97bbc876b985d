"""What a call does next in its group: the state machine behind failover and `llmproxy simulate`.

`Attempts` has no clock, no random source, no I/O and no events. `now` (seconds, monotonic) and
`draw` (a random number in [0, 1)) are arguments; what happened is returned. A driver asks `next`
what to do, does it, and reports how it went. pipeline/failover drives it with asyncio,
tools/simulate from a heap of simulated moments.
"""

from __future__ import annotations

import msgspec

from llmproxy.errors import NoEndpoint, StreamBroken, TimedOut, UpstreamError
from llmproxy.events import EndpointChange
from llmproxy.operations.rate_limits import RateLimits
from llmproxy.routing.actions import (
    Action,
    AttemptPolicy,
    CallState,
    Failed,
    GiveUp,
    Pause,
    RoutedCall,
    Try,
    WaitInLine,
)
from llmproxy.routing.endpoint import Checkout, StateChange, fail_breaker
from llmproxy.routing.exhausted import (
    FailedAttempt,
    asked,
    end_of,
    next_place,
    useless_of,
    was_throttled_at,
)
from llmproxy.routing.group import Group
from llmproxy.routing.outlook import Outlook, outlook_of
from llmproxy.routing.setting_aside import changes_after
from llmproxy.routing.tier import CallDemand
from llmproxy.rules.retry import Judgement, backoff_s, judge, passes_unchanged
from llmproxy.steps import Verdict

# All pauses of a call together, between its attempts and before a probe, last no longer.
MAX_PAUSES_S = 10.0
# While another call probes an endpoint, look again this often (jittered).
PROBE_POLL_S = 0.1
BUDGET_POLL_S = 0.02  # so often while the retry budget is used up (jittered)


# The state machine
#
# A call enters a group, makes attempts until one is accepted or none is left, and leaves it:
#
#   state        `next` returns                                          and the call is
#   ----------   -----------------------------------------------------   ----------
#   CHOOSING     Try: an endpoint takes the call                         UNDER_WAY
#                otherwise, what BLOCKED returns
#   OWES_RETRY   Pause: the group's retry budget is used up, for now     OWES_RETRY
#                otherwise, what CHOOSING returns, with a slot of it
#   BLOCKED      WaitInLine: one will have capacity in time              QUEUED
#                Try: the probe of an endpoint that its breaker shuts    UNDER_WAY
#                Pause: another call probes, or all failed just now      PAUSED
#                GiveUp: no endpoint can serve it in time                OVER
#   PAUSED       Try: an endpoint takes it                               UNDER_WAY
#                otherwise, what BLOCKED returns
#   DECIDED      the Try or GiveUp that a report has led to              UNDER_WAY, OVER
#
#   state        report                                                  and the call is
#   ----------   -----------------------------------------------------   ----------
#   QUEUED       left_queue with a checkout                              DECIDED (Try)
#                left_queue without                                      BLOCKED
#   UNDER_WAY    accepted; each other attempt is then reported `outrun`  ACCEPTED
#                failed: another attempt is under way beside it          UNDER_WAY
#                failed: another attempt may help                        CHOOSING, OWES_RETRY
#                failed: none may, or there is no time                   DECIDED (GiveUp)
#                abandoned                                               UNDER_WAY
#   ACCEPTED     finished                                                OVER
#   any          close                                                   OVER
#
# Theory. Each endpoint is tried once before any is tried twice: `demand.excluded` holds those that
# were. When none of the others takes the call, it is BLOCKED. Then only the endpoints stay excluded
# whose last failure rules out another attempt for this call, and, when no more attempts are left
# than there are untried endpoints worth waiting for, all that were tried.
#
# Waiting does not help where a breaker is in the way: it closes because an attempt succeeded. So
# while no untried endpoint is available, whatever the reasons are, the call probes the one that is
# most likely to be well, before its time. A cooldown is not cut short: its end is known. One call
# at a time probes an endpoint; the others take what becomes available, or pause for the result.
# A second probe of the same endpoint comes after a pause.
# A call that has spent its pauses on the retry budget goes on: an endpoint may take it.
#
# An endpoint that is silent for unusually long is not given up: `hedge` begins a second attempt
# beside it, if the group's hedging allows it. Whichever is accepted first wins. If one fails, the
# other one is waited for, whatever the failure was.
#
# Claims (a checkout, a slot of the retry budget) belong to the attempt, not to the call. Several
# attempts may be under way at once; each is reported, and gives back its claims, exactly once.
# `close` gives back the rest, so a driver that is cancelled anywhere leaks nothing.

_CHOOSING = CallState.CHOOSING  # looked up for every call; the attribute of an enum is slow
_UNDER_WAY, _OVER, _ACCEPTED = CallState.UNDER_WAY, CallState.OVER, CallState.ACCEPTED


class Attempts(msgspec.Struct, eq=False):
    """The attempts of one call in one group. Entered when made; ended by `finished` or `close`.

    `under_way`: oldest first. `_holds_retry`: a slot of the retry budget is held for the next
    attempt. `_decided`: what `next` returns, whatever the endpoints' state.
    """

    _group: Group
    _call: RoutedCall
    demand: CallDemand
    _policy: AttemptPolicy
    state: CallState = _CHOOSING
    under_way: list[Try] = []
    _failures: list[FailedAttempt] = []
    _holds_retry: bool = False
    _decided: Try | GiveUp | None = None
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
                    pause_s = BUDGET_POLL_S * (1 + draw)
                    may_pause = self._paused_s + pause_s <= MAX_PAUSES_S
                    if may_pause and not self._group.budget.allows(self._group.in_flight):
                        return self._pause(pause_s, now, CallState.OWES_RETRY)
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
            self._holds_retry = False
            self.under_way.append(attempt)
            self.demand.excluded.append(checkout.state)
            return attempt
        return self._blocked(now, draw)

    def hedge_in_s(self) -> float | None:
        """Return after how many seconds of silence to ask `hedge`; None: not at all."""
        hedging = self._group.hedging
        if hedging is None or len(self.under_way) != 1:
            return None
        if asked(self._failures) + 1 >= self._policy.max_attempts:
            return None
        return hedging.after_s(self._call, self.under_way[0], is_first=not self._failures)

    def hedge(self, now: float) -> Try | None:
        """Return an attempt to make beside the silent one; None if none may begin now."""
        group, (silent,) = self._group, self.under_way
        if group.hedging is None:
            return None
        attempt = group.hedging.begin(group, self.demand, silent, useless_of(self._failures), now)
        if attempt is not None:
            self.under_way.append(attempt)
        return attempt

    def _act(self, action: Try | GiveUp) -> Try | GiveUp:
        self.state = _UNDER_WAY if isinstance(action, Try) else _OVER
        return action

    def _try(self, checkout: Checkout) -> Try:
        attempt = Try(checkout, self._holds_retry)
        self._holds_retry = False
        self.under_way.append(attempt)
        self.demand.excluded.append(checkout.state)
        return attempt

    def _blocked(self, now: float, draw: float) -> Action:
        group, demand = self._group, self.demand
        patience_s = self._patience_s(now)
        outlook = outlook_of(
            *(group, now),
            demand=demand,
            tried=[failure.state for failure in self._failures],
            useless=useless_of(self._failures)
            + [attempt.checkout.state for attempt in self.under_way],
            attempts_left=self._policy.max_attempts - asked(self._failures),
            patience_s=patience_s,
        )
        if not outlook.hopeful or now >= self._call.deadline_at:
            return self._act(self._give_up(now))
        probe = outlook.probe
        if outlook.is_second and self.state is not CallState.PAUSED:
            probe = None
        if probe is not None and not outlook.has_rival:
            return self._act(self._try(probe.begin(demand.tokens_at(probe), now)))
        demand.excluded = [state for state in group.states if state not in outlook.hopeful]
        available_in_s = group.available_in_s(demand, now, newcomer=True)
        if available_in_s > 0 or not self._failures:
            action = self._wait_in_line(available_in_s, patience_s, now)
            if action is not None:
                return action
            if probe is not None:
                return self._act(self._try(probe.begin(demand.tokens_at(probe), now)))
        return self._pause_before_another_look(outlook, available_in_s, now, draw)

    def _patience_s(self, now: float) -> float:
        """Return how long the call may wait in the queue; 0 while that is full."""
        queue = self._policy.queue
        if len(self._group.queue) >= queue.max_waiting:
            return 0.0
        return max(0.0, min(queue.max_wait_s - self._queued_s, self._call.deadline_at - now))

    def _wait_in_line(
        self, available_in_s: float, patience_s: float, now: float
    ) -> WaitInLine | Try | None:
        """Wait in the queue, if the call will be served in time."""
        if patience_s <= 0:
            # No place or no time to wait for a cheaper tier. And capacity that came free in the
            # very moment in which the time ran out is still good.
            self.demand.spill_at = min(self.demand.spill_at, now)
            checkout = self._group.take_as_newcomer(self.demand, now)
            if checkout is not None:
                self.state = _UNDER_WAY
                return self._try(checkout)
        if patience_s <= 0 or available_in_s > patience_s:
            return None
        self.state = CallState.QUEUED
        return WaitInLine(patience_s)

    def _pause_before_another_look(
        self, outlook: Outlook, available_in_s: float, now: float, draw: float
    ) -> Action:
        """Let a moment pass after a failure, during another call's probe or a cooldown's rest."""
        probed_for_s = outlook.probed_for_s
        if self._failures and (outlook.probe is not None or not available_in_s):
            last = self._failures[-1].judgement
            pause_s = max(last.wait_s, backoff_s(len(self._failures), last.backoff_base_s, draw))
        elif probed_for_s is not None:
            pause_s = PROBE_POLL_S * (1 + draw)
        else:
            pause_s = outlook.cools_for_s
        return self._pause(pause_s, now, CallState.PAUSED, probed_for_s or 0.0)

    def _pause(
        self, pause_s: float, now: float, state: CallState, probed_for_s: float = 0.0
    ) -> Action:
        """Pause, if there is time. A probe that lasts long is waited for to its end."""
        self._paused_s += pause_s
        if self._paused_s > MAX_PAUSES_S + probed_for_s or now + pause_s >= self._call.deadline_at:
            return self._act(self._give_up(now))
        self.state = state
        return Pause(pause_s)

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
        self._group.estimates.needed |= limits.tokens is not None

    def accepted(self, attempt: Try, now: float) -> StateChange | None:
        """An endpoint accepted the call. Returns a change if it is back from a failure."""
        self.state = _ACCEPTED
        closed = attempt.checkout.answered(now)
        if (hedging := self._group.hedging) is not None:
            hedging.answered(self._call, attempt, now)
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
            failure,
            replay=self._call.replay,
            own_credential=own_credential,
            own_model=own_model,
            is_repeated=was_throttled_at(state, self._failures),
        )
        is_clients = passes_unchanged(failure, own_credential=own_credential, own_model=own_model)
        self._failures.append(FailedAttempt(state, failure, judgement, is_clients))
        changes = []
        if judgement.feeds_breaker:
            changes += fail_breaker(checkout, failure, now, draw)
        else:
            checkout.says_nothing(now)
        changes += changes_after(self._group.states, state, failure, judgement, now)
        self._end(attempt, now, sent=failure.sent)
        if self.under_way:
            return Failed(Verdict.OTHER_ATTEMPT, tuple(changes))
        if (error := self._reason_to_end(judgement, now)) is not None:
            self._decided = GiveUp(error)
            self.state = CallState.DECIDED
            return Failed(Verdict.GIVE_UP, tuple(changes))
        self.state = CallState.OWES_RETRY if judgement.costs_budget else _CHOOSING
        return Failed(next_place(self._group, state, self._failures), tuple(changes))

    def outrun(self, attempt: Try, now: float, draw: float) -> list[StateChange]:
        """Another attempt was accepted first. Returns a change if its endpoint is often silent."""
        hedging = self._group.hedging
        changes = [] if hedging is None else hedging.outrun(self._call, attempt, now, draw)
        self._end(attempt, now, sent=True)
        return changes

    def abandoned(self, attempt: Try, now: float, *, sent: bool = True) -> None:
        """An attempt was given up: it says nothing of its endpoint. `sent`: it may be charged."""
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
        self.under_way.remove(attempt)
        attempt.checkout.end(now, used_tokens=used_tokens)
        self.close(now)
        if broken is None:
            return None
        return next(iter(fail_breaker(attempt.checkout, broken, now, draw)), None)

    def close(self, now: float) -> None:
        """Let the call leave the group. Abandons what is still under way."""
        while self.under_way:
            attempt = self.under_way[-1]
            self.abandoned(attempt, now, sent=attempt is not self._decided)
        if self._holds_retry:
            self._group.budget.end()
            self._holds_retry = False
        self._group.in_flight -= 1
        self.state = _OVER

    def _end(self, attempt: Try, now: float, *, sent: bool) -> None:
        self.under_way.remove(attempt)
        attempt.checkout.end(now, sent=sent)
        self._return_claims(attempt)

    def _return_claims(self, attempt: Try) -> None:
        """The retry is over: others may begin theirs."""
        if attempt.holds_retry:
            self._group.budget.end()
            attempt.holds_retry = False

    # ---- the end

    def _reason_to_end(self, judgement: Judgement, now: float) -> UpstreamError | NoEndpoint | None:
        """Return the error that ends the call after its last failure; None if it goes on."""
        failure, deadline_at = self._failures[-1].error, self._call.deadline_at
        if isinstance(failure, TimedOut) and now >= deadline_at:
            return self._give_up(now).error
        if not (judgement.try_elsewhere or judgement.try_again_here):
            return failure
        if asked(self._failures) >= self._policy.max_attempts or now >= deadline_at:
            return self._give_up(now).error
        return None

    def _give_up(self, now: float) -> GiveUp:
        """End a call that no endpoint could answer."""
        group, deadline_at = self._group, self._call.deadline_at
        return GiveUp(end_of(group, self.demand, self._failures, now, deadline_at=deadline_at))

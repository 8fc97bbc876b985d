"""From one endpoint to the next until one accepts the call.

The rules say what a failure means (rules/retry.py) and the pool says who is next; this loop acts.
Nothing is tried again once `__aenter__` has returned: the commit point is where the language puts
it, because the loop is over by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import isinf
from time import monotonic, time

from llmproxy.calls import Accepted, Call, Headers
from llmproxy.config import Queue
from llmproxy.errors import NoEndpoint, Skipped, StreamBroken, TimedOut, UpstreamError
from llmproxy.events import AttemptEnded, EndpointChange, Listener
from llmproxy.operations import Usage
from llmproxy.pipeline.failover.attempt import AttemptMaker
from llmproxy.pipeline.failover.consequences import cool, fail_breaker, tell_change
from llmproxy.pipeline.failover.fallback import Fallback
from llmproxy.pipeline.failover.no_endpoint import no_endpoint_error, unchanged_error
from llmproxy.pipeline.failover.waiting import WaitingRooms
from llmproxy.record import CallRecord
from llmproxy.routing import CallDemand, Checkout, EndpointState, Group
from llmproxy.rules.estimate import Size
from llmproxy.rules.retry import Judgement, backoff_s, judge
from llmproxy.steps import Attempt, AttemptOutcome, PassedOver, Verdict

# Retries and probes wait no longer than this, all pauses of a call together.
MAX_PAUSES_S = 10.0
# While another call probes the group, look again this often (jittered).
PROBE_POLL_S = 0.1
# While the retry budget is used up, look again this often (jittered).
RETRY_POLL_S = 0.02
# Of a large group, the trace of a call that nobody could serve names so many endpoints.
MAX_TOLD = 20


class Failover:
    """The stage: hands out one FirstAccepted per call.

    `rooms`: where calls wait for room at an endpoint.
    """

    def __init__(
        self,
        attempts: AttemptMaker,
        listener: Listener,
        *,
        max_attempts: int,
        queue: Queue,
        draw: Callable[[], float],
        rooms: WaitingRooms,
    ) -> None:
        self.attempts = attempts
        self.listener = listener
        self.max_attempts = max_attempts
        self.queue = queue
        self.draw = draw
        self.rooms = rooms

    def first_accepted(
        self, call: Call, group: Group, record: CallRecord
    ) -> FirstAccepted | Fallback:
        """`async with` it: yields the Accepted, closes it, and settles the endpoint's state."""
        if (group.fallbacks or group.context_fallbacks) and not call.account_bound:
            return Fallback(
                lambda each: FirstAccepted(self, call, each, record), call, group, record
            )
        return FirstAccepted(self, call, group, record)

    def capacity_freed(self) -> None:
        """There may be room where there was none: whoever waits for it may go."""
        self.rooms.move()


class FirstAccepted:
    """The attempts of one call."""

    __slots__ = (
        "_accepted",
        "_answered",
        "_backoff_base_s",
        "_call",
        "_checkout",
        "_demand",
        "_failures",
        "_group",
        "_owes_budget",
        "_paused_s",
        "_probing",
        "_record",
        "_retrying",
        "_size",
        "_stage",
        "_useless",
        "_waited_s",
        "may_go_elsewhere",
    )

    def __init__(self, stage: Failover, call: Call, group: Group, record: CallRecord) -> None:
        self._stage = stage
        self._call = call
        self._group = group
        self._record = record
        self._size: Size | None = None
        self._demand = self._demand_on(group)
        self._useless: list[EndpointState] = []  # not again for this call
        self._failures: list[UpstreamError] = []
        self._owes_budget = False
        self._retrying = False
        self._probing = False
        self._backoff_base_s = 0.0
        self._paused_s = 0.0
        self._waited_s = 0.0  # in line
        self.may_go_elsewhere = True  # no attempt can have taken effect

    async def __aenter__(self) -> Accepted:
        stage, group, record = self._stage, self._group, self._record
        group.in_flight += 1
        try:
            while True:
                if self._owes_budget:
                    await self._begin_retry()
                checkout = self._take() or await self._wait_for_checkout()
                if self._demand.passed_over:
                    self._note_passed_over()
                record.attempts += 1
                record.endpoint = checkout.state.endpoint.name
                began_at = monotonic()
                self._checkout = checkout
                try:
                    accepted = await stage.attempts.make(
                        self._call, checkout.state.endpoint, record
                    )
                except UpstreamError as failure:
                    self._learn(failure, began_at)
                    continue
                except BaseException:  # the client left, or it is our bug
                    self._checkout.says_nothing(monotonic())
                    self._end_checkout()
                    self._attempt_ended(self._note_attempt(began_at, AttemptOutcome.ABANDONED))
                    raise
                finally:
                    record.waited_s += monotonic() - began_at
                self._answered = self._note_attempt(
                    began_at, AttemptOutcome.ANSWERED, accepted.response.status
                )
                self._note_limits(checkout, accepted.response.headers)
                if checkout.answered(monotonic()):
                    change = EndpointChange.CLOSED
                    tell_change(stage.listener, group, checkout.state, change, "it answers again")
                self._return_claims()
                self._accepted = accepted
                return accepted
        except BaseException as error:
            self._return_claims()
            group.in_flight -= 1
            if isinstance(error, NoEndpoint):
                self._note_skipped(error.skipped)
            raise

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._accepted.response.close()
        usage = self._record.answer.usage
        if self._size is not None and usage is not None and usage.input_tokens > 0:
            self._group.learn_tokens(self._size, usage.input_tokens)
        self._end_checkout(usage)
        stage, broken = self._stage, isinstance(error, StreamBroken)
        self._attempt_ended(self._answered, usage=usage, broken=broken)
        if isinstance(error, StreamBroken):
            fail_breaker(stage.listener, self._group, self._checkout, error, stage.draw())
        self._group.in_flight -= 1

    # ---- what the call needs, and what its answers tell

    def _demand_on(self, group: Group) -> CallDemand:
        call = self._call
        now = monotonic()
        tokens = 0
        if group.counts_tokens:
            tokens, self._size = group.rough_tokens_of(call, now)
        return CallDemand(tokens, call.priority, now + group.spill_wait_s)

    def _note_limits(self, checkout: Checkout, headers: Headers) -> None:
        provider = checkout.state.endpoint.provider
        if checkout.wants_report and (told := provider.rate_limits(headers, wall_now=time())):
            checkout.learn(told)
            if told.tokens is not None:
                self._group.counts_tokens = True

    def _end_checkout(self, usage: Usage | None = None, *, sent: bool = True) -> None:
        """The attempt is over, and its capacity with it; somebody may be waiting for that."""
        used_tokens = None if usage is None else usage.input_tokens + usage.output_tokens
        self._checkout.end(monotonic(), used_tokens=used_tokens, sent=sent)
        if self._group.line.places:
            self._stage.rooms.of(self._group).move()

    # ---- after a failure

    def _learn(self, failure: UpstreamError, began_at: float) -> None:
        """Draw the conclusions of one failed attempt; raises when the call must end."""
        now = monotonic()
        stage, checkout, call = self._stage, self._checkout, self._call
        state = checkout.state
        endpoint = state.endpoint
        judgement = judge(
            failure,
            replay=call.replay,
            own_credential=not endpoint.takes_key_of(self._call),
            own_model=endpoint.model is not None,
        )
        self._failures.append(failure)
        self.may_go_elsewhere = judgement.try_elsewhere
        self._demand.tried.append(state)
        self._backoff_base_s = judgement.backoff_base_s
        if failure.answer is not None:
            self._note_limits(checkout, failure.answer.headers)
        if not judgement.try_again_here:
            self._useless.append(state)
        if judgement.feeds_breaker:
            fail_breaker(stage.listener, self._group, checkout, failure, stage.draw())
        else:
            checkout.says_nothing(now)
        if judgement.cooldown_s is not None:
            cool(stage.listener, self._group, state, failure, judgement)
        self._end_checkout(sent=failure.sent)
        self._return_claims()
        error = self._reason_to_end(judgement, now)
        verdict = Verdict.GIVE_UP if error else self._who_is_next(state)
        status = failure.answer.status if failure.answer else None
        attempt = self._note_attempt(
            began_at, AttemptOutcome.FAILED, status, reason=failure.reason, verdict=verdict
        )
        self._attempt_ended(attempt, message=failure.message)
        if error is not None:
            raise error
        self._owes_budget = judgement.costs_budget

    def _reason_to_end(self, judgement: Judgement, now: float) -> Exception | None:
        failure = self._failures[-1]
        if isinstance(failure, TimedOut) and now >= self._call.deadline_at:
            return self._nobody(now)
        if not (judgement.try_elsewhere or judgement.try_again_here):
            return failure
        if len(self._failures) >= self._stage.max_attempts or now >= self._call.deadline_at:
            return self._nobody(now)
        return None

    def _who_is_next(self, failed: EndpointState) -> Verdict:
        others = (each for each in self._group.states if each is not failed)
        if all(each in self._useless for each in others):
            return Verdict.SAME_ENDPOINT
        return Verdict.NEXT_ENDPOINT

    def _return_claims(self) -> None:
        """A retry or a probe of ours is over: others may begin theirs."""
        if self._retrying:
            self._group.budget.end()
            self._retrying = False
        if self._probing:
            self._group.probing = self._probing = False

    async def _begin_retry(self) -> None:
        """Take a place in the retry budget: when much fails at once, retries go one by one."""
        group = self._group
        while not group.budget.allows(group.in_flight):
            await self._sleep(RETRY_POLL_S * (1 + self._stage.draw()), monotonic())
        group.budget.begin()
        self._retrying, self._owes_budget = True, False

    # ---- for whoever asks later why it went like this

    def _note_attempt(
        self,
        began_at: float,
        outcome: AttemptOutcome,
        status: int | None = None,
        *,
        reason: str | None = None,
        verdict: Verdict | None = None,
    ) -> Attempt:
        name, took_s = self._checkout.state.endpoint.name, monotonic() - began_at
        step = Attempt(name, began_at, took_s, outcome, status, reason, verdict)
        self._record.steps.append(step)
        return step

    def _attempt_ended(
        self,
        attempt: Attempt,
        *,
        message: str | None = None,
        usage: Usage | None = None,
        broken: bool = False,
    ) -> None:
        event = AttemptEnded(self._call.id, self._group.name, attempt, message, usage, broken)
        self._stage.listener.attempt_ended(event)

    def _note_passed_over(self) -> None:
        now, demand = monotonic(), self._demand
        for state in demand.passed_over:
            why = state.why_not(demand.tokens, now)
            self._record.steps.append(PassedOver(state.endpoint.name, now, why))
        demand.passed_over = []

    def _note_skipped(self, skipped: list[Skipped]) -> None:
        now = monotonic()
        for each in skipped[:MAX_TOLD]:
            self._record.steps.append(PassedOver(each.endpoint, now, each.why))

    # ---- when no untried endpoint has room

    def _take(self) -> Checkout | None:
        return self._group.take_as_newcomer(self._demand, monotonic())

    async def _wait_for_checkout(self) -> Checkout:
        """Wait for the endpoint that has room first, or raise the error that ends the call.

        When every breaker is open, one call at a time probes the endpoint that would recover
        first; the others wait a moment for what it finds.
        """
        group, demand = self._group, self._demand
        while True:
            now = monotonic()
            state = group.soonest(self._useless, now)
            if state is None:
                raise self._nobody(now)
            demand.tried = list(self._useless)
            room_in_s = group.available_in_s(demand, now, newcomer=True)
            only_broken = isinf(room_in_s)
            if not only_broken and (room_in_s > 0 or not self._failures):
                checkout = await self._line_up(room_in_s, now)
            else:
                await self._sleep(self._pause_s(state, now), now)
                checkout = self._take()
            if checkout is not None:
                return checkout
            if only_broken and not group.probing and state.cooldown_until <= now:
                group.probing = self._probing = True
                return state.begin(demand.tokens, monotonic())

    async def _line_up(self, room_in_s: float, now: float) -> Checkout | None:
        """Wait in line, if the checkout will come in time; None if it did not."""
        queue, group = self._stage.queue, self._group
        patience_s = min(queue.max_wait_s - self._waited_s, self._call.deadline_at - now)
        crowded = len(group.line) >= queue.max_waiting
        if crowded or patience_s <= 0:
            # No place, or no time, to wait for a cheaper tier; and what came free in the very
            # moment in which the time ran out is still good.
            self._demand.spill_at = min(self._demand.spill_at, now)
            if (checkout := self._take()) is not None:
                return checkout
        if crowded or room_in_s > patience_s:
            raise self._nobody(now)
        checkout = await self._stage.rooms.of(group).wait(self._demand, at_most_s=patience_s)
        waited_s = monotonic() - now
        self._waited_s += waited_s
        self._record.waited_s += waited_s
        return checkout

    def _pause_s(self, state: EndpointState, now: float) -> float:
        draw = self._stage.draw()
        if state.cooldown_until > now:
            return state.cooldown_until - now
        if self._failures:
            return backoff_s(len(self._failures), self._backoff_base_s, draw)
        return PROBE_POLL_S * (1 + draw) if self._group.probing else 0.0

    async def _sleep(self, pause_s: float, now: float) -> None:
        self._paused_s += pause_s
        if self._paused_s > MAX_PAUSES_S or now + pause_s >= self._call.deadline_at:
            raise self._nobody(now)
        if pause_s:
            await asyncio.sleep(pause_s)
            self._record.waited_s += monotonic() - now

    def _nobody(self, now: float) -> Exception:
        """The error for a call that no endpoint could answer."""
        last = self._checkout.state.endpoint if self._failures else None
        error = unchanged_error(self._call, self._group, self._failures, last)
        if error is not None:
            return error
        return no_endpoint_error(
            self._call, self._group, self._demand, self._failures, self._useless, now=now
        )

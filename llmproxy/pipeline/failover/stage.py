"""The stage: carries out what routing/attempts.py decides, until an endpoint accepts the call.

It makes attempts, waits and pauses, emits the events, and fills in the call's record. Nothing is
tried again once `__aenter__` has returned: the commit point is where the language puts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic, time
from typing import Any, assert_never

from llmproxy.calls import Accepted, Call, Headers
from llmproxy.errors import NoEndpoint, StreamBroken, TooLarge, UpstreamError
from llmproxy.events import AttemptEnded, Listener
from llmproxy.frames import forget_frames
from llmproxy.pipeline.failover.attempt import AttemptMaker
from llmproxy.pipeline.failover.waiting import WaitingRooms
from llmproxy.record import CallRecord
from llmproxy.routing import CallDemand, Group
from llmproxy.routing.actions import AttemptPolicy, GiveUp, Pause, Try, WaitInLine
from llmproxy.routing.attempts import Attempts
from llmproxy.routing.endpoint import StateChange
from llmproxy.rules.headers import vendors_id
from llmproxy.steps import ANSWERED, OUTRUN, Attempt, AttemptOutcome, PassedOver, Verdict

# The trace of a call that could not be served names at most so many endpoints of a large group.
MAX_SKIPPED = 20


class Failover:
    """What the attempts of all calls use. `rooms`: where calls wait for capacity."""

    def __init__(
        self,
        maker: AttemptMaker,
        listener: Listener,
        policy: AttemptPolicy,
        *,
        draw: Callable[[], float],
        rooms: WaitingRooms,
    ) -> None:
        self.maker = maker
        self.listener = listener
        self.policy = policy
        self.draw = draw
        self.rooms = rooms


class FirstAccepted:
    """The attempts of one call in one group, up to the first accepted answer, and that answer.

    `async with` it: returns the Accepted, closes it, and settles the endpoint's state.
    """

    __slots__ = (
        "_accepted",
        "_answered",
        "_attempt",
        "_call",
        "_group",
        "_measured",
        "_record",
        "_stage",
        "attempts",
    )

    attempts: Attempts

    def __init__(self, stage: Failover, call: Call, group: Group, record: CallRecord) -> None:
        self._stage = stage
        self._call = call
        self._group = group
        self._record = record
        self._measured: object = None  # what the estimate of its tokens learns from

    async def __aenter__(self) -> Accepted:
        stage, record = self._stage, self._record
        attempts = self.attempts = Attempts(self._group, self._call, self._demand(), stage.policy)
        try:
            while True:
                now = monotonic()
                action = attempts.next(now, stage.draw())
                match action:
                    case Try():
                        try:
                            accepted = await self._made(action)
                        except UpstreamError as failure:
                            self.failed(action, failure)
                        else:
                            if accepted is not None:
                                self._accept(accepted)
                                return accepted
                        finally:
                            record.waited_s += monotonic() - now
                    case WaitInLine(at_most_s):
                        await self._wait_in_line(at_most_s)
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                        record.waited_s += monotonic() - now
                    case GiveUp(error):
                        raise error
                    case _:
                        assert_never(action)
        except BaseException as error:  # none accepted it, the client left, or it is our bug
            self._abandon_all()
            attempts.close(monotonic())
            if isinstance(error, NoEndpoint):
                self._note_skipped(error)
            raise

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._accepted.response.close()
        stage, usage = self._stage, self._record.answer.usage
        broken = error if isinstance(error, StreamBroken) else None
        used_tokens = None
        if usage is not None and not usage.estimated:
            used_tokens = usage.input_tokens + usage.output_tokens
            self._group.estimates.learn(self._call, self._measured, usage)
        draw = 0.0 if broken is None else stage.draw()
        change = self.attempts.finished(
            self._attempt, monotonic(), used_tokens=used_tokens, broken=broken, draw=draw
        )
        if self._group.queue.waiters:
            self._serve_waiting()
        group, is_broken = self._group.name, broken is not None
        stage.listener.attempt_ended(
            AttemptEnded(self._call.id, group, self._answered, usage, is_broken)
        )
        if change is not None:
            self._report_change(change)

    @property
    def may_go_elsewhere(self) -> bool:
        """Whether another group may serve the call: no attempt can have taken effect."""
        return self.attempts.may_go_elsewhere

    # ---- one attempt

    def _demand(self) -> CallDemand:
        group, call, now = self._group, self._call, monotonic()
        estimates, tokens, unwritten = group.estimates, 0, 0
        if estimates.needed and call.route.operation.uses_tokens:
            tokens, self._measured = estimates.roughly(call, now, group.states)
            unwritten = estimates.unwritten(call) if tokens else 0
        return CallDemand(
            tokens,
            call.priority,
            now + group.spill_wait_s,
            estimates.too_small_for(call, group.states) if estimates.knows_too_large else [],
            unwritten=unwritten,
            conversation=None if group.affinity is None else group.affinity(call),
        )

    def _made(self, attempt: Try) -> Coroutine[Any, Any, Accepted | None]:
        """Make an attempt, and hedges beside it if it may have some; None: all have failed."""
        self._attempt, hedging = attempt, self._group.hedging
        if hedging is None or (hedge_in_s := self.attempts.hedge_in_s()) is None:
            return self.make(attempt)
        return hedging.race(self, attempt, attempt.checkout.began_at + hedge_in_s)

    def make(self, attempt: Try) -> Coroutine[Any, Any, Accepted]:
        """Make an attempt. Raises UpstreamError."""
        record, endpoint = self._record, attempt.checkout.state.endpoint
        if self.attempts.demand.passed_over:
            self._note_passed_over(attempt.checkout.began_at)
        record.attempts += 1
        record.endpoint = endpoint.name
        return self._stage.maker.make(self._call, endpoint, record)

    def hedge_in_s(self) -> float | None:
        """Return after how many seconds the attempt under way may be hedged; None: never."""
        return self.attempts.hedge_in_s()

    def next_hedge(self) -> Try | None:
        """Return an attempt to make beside the one under way; None if there is none now."""
        return self.attempts.hedge(monotonic())

    def won(self, attempt: Try) -> None:
        """Note that this attempt was accepted first."""
        self._attempt = attempt

    def _accept(self, accepted: Accepted) -> None:
        self._accepted, attempt = accepted, self._attempt
        now, checkout, response = monotonic(), attempt.checkout, accepted.response
        if checkout.wants_report:
            self._note_limits(attempt, response.headers)
        if self._group.estimates.knows_too_large:
            self._group.estimates.taken(self._call, checkout.state)
        change = self.attempts.accepted(attempt, now)
        if change is not None:
            self._report_change(change)
        if len(self.attempts.under_way) > 1:
            self._note_outrun(attempt, now)
        conversation = self.attempts.demand.conversation
        self._answered = Attempt(
            checkout.state.endpoint.name,
            checkout.began_at,
            now - checkout.began_at,
            ANSWERED,
            response.status,
            hedge=attempt.is_hedge,
            why=None if conversation is None else conversation.served(checkout.state, now),
        )
        self._record.steps.append(self._answered)

    def _note_outrun(self, winner: Try, now: float) -> None:
        self._record.endpoint = winner.checkout.state.endpoint.name
        for attempt in list(self.attempts.under_way):
            if attempt is not winner:
                for change in self.attempts.outrun(attempt, now, self._stage.draw()):
                    self._report_change(change)
                self._note_end(self._step(attempt, now, AttemptOutcome.ABANDONED, reason=OUTRUN))
        self._serve_waiting()

    def failed(self, attempt: Try, failure: UpstreamError) -> None:
        """Report that an attempt failed."""
        stage, now = self._stage, monotonic()
        if failure.answer is not None and attempt.checkout.wants_report:
            self._note_limits(attempt, failure.answer.headers)
        if isinstance(failure, TooLarge):
            self._group.estimates.refused(self._call, attempt, failure)
        outcome = self.attempts.failed(attempt, failure, now, stage.draw())
        for change in outcome.changes:
            self._report_change(change)
        self._serve_waiting()
        step = self._step(
            *(attempt, now, AttemptOutcome.FAILED),
            reason=failure.reason,
            verdict=outcome.verdict,
            failure=failure,
        )
        self._note_end(step)
        forget_frames(failure)

    def _abandon_all(self) -> None:
        if not self.attempts.under_way:
            return
        now = monotonic()
        for attempt in list(self.attempts.under_way):
            self.attempts.abandoned(attempt, now)
            self._note_end(self._step(attempt, now, AttemptOutcome.ABANDONED))
        self._serve_waiting()

    # ---- the record and the events

    def _step(
        self,
        attempt: Try,
        now: float,
        outcome: AttemptOutcome,
        *,
        reason: str | None = None,
        verdict: Verdict | None = None,
        failure: UpstreamError | None = None,
    ) -> Attempt:
        checkout = attempt.checkout
        name, began_at = checkout.state.endpoint.name, checkout.began_at
        answer = failure.answer if failure else None
        return Attempt(
            *(name, began_at, now - began_at, outcome),
            *(answer.status if answer else None, reason, verdict, attempt.is_hedge),
            message=failure.message if failure else None,
            request_id=vendors_id(answer.headers) if answer else None,
        )

    def _note_end(self, step: Attempt) -> None:
        self._record.steps.append(step)
        event = AttemptEnded(self._call.id, self._group.name, step)
        self._stage.listener.attempt_ended(event)

    def _note_passed_over(self, now: float) -> None:
        demand = self.attempts.demand
        for state in demand.passed_over:
            why = state.why_not(demand.tokens_at(state), now)
            self._record.steps.append(PassedOver(state.endpoint.name, now, why))
        demand.passed_over = []

    def _note_skipped(self, error: NoEndpoint) -> None:
        now = monotonic()
        for skipped in error.skipped[:MAX_SKIPPED]:
            self._record.steps.append(PassedOver(skipped.endpoint, now, skipped.why))

    def _note_limits(self, attempt: Try, headers: Headers) -> None:
        provider = attempt.checkout.state.endpoint.provider
        if limits := provider.rate_limits(headers, wall_now=time()):
            self.attempts.learn(attempt, limits)

    def _report_change(self, change: StateChange) -> None:
        self._stage.listener.endpoint_state_changed(change.event(self._group.name))

    # ---- waiting

    def _serve_waiting(self) -> None:
        """An attempt is over: a waiting call may take its capacity."""
        if self._group.queue.waiters:
            self._stage.rooms.of(self._group).serve()

    async def _wait_in_line(self, at_most_s: float) -> None:
        since = monotonic()
        room = self._stage.rooms.of(self._group)
        checkout = await room.wait(self.attempts.demand, at_most_s=at_most_s)
        waited_s = monotonic() - since
        self._record.waited_s += waited_s
        self.attempts.left_queue(checkout, waited_s)

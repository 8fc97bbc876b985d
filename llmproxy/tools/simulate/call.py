"""One simulated call: what stages/failover does with a real one, without waiting for anything.

The decisions are the pool's and the rules'; this is the same order of steps as loop.py and
fallback.py, where each `await` is an act planned on the clock. Whoever changes those changes this:
tests/tools/simulate compares the two.
"""

from __future__ import annotations

from functools import partial
from math import isinf
from typing import TYPE_CHECKING

from llmproxy.calls import Headers
from llmproxy.errors import Throttled, TimedOut, UpstreamError
from llmproxy.operations import Replay
from llmproxy.pipeline.failover.loop import MAX_PAUSES_S, PROBE_POLL_S, RETRY_POLL_S
from llmproxy.routing import CallDemand, Checkout, EndpointState, Group
from llmproxy.rules.retry import Judgement, backoff_s, judge, passes_unchanged
from llmproxy.tools.simulate.clock import Act
from llmproxy.tools.simulate.traffic import Arrival

if TYPE_CHECKING:
    from llmproxy.tools.simulate.proxy import Proxy


class SimulatedCall:
    """From its arrival to its last answer."""

    __slots__ = (
        "_arrival",
        "_backoff_base_s",
        "_checkout",
        "_deadline_at",
        "_demand",
        "_failures",
        "_fallbacks",
        "_group",
        "_in_line_s",
        "_outcome",
        "_owes_budget",
        "_paused_s",
        "_probing",
        "_proxy",
        "_retrying",
        "_sent_at",
        "_status",
        "_useless",
        "_waited_s",
    )

    def __init__(self, proxy: Proxy, arrival: Arrival, group: Group, now: float) -> None:
        self._proxy = proxy
        self._arrival = arrival
        self._deadline_at = now + proxy.total_s
        self._fallbacks = list(group.fallbacks)
        self._status = 0  # of the first group's error
        self._waited_s = 0.0
        self._enter(group, now)

    def _enter(self, group: Group, now: float) -> None:
        self._group = group
        tokens = self._arrival.bound_tokens if group.counts_tokens else 0
        self._demand = CallDemand(tokens, spill_at=now + group.spill_wait_s)
        self._useless: list[EndpointState] = []
        self._failures: list[UpstreamError] = []
        self._owes_budget = self._retrying = self._probing = False
        self._backoff_base_s = self._paused_s = self._in_line_s = 0.0
        group.in_flight += 1
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        group = self._group
        if self._owes_budget:
            if not group.budget.allows(group.in_flight):
                self._pause(RETRY_POLL_S * (1 + self._proxy.draw()), now, self._go_on)
                return
            group.budget.begin()
            self._retrying, self._owes_budget = True, False
        checkout = group.take_as_newcomer(self._demand, now)
        if checkout is None:
            self._wait_for_checkout(now)
        else:
            self._attempt(checkout, now)

    # ---- one attempt

    def _attempt(self, checkout: Checkout, now: float) -> None:
        self._checkout, self._sent_at = checkout, now
        vendor = self._proxy.vendors[checkout.state]
        self._outcome = outcome = vendor.answer(self._arrival.bound_tokens, now)
        ends = self._accepted if outcome.failure is None else self._refused
        self._proxy.clock.at(outcome.ends_at, ends)

    def _accepted(self, now: float) -> None:
        checkout, arrival, group = self._checkout, self._arrival, self._group
        if checkout.wants_report:
            self._note_limits(checkout, self._outcome.headers())
        checkout.answered(now)
        self._return_claims()
        self._end_checkout(now, used_tokens=arrival.input_tokens + arrival.output_tokens)
        group.in_flight -= 1
        results = self._proxy.results
        results.answered(self._proxy.counts[checkout.state], arrival, self._waited_s, self._sent_at)

    def _refused(self, now: float) -> None:
        failure = self._outcome.failure
        if failure is None:
            return
        count = self._proxy.counts[self._checkout.state]
        if isinstance(failure, Throttled):
            count.refused += 1
        else:
            count.failed += 1
        judgement = self._learn(failure, now)
        status = self._status_at_the_end(failure, judgement, now)
        if status is None:
            self._owes_budget = judgement.costs_budget
            self._go_on(now)
        else:
            self._fail(status, now, may_go_elsewhere=judgement.try_elsewhere)

    def _learn(self, failure: UpstreamError, now: float) -> Judgement:
        checkout = self._checkout
        endpoint = checkout.state.endpoint
        judgement = judge(
            failure,
            replay=Replay.SAFE,
            own_credential=endpoint.has_own_credential,
            own_model=endpoint.model is not None,
        )
        self._failures.append(failure)
        self._demand.tried.append(checkout.state)
        self._backoff_base_s = judgement.backoff_base_s
        if failure.answer is not None and checkout.wants_report:
            self._note_limits(checkout, failure.answer.headers)
        if not judgement.try_again_here:
            self._useless.append(checkout.state)
        if judgement.feeds_breaker:
            before = checkout.state.breaker.state(now)
            checkout.failed(now, self._proxy.draw())
            if (after := checkout.state.breaker.state(now)) is not before:
                open_s = checkout.state.breaker.opens_until(now) - now
                self._proxy.tell(checkout.state, after.value, open_s, now)
        else:
            checkout.says_nothing(now)
        if judgement.cooldown_s is not None:
            self._cool(checkout.state, failure, judgement, now)
        self._end_checkout(now, sent=failure.sent)
        self._return_claims()
        return judgement

    def _cool(
        self, state: EndpointState, failure: UpstreamError, judgement: Judgement, now: float
    ) -> None:
        seconds = judgement.cooldown_s or 0.0
        cooling = state.cooldown_until > now
        state.cool(now + seconds, failure.reason)
        if isinstance(failure, Throttled):
            state.capacity.throttled()
        if judgement.slow_start:
            state.breaker.slow_down(now + seconds)
        if not cooling:
            self._proxy.tell(state, "misconfigured" if judgement.loud else "cooling", seconds, now)

    def _note_limits(self, checkout: Checkout, headers: Headers) -> None:
        if told := checkout.state.endpoint.provider.rate_limits(headers, wall_now=0.0):
            checkout.learn(told)
            if told.tokens is not None:
                self._group.counts_tokens = True

    def _end_checkout(
        self, now: float, *, used_tokens: int | None = None, sent: bool = True
    ) -> None:
        self._checkout.end(now, used_tokens=used_tokens, sent=sent)
        if self._group.line:
            self._proxy.room_of(self._group).move(now)

    def _return_claims(self) -> None:
        if self._retrying:
            self._group.budget.end()
            self._retrying = False
        if self._probing:
            self._group.probing = self._probing = False

    # ---- when no untried endpoint has room

    def _wait_for_checkout(self, now: float) -> None:
        group, demand = self._group, self._demand
        state = group.soonest(self._useless, now)
        if state is None:
            self._give_up(now)
            return
        demand.tried = list(self._useless)
        room_in_s = group.available_in_s(demand, now, newcomer=True)
        only_broken = isinf(room_in_s)
        if not only_broken and (room_in_s > 0 or not self._failures):
            self._line_up(room_in_s, now)
            return
        probe = state if only_broken and state.cooldown_until <= now else None
        self._pause(self._pause_s(state, now), now, partial(self._paused, probe))

    def _paused(self, probe: EndpointState | None, now: float) -> None:
        """`probe`: ask it although it is broken, if nobody else does."""
        group = self._group
        checkout = group.take_as_newcomer(self._demand, now)
        if checkout is None and probe is not None and not group.probing:
            group.probing = self._probing = True
            checkout = probe.begin(self._demand.tokens, now)
        if checkout is None:
            self._wait_for_checkout(now)
        else:
            self._attempt(checkout, now)

    def _line_up(self, room_in_s: float, now: float) -> None:
        queue, group = self._proxy.queue, self._group
        patience_s = min(queue.max_wait_s - self._in_line_s, self._deadline_at - now)
        crowded = len(group.line) >= queue.max_waiting
        if crowded or patience_s <= 0:
            self._demand.spill_at = min(self._demand.spill_at, now)
            if (checkout := group.take_as_newcomer(self._demand, now)) is not None:
                self._attempt(checkout, now)
                return
        if crowded or room_in_s > patience_s:
            self._give_up(now)
            return
        came = partial(self._left_line, now)
        self._proxy.room_of(group).wait(self._demand, came, now, at_most_s=patience_s)

    def _left_line(self, since: float, checkout: Checkout | None, now: float) -> None:
        self._in_line_s += now - since
        self._waited_s += now - since
        if checkout is None:
            self._wait_for_checkout(now)
        else:
            self._attempt(checkout, now)

    def _pause_s(self, state: EndpointState, now: float) -> float:
        draw = self._proxy.draw()
        if state.cooldown_until > now:
            return state.cooldown_until - now
        if self._failures:
            return backoff_s(len(self._failures), self._backoff_base_s, draw)
        return PROBE_POLL_S * (1 + draw) if self._group.probing else 0.0

    def _pause(self, pause_s: float, now: float, then: Act) -> None:
        self._paused_s += pause_s
        if self._paused_s > MAX_PAUSES_S or now + pause_s >= self._deadline_at:
            self._give_up(now)
        elif pause_s:
            self._waited_s += pause_s
            self._proxy.clock.at(now + pause_s, then)
        else:
            then(now)

    # ---- when the call ends without an answer

    def _status_at_the_end(
        self, failure: UpstreamError, judgement: Judgement, now: float
    ) -> int | None:
        """What the client gets if the call ends with this failure; None: it goes on."""
        if not (judgement.try_elsewhere or judgement.try_again_here):
            return failure.status
        if len(self._failures) >= self._proxy.max_attempts or now >= self._deadline_at:
            return self._status_of_nobody(now)
        return None

    def _status_of_nobody(self, now: float) -> int:
        failures, group = self._failures, self._group
        if failures and failures[-1].answer is not None:
            endpoint = self._checkout.state.endpoint
            own = {
                "own_credential": endpoint.has_own_credential,
                "own_model": endpoint.model is not None,
            }
            if len(group.states) == 1 or passes_unchanged(failures[-1], **own):
                return failures[-1].status
        if now >= self._deadline_at or (failures and isinstance(failures[-1], TimedOut)):
            return 504
        return 429 if group.full(self._demand, now) else 503

    def _give_up(self, now: float) -> None:
        self._return_claims()
        self._fail(self._status_of_nobody(now), now, may_go_elsewhere=True)

    def _fail(self, status: int, now: float, *, may_go_elsewhere: bool) -> None:
        self._group.in_flight -= 1
        self._status = self._status or status
        if may_go_elsewhere and self._fallbacks and now < self._deadline_at:
            self._enter(self._fallbacks.pop(0), now)
            return
        self._proxy.results.failed(self._status, self._arrival, self._waited_s, now)

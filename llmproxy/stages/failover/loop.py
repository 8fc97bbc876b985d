"""From one endpoint to the next until one accepts the call.

The rules say what a failure means (rules/retry.py) and the pool says who is next; this loop acts.
Nothing is tried again once `__aenter__` has returned: the commit point is where the language puts
it, because the loop is over by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from llmproxy.calls import Accepted, Call, Trail
from llmproxy.errors import NoEndpoint, StreamBroken, TimedOut, UpstreamError
from llmproxy.events import AttemptFailed, EndpointStateChanged, Listener
from llmproxy.pool import EndpointState, Group
from llmproxy.rules.retry import Judgement, Verdict, backoff_s, judge, passes_unchanged
from llmproxy.stages.failover.attempt import Attempts

# How long a call may wait for an endpoint to recover before it is told when to come back.
MAX_WAIT_S = 10.0
# While another call probes the group, look again this often (jittered).
PROBE_POLL_S = 0.1
HERD_SPREAD_S = 0.05
# While the retry budget is used up, look again this often (jittered).
RETRY_POLL_S = 0.02


class Failover:
    """The stage: hands out one FirstAccepted per call."""

    def __init__(
        self,
        attempts: Attempts,
        listener: Listener,
        *,
        max_attempts: int,
        draw: Callable[[], float],
    ) -> None:
        self.attempts = attempts
        self.listener = listener
        self.max_attempts = max_attempts
        self.draw = draw

    def first_accepted(self, call: Call, group: Group, trail: Trail) -> FirstAccepted:
        """`async with` it: yields the Accepted, closes it, and settles the endpoint's state."""
        return FirstAccepted(self, call, group, trail)


class FirstAccepted:
    """The attempts of one call."""

    __slots__ = (
        "_accepted",
        "_backoff_base_s",
        "_call",
        "_failures",
        "_group",
        "_owes_budget",
        "_probing",
        "_retrying",
        "_stage",
        "_state",
        "_ticket",
        "_trail",
        "_tried",
        "_useless",
        "_waited_s",
    )

    def __init__(self, stage: Failover, call: Call, group: Group, trail: Trail) -> None:
        self._stage = stage
        self._call = call
        self._group = group
        self._trail = trail
        self._tried: list[EndpointState] = []  # not again while another one is left
        self._useless: list[EndpointState] = []  # not again for this call
        self._failures: list[UpstreamError] = []
        self._owes_budget = False
        self._retrying = False
        self._probing = False
        self._backoff_base_s = 0.0
        self._waited_s = 0.0

    async def __aenter__(self) -> Accepted:
        group, trail = self._group, self._trail
        group.in_flight += 1
        try:
            while True:
                if self._owes_budget:
                    await self._begin_retry()
                state = group.choose(self._tried, monotonic()) or await self._wait_for_one()
                trail.attempts += 1
                trail.endpoint = state.endpoint.name
                began_at = monotonic()
                self._state, self._ticket = state, state.begin(began_at)
                try:
                    accepted = await self._stage.attempts.make(self._call, state.endpoint)
                except UpstreamError as failure:
                    self._learn(failure, began_at)
                    continue
                except BaseException:  # the client left, or it is our bug
                    state.forget(monotonic(), self._ticket)
                    state.leave()
                    raise
                finally:
                    trail.waited_s += monotonic() - began_at
                if state.answered(monotonic(), self._ticket):
                    self._tell(state, "closed", "it answers again", None)
                self._return_claims()
                self._accepted = accepted
                return accepted
        except BaseException:
            self._return_claims()
            group.in_flight -= 1
            raise

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._accepted.response.close()
        self._state.leave()
        if isinstance(error, StreamBroken):
            self._fail_breaker(monotonic(), error)
        self._group.in_flight -= 1

    # ---- after a failure

    def _learn(self, failure: UpstreamError, began_at: float) -> None:
        """Draw the conclusions of one failed attempt; raises when the call must end."""
        now = monotonic()
        state, call = self._state, self._call
        endpoint = state.endpoint
        judgement = judge(
            failure,
            replay=call.replay,
            own_credential=endpoint.has_own_credential,
            own_model=endpoint.model is not None,
        )
        self._failures.append(failure)
        self._tried.append(state)
        self._backoff_base_s = judgement.backoff_base_s
        state.leave()
        if not judgement.try_again_here:
            self._useless.append(state)
        if judgement.feeds_breaker:
            self._fail_breaker(now, failure)
        else:
            state.forget(now, self._ticket)
        if judgement.cooldown_s is not None:
            self._cool(state, failure, judgement, now)
        self._return_claims()
        error = self._reason_to_end(judgement, now)
        self._stage.listener.attempt_failed(
            AttemptFailed(
                call.id,
                self._group.name,
                state.endpoint.name,
                failure.reason,
                failure.answer.status if failure.answer else None,
                (Verdict.GIVE_UP if error else Verdict.NEXT_ENDPOINT).value,
                now - began_at,
                failure.message,
            )
        )
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

    def _fail_breaker(self, now: float, failure: UpstreamError) -> None:
        state = self._state
        before = state.breaker.state(now)
        state.fail(now, self._ticket, self._stage.draw())
        after = state.breaker.state(now)
        if after is not before:
            self._tell(state, after.value, failure.message, state.breaker.opens_until(now) - now)

    def _cool(
        self, state: EndpointState, failure: UpstreamError, judgement: Judgement, now: float
    ) -> None:
        seconds = judgement.cooldown_s or 0.0
        cooling = state.cooldown_until > now
        state.cool(now + seconds, failure.reason)
        if judgement.slow_start:
            state.breaker.slow_down(now + seconds)
        if cooling:
            return  # told already
        self._tell(
            state, "misconfigured" if judgement.loud else "cooling", failure.message, seconds
        )

    def _tell(self, state: EndpointState, what: str, why: str, for_s: float | None) -> None:
        endpoint = state.endpoint.name
        self._stage.listener.endpoint_state_changed(
            EndpointStateChanged(self._group.name, endpoint, what, why, for_s)
        )

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

    # ---- when no untried endpoint is available

    async def _wait_for_one(self) -> EndpointState:
        """Wait for the endpoint that recovers first, or raise the error that ends the call.

        When every breaker is open, one call at a time probes the endpoint that would recover
        first; the others wait a moment for what it finds.
        """
        group = self._group
        while True:
            now = monotonic()
            state = group.soonest(self._useless, now)
            if state is None:
                raise self._nobody(now)
            await self._sleep(self._pause_s(state, now), now)
            self._tried = list(self._useless)
            chosen = group.choose(self._tried, monotonic())
            if chosen is not None:
                return chosen
            if not group.probing and state.cooldown_until <= now:
                group.probing = self._probing = True
                return state

    def _pause_s(self, state: EndpointState, now: float) -> float:
        draw = self._stage.draw()
        if state.cooldown_until > now:
            # Not all at the same moment: the refill would be used up by a herd.
            return state.cooldown_until - now + draw * HERD_SPREAD_S
        if self._failures:
            return backoff_s(len(self._failures), self._backoff_base_s, draw)
        return PROBE_POLL_S * (1 + draw) if self._group.probing else 0.0

    async def _sleep(self, pause_s: float, now: float) -> None:
        self._waited_s += pause_s
        if self._waited_s > MAX_WAIT_S or now + pause_s >= self._call.deadline_at:
            raise self._nobody(now)
        if pause_s:
            await asyncio.sleep(pause_s)
            self._trail.waited_s += monotonic() - now

    def _nobody(self, now: float) -> Exception:
        """The error for a call that no endpoint could answer.

        With a single endpoint, and for what is the client's own to mend, the upstream's answer
        is the most faithful error there is.
        """
        failures = self._failures
        if failures and failures[-1].answer is not None:
            endpoint = self._state.endpoint
            if len(self._group.states) == 1 or passes_unchanged(
                failures[-1],
                own_credential=endpoint.has_own_credential,
                own_model=endpoint.model is not None,
            ):
                return failures[-1]
        recovers_in_s = self._group.recovers_in_s(self._useless, now)
        skipped = self._group.skipped(failures, now)
        error = NoEndpoint(self._group.name, failures, skipped, retry_after_s=recovers_in_s)
        if now >= self._call.deadline_at:
            error.status, error.code = 504, "deadline_exceeded"
        elif failures and isinstance(failures[-1], TimedOut):
            error.status, error.code = 504, TimedOut.code
        elif self._group.all_throttled(now):
            error.status, error.code = 429, "rate_limit_exceeded"
        return error

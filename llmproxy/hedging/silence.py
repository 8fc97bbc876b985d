"""What follows from an endpoint's silence: a hedge beside the attempt, and a judgement afterwards.

Silence alone is no failure: an endpoint that has accepted a call may need long. It becomes one
where others answer meanwhile, several times in a row.
"""

from __future__ import annotations

from collections.abc import Collection

from llmproxy.errors import TimedOut
from llmproxy.routing.actions import RoutedCall, Try
from llmproxy.routing.endpoint import EndpointState, StateChange, fail_breaker
from llmproxy.routing.group import Group
from llmproxy.routing.tier import CallDemand
from llmproxy.rules.breaker import BreakerState
from llmproxy.rules.hedging import kind_of


def hedge_after_s(group: Group, call: RoutedCall, attempt: Try, *, is_first: bool) -> float | None:
    """Return after how many seconds of silence an attempt may be hedged; None: not at all.

    `is_first`: it is the call's first attempt, and counts for the budget.
    """
    if not group.hedges.share or not call.hedgeable:
        return None
    if is_first:
        group.hedges.note_call()
    return suspicious_after_s(group, call, attempt.checkout.state)


def suspicious_after_s(group: Group, call: RoutedCall, state: EndpointState) -> float:
    """Return the seconds of silence that are unusual for a call at an endpoint."""
    after_s = group.hedges.after_s
    if after_s is not None:
        return after_s
    return state.promptness.suspicious_after_s(_kind_at(call, state))


def note_answer(group: Group, call: RoutedCall, attempt: Try, now: float) -> None:
    """Learn how soon an endpoint's answer began."""
    state = attempt.checkout.state
    if group.hedges.share and not state.alone:
        state.promptness.answered(_kind_at(call, state), now - attempt.began_at)


def begin_hedge(
    group: Group, demand: CallDemand, silent: Try, useless: Collection[EndpointState], now: float
) -> Try | None:
    """Begin an attempt at another endpoint than the silent one; None if none has capacity, or no
    budget is left.

    If the silent endpoint was found failing meanwhile, the attempt is a retry.
    """
    if group.queue.waiters:  # they come first
        return None
    is_retry = not silent.checkout.state.available(now)
    if not (group.budget.allows(group.in_flight) if is_retry else group.hedges.may_take):
        return None
    tried, demand.excluded = demand.excluded, [*useless, silent.checkout.state]
    checkout = group.take_as_newcomer(demand, now)
    demand.excluded = tried
    if checkout is None:
        return None
    if is_retry:
        group.budget.begin()
    else:
        group.hedges.take()
    tried.append(checkout.state)
    return Try(checkout, now, is_retry, is_hedge=True)


def judge_outrun(
    group: Group, call: RoutedCall, attempt: Try, now: float, draw: float
) -> list[StateChange]:
    """Judge an endpoint whose attempt was given up, because another one was accepted first.

    If it was silent for unusually long, that is a failure of a probe, and the third time in a row
    of any endpoint.
    """
    checkout, silent_s = attempt.checkout, now - attempt.began_at
    state = checkout.state
    is_suspicious = silent_s >= suspicious_after_s(group, call, state)
    state.promptness.given_up(_kind_at(call, state), silent_s, suspicious=is_suspicious)
    is_doubtful = state.promptness.is_silent or state.breaker.state(now) is not BreakerState.CLOSED
    if not (is_suspicious and is_doubtful):
        checkout.says_nothing(now)
        return []
    text = f"silent for {silent_s:.1f} s, until another endpoint answered the call"
    return fail_breaker(checkout, TimedOut(text, phase="first byte"), now, draw)


def _kind_at(call: RoutedCall, state: EndpointState) -> int:
    thinks = state.thinks if call.thinks is None else call.thinks
    return kind_of(stream=call.stream, thinks=thinks)

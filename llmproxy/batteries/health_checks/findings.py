"""Which endpoints need a health check, and what follows from one. Pure.

An endpoint that gets calls shows by them whether it is well. One that gets none, because it failed
or because a cheaper tier serves all calls, stays in the state of its last failure for ever. So it
is looked at, for free. What a check finds goes through the rules for calls: the breaker, and the
setting aside. A check proves less than a call, which makes these differences:

- It closes an open breaker before its time only if the endpoint could not be reached at all.
- It closes a breaker on trial: the first failed call opens it again.
- It never takes the place of the one call that may probe a half-open breaker. While such a call is
  under way, or once a call has shown something, the check changes nothing.
- It ends a setting aside only if it shows the opposite of the reason: the key is accepted, or the
  missing model is in the list. If the next call is refused all the same, checks are not believed.
- A 403 says nothing new, because listing models may need a permission of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmproxy.errors import (
    ConnectFailed,
    CredentialRejected,
    Misconfigured,
    QuotaExhausted,
    UpstreamError,
)
from llmproxy.events import EndpointChange, HealthCheckResult
from llmproxy.operations import Replay
from llmproxy.routing import EndpointState
from llmproxy.routing.endpoint import StateChange
from llmproxy.routing.setting_aside import changes_after, set_aside
from llmproxy.rules.breaker import BreakerState
from llmproxy.rules.retry import judge


class Answered(msgspec.Struct, frozen=True):
    """An endpoint answers a check. `proves_key`: it has accepted our key. `models`: those that it
    lists."""

    proves_key: bool = False
    models: frozenset[str] = frozenset()


Finding = Answered | UpstreamError


def needs_check(state: EndpointState, now: float) -> bool:
    """Return whether an endpoint is not known to be well, and nothing but a check or a call can
    show whether it is. A cooldown after a 429 ends by itself."""
    if state.drained:
        return False
    if state.is_set_aside(now):
        return True
    if state.cooldown_until > now or state.breaker.probed_for_s(now):
        return False
    return _may_close(state, now)


def settle(
    states: Sequence[EndpointState],
    state: EndpointState,
    finding: Finding,
    now: float,
    *,
    draw: float,
    is_believed: bool = True,
) -> tuple[HealthCheckResult, list[StateChange]]:
    """Change an endpoint's state by what a check found; return what that was, and the changes.

    `states`: its group's. `is_believed`: whether a good finding may end a setting aside.
    """
    if isinstance(finding, Answered):
        return HealthCheckResult.OK, _answered(state, finding, now, is_believed=is_believed)
    judgement = judge(finding, replay=Replay.SAFE, own_credential=state.endpoint.has_own_credential)
    if judgement.feeds_breaker:
        return HealthCheckResult.FAILED, _failed(state, finding, now, draw)
    is_known = state.is_set_aside(now)
    is_refusal = isinstance(finding, CredentialRejected | QuotaExhausted)
    if is_refusal and judgement.cooldown_s is not None and (is_known or finding.status != 403):
        if is_known:
            changes = set_aside(state, finding, judgement, judgement.cooldown_s, now)
        else:
            changes = changes_after(states, state, finding, judgement, now)
        return HealthCheckResult.REFUSED, changes
    # A 404, a 429, a 405: whatever it says, it answers.
    return HealthCheckResult.OK, _answered(state, Answered(), now, is_believed=is_believed)


def _may_close(state: EndpointState, now: float) -> bool:
    """Return whether an answer to a check closes the breaker."""
    match state.breaker.state(now):
        case BreakerState.HALF_OPEN:
            return True
        case BreakerState.OPEN:
            return state.past.failed_why == ConnectFailed.reason
        case _:
            return False


def _answered(
    state: EndpointState, finding: Answered, now: float, *, is_believed: bool
) -> list[StateChange]:
    changes = []
    if _may_close(state, now) and not state.breaker.probed_for_s(now):
        state.breaker.close_on_trial(now)
        changes.append(StateChange(state, EndpointChange.CLOSED, "it answers a health check"))
    if is_believed and state.is_set_aside(now) and _is_mended(state, finding):
        why = f"a health check finds it well again (it was set aside: {state.cooldown_why})"
        state.clear(now)
        changes.append(StateChange(state, EndpointChange.CLEARED, why))
    return changes


def _is_mended(state: EndpointState, finding: Answered) -> bool:
    """Return whether a check shows the opposite of what the endpoint was set aside for."""
    if state.cooldown_why == CredentialRejected.reason:
        return finding.proves_key
    if state.cooldown_why == Misconfigured.reason:
        return finding.proves_key and state.endpoint.model in finding.models
    return False  # only a call shows whether the quota is paid for


def _failed(
    state: EndpointState, failure: UpstreamError, now: float, draw: float
) -> list[StateChange]:
    """Count a failure as that of a call. Nothing is awaited in between: no call misses a probe."""
    breaker = state.breaker
    before = breaker.state(now)
    breaker.fail(now, breaker.begin(now), draw)
    state.past.failed_at, state.past.failed_why = now, failure.reason
    after = breaker.state(now)
    if after is before:
        return []
    open_s = breaker.opens_until(now) - now
    return [StateChange(state, EndpointChange(after.value), failure.message, open_s)]

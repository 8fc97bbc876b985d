"""Decides which endpoints need a health check, and what a check changes. Pure.

Calls show whether an endpoint is healthy. An endpoint that gets none, because it failed or because
a cheaper tier serves them all, would stay in the state of its last failure for ever. So a check
asks it something that costs nothing. The result goes through the rules for calls: the breaker, and
setting aside. But a check proves less than a call:

- It closes an open breaker early only if the last failure was a failed connection.
- The breaker is then closed on trial: the first call that fails opens it again.
- A half-open breaker lets one call through, as a probe. A check does not use up that probe. While
  the probe is under way, or if a call has ended since the check began, the check changes nothing.
- An endpoint that is set aside becomes available only if the check disproves the reason: the key is
  accepted, or the missing model is in the list. If the next call is refused all the same, checks
  make it available no more until a call succeeds.
- A 403 alone sets no endpoint aside, because listing models may need a permission of its own.
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
from llmproxy.routing.endpoint import StateChange, note_failure
from llmproxy.routing.setting_aside import changes_after, set_aside
from llmproxy.rules.breaker import BreakerState
from llmproxy.rules.retry import judge


class Answered(msgspec.Struct, frozen=True):
    """An endpoint answered a check. `proves_key`: it accepted our key. `models`: it listed them."""

    proves_key: bool = False
    models: frozenset[str] = frozenset()


Finding = Answered | UpstreamError


def needs_check(state: EndpointState, now: float) -> bool:
    """Return whether only a check or a call can show that an endpoint is healthy again.

    False during a cooldown after a 429, which ends by itself.
    """
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
    """Change an endpoint's state by what a check found; return the result and the changes.

    `states`: all of its group. `is_believed`: whether a good result may make an endpoint available
    that is set aside.
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
    # A 404, 405 or 429 is an answer, too: the endpoint is there.
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
        why = f"a health check finds it healthy again (it was set aside: {state.cooldown_why})"
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
    """Count a failed check like a failed call.

    `begin` and `fail` run without an await between them, so the check takes no call's probe.
    """
    breaker = state.breaker
    before = breaker.state(now)
    breaker.fail(now, breaker.begin(now), draw)
    return note_failure(state, failure, before, now)

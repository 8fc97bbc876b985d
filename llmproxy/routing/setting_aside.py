"""When a failure sets an endpoint aside for everybody, and when it is only this call's affair.

A refusal is one client's until it is proven to be the endpoint's: a call may need a permission that
others do not need, or name an operation that the model lacks. So a refusal does not set aside an
endpoint that answered others within the last seconds, nor the last one that others could use; a
refused key sets none aside whose key served others just now, in whatever group.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.errors import (
    CredentialRejected,
    Misconfigured,
    OperationRefused,
    RequestRejected,
    Throttled,
    UpstreamError,
)
from llmproxy.events import EndpointChange
from llmproxy.routing.endpoint import EndpointState, StateChange
from llmproxy.rules.retry import Judgement

PROVEN_S = 10.0  # an endpoint that answered within so many seconds is set up well
SUSPECT_S = 60.0  # as long as this another has answered, and this one has not
REPEAT_S = 300.0  # say so no more often


def changes_after(
    states: Sequence[EndpointState],
    state: EndpointState,
    failure: UpstreamError,
    judgement: Judgement,
    now: float,
) -> list[StateChange]:
    """Set an endpoint aside after a failure, if that is due. `states`: its group's."""
    if judgement.cooldown_s is None:
        return _suspicion(state, failure, now) if _is_odd(states, state, failure, now) else []
    is_refusal = isinstance(failure, CredentialRejected | Misconfigured)
    proofs = state.same_key if isinstance(failure, CredentialRejected) else ()
    if is_refusal and (
        _is_spared(states, state, now) or any(_is_proven(other, now) for other in proofs)
    ):
        return _suspicion(state, failure, now)
    return set_aside(state, failure, judgement, judgement.cooldown_s, now)


def _is_spared(states: Sequence[EndpointState], state: EndpointState, now: float) -> bool:
    """Whether one client's refusal must not set the endpoint aside for others."""
    if _is_proven(state, now):
        return True
    return not any(other is not state and other.available(now) for other in states)


def _is_proven(state: EndpointState, now: float) -> bool:
    """Whether it answered a call just now."""
    return now - state.past.served_at < PROVEN_S


def _is_odd(
    states: Sequence[EndpointState], state: EndpointState, failure: UpstreamError, now: float
) -> bool:
    """Whether it refuses what another endpoint of its group serves, and answers nothing itself."""
    if isinstance(failure, RequestRejected):
        if failure.status not in (400, 404) or not failure.unrecognised:
            return False
    elif not isinstance(failure, OperationRefused):
        return False
    if now - state.past.served_at < SUSPECT_S:
        return False
    return any(other is not state and now - other.past.served_at < SUSPECT_S for other in states)


def _suspicion(state: EndpointState, failure: UpstreamError, now: float) -> list[StateChange]:
    """Return the change that the log reports, unless it has done so lately."""
    if now - state.past.suspected_at < REPEAT_S:
        return []
    state.past.suspected_at = now
    return [StateChange(state, EndpointChange.SUSPECT, failure.message)]


def set_aside(
    state: EndpointState, failure: UpstreamError, judgement: Judgement, seconds: float, now: float
) -> list[StateChange]:
    """Leave an endpoint alone for so many seconds; a change only if it was not cooling already."""
    was_cooling = state.cooldown_until > now
    state.cool(now + seconds, failure.reason)
    if isinstance(failure, Throttled):
        state.capacity.throttled(careful=judgement.careful)
    if judgement.loud:
        state.past.refusal = failure.as_later_answer()
    if judgement.slow_start:
        state.breaker.slow_down(now + seconds)
    if was_cooling:
        return []
    what = EndpointChange.MISCONFIGURED if judgement.loud else EndpointChange.COOLING
    return [StateChange(state, what, failure.message, seconds)]

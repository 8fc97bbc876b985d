"""How a call ends that no endpoint of its group could answer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmproxy.errors import NoEndpoint, Throttled, TimedOut, Untranslatable, UpstreamError
from llmproxy.routing.endpoint import EndpointState
from llmproxy.routing.group import Group
from llmproxy.routing.tier import CallDemand
from llmproxy.rules.retry import Judgement
from llmproxy.steps import Verdict


class FailedAttempt(msgspec.Struct, frozen=True):
    """One failure of a call. `is_clients`: only the client can correct it."""

    state: EndpointState
    error: UpstreamError
    judgement: Judgement
    is_clients: bool


def useless_of(failures: Sequence[FailedAttempt]) -> list[EndpointState]:
    """Return the endpoints that another attempt of the call cannot help at."""
    return [failure.state for failure in failures if not failure.judgement.try_again_here]


def asked(failures: Sequence[FailedAttempt]) -> int:
    """Return how many of the failures are of endpoints that were asked."""
    return sum(not isinstance(failure.error, Untranslatable) for failure in failures)


def was_throttled_at(state: EndpointState, failures: Sequence[FailedAttempt]) -> bool:
    """Return whether the endpoint has throttled the call."""
    return any(
        failure.state is state and isinstance(failure.error, Throttled) for failure in failures
    )


def next_place(group: Group, failed: EndpointState, failures: Sequence[FailedAttempt]) -> Verdict:
    """Return where the call goes after a failure there."""
    useless = useless_of(failures)
    if all(state is failed or state in useless for state in group.states):
        return Verdict.SAME_ENDPOINT
    return Verdict.NEXT_ENDPOINT


def end_of(
    group: Group,
    demand: CallDemand,
    failures: Sequence[FailedAttempt],
    now: float,
    *,
    deadline_at: float,
) -> UpstreamError | NoEndpoint:
    """Return the error that ends a call after these failures, which are in order.

    The last endpoint's own answer is the most faithful error where there is no other endpoint, for
    what only the client can correct, and where every endpoint is set aside until a person acts.
    """
    if failures:
        last = failures[-1]
        is_best = last.is_clients or len(group.states) == 1
        if is_best and last.error.answer is not None:
            return last.error
        if len(failures) == len(group.states) and asked(failures) == 0:
            return last.error
    refusal = _refusal_of_all(group, failures, now)
    if refusal is not None:
        return refusal
    error = _no_endpoint(group, demand, failures, now, deadline_at)
    return _what_came(failures, error) or error


def _no_endpoint(
    group: Group,
    demand: CallDemand,
    failures: Sequence[FailedAttempt],
    now: float,
    deadline_at: float,
) -> NoEndpoint:
    """Return the error that names each endpoint and why it did not answer.

    504: the time was over. 429: limits are in the way. Otherwise 503.
    """
    errors = [failure.error for failure in failures]
    hopeless = [failure.state for failure in failures if not failure.judgement.recovers]
    error = NoEndpoint(
        group.name,
        errors,
        group.skipped(errors, demand, now),
        retry_after_s=group.recovers_in_s(hopeless, demand, now),
    )
    if now >= deadline_at:
        error.status, error.code = 504, "deadline_exceeded"
    elif errors and isinstance(errors[-1], TimedOut):
        error.status, error.code = 504, TimedOut.code
    elif group.full(demand, now):
        error.status, error.code = 429, "rate_limit_exceeded"
    return error


def _refusal_of_all(
    group: Group, failures: Sequence[FailedAttempt], now: float
) -> UpstreamError | None:
    """Return what the vendor said, if a person must act before any endpoint in service can answer.

    This call's own failure is preferred to what an earlier call was answered.
    """
    now_refused = {failure.state: failure.error for failure in failures if failure.judgement.loud}
    refusals = []
    for state in group.states:
        if state.drained:
            continue
        refusal = now_refused.get(state) or state.refusal(now)
        if refusal is None or refusal.answer is None:
            return None
        refusals.append(refusal)
    if now_refused:
        return failures[-1].error if failures[-1].judgement.loud else None
    return refusals[-1].as_later_answer() if refusals else None


def _what_came(failures: Sequence[FailedAttempt], error: NoEndpoint) -> UpstreamError | None:
    """Return the last failure whose answer had a success status: what came, the client gets.

    None if there is none, or if coming back later helps (429).
    """
    if error.status == 429:
        return None
    for failure in reversed(failures):
        answer = failure.error.answer
        if answer is not None and answer.is_success:
            return failure.error
    return None

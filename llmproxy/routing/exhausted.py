"""The error of a call that no endpoint of its group could answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from llmproxy.errors import NoEndpoint, TimedOut, UpstreamError
from llmproxy.routing.endpoint import EndpointState
from llmproxy.routing.group import Group
from llmproxy.routing.tier import CallDemand


def no_endpoint_error(
    group: Group,
    demand: CallDemand,
    failures: Sequence[UpstreamError],
    now: float,
    *,
    useless: Collection[EndpointState],
    deadline_at: float,
) -> NoEndpoint:
    """Return the error that names each endpoint and why it did not answer.

    `failures`: of the attempts, in order. `useless`: the endpoints that a later attempt cannot help
    at. 504: the time was over. 429: limits are in the way. Otherwise 503.
    """
    error = NoEndpoint(
        group.name,
        list(failures),
        group.skipped(failures, demand, now),
        retry_after_s=group.recovers_in_s(useless, demand, now),
    )
    if now >= deadline_at:
        error.status, error.code = 504, "deadline_exceeded"
    elif failures and isinstance(failures[-1], TimedOut):
        error.status, error.code = 504, TimedOut.code
    elif group.full(demand, now):
        error.status, error.code = 429, "rate_limit_exceeded"
    return error


def what_came(failures: Sequence[UpstreamError], error: NoEndpoint) -> UpstreamError | None:
    """Return the last failure whose answer had a success status: what came, the client gets.

    None if there is none, or if coming back later helps (429).
    """
    if error.status == 429:
        return None
    for failure in reversed(failures):
        if failure.answer is not None and failure.answer.is_success:
            return failure
    return None

"""The error for a call that no endpoint could answer."""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.calls import Call
from llmproxy.errors import NoEndpoint, TimedOut, UpstreamError
from llmproxy.providers.base import Endpoint
from llmproxy.routing import CallDemand, EndpointState, Group
from llmproxy.rules.retry import passes_unchanged


def unchanged_error(
    call: Call, group: Group, failures: list[UpstreamError], last: Endpoint | None
) -> UpstreamError | None:
    """The failure at the last endpoint, if its own answer is the most faithful error there is: with
    a single endpoint, and for what is the client's own to mend."""
    if last is None or failures[-1].answer is None:
        return None
    if len(group.states) == 1 or passes_unchanged(
        failures[-1],
        own_credential=not last.takes_key_of(call),
        own_model=last.model is not None,
    ):
        return failures[-1]
    return None


def no_endpoint_error(
    call: Call,
    group: Group,
    demand: CallDemand,
    failures: list[UpstreamError],
    useless: Sequence[EndpointState],
    *,
    now: float,
) -> NoEndpoint:
    """The error that names each endpoint and why it did not answer. 504: the time was over; 429:
    limits are in the way; else 503. `useless`: not again for this call."""
    recovers_in_s = group.recovers_in_s(useless, demand, now)
    skipped = group.skipped(failures, demand, now)
    error = NoEndpoint(group.name, failures, skipped, retry_after_s=recovers_in_s)
    if now >= call.deadline_at:
        error.status, error.code = 504, "deadline_exceeded"
    elif failures and isinstance(failures[-1], TimedOut):
        error.status, error.code = 504, TimedOut.code
    elif group.full(demand, now):
        error.status, error.code = 429, "rate_limit_exceeded"
    return error

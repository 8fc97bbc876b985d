"""Calls that are larger than all that an endpoint takes in a minute.

An endpoint that has called one too large is asked for no such call while another endpoint may take
it. Alone, or with the others out, it is asked: sizes in bytes say only roughly how a vendor counts.
They are compared instead of our estimate of tokens, which changes with what the vendors report.
"""

from __future__ import annotations

from math import inf

from llmproxy.calls import Call
from llmproxy.errors import TooLarge
from llmproxy.operations.rate_limits import RateLimit, RateLimits
from llmproxy.routing.actions import Try
from llmproxy.routing.endpoint import EndpointState
from llmproxy.routing.group import Group

BYTES_A_TOKEN = 4  # of the output bound, which vendors add to the prompt


def note_refusal(group: Group, call: Call, attempt: Try, failure: TooLarge) -> None:
    """Remember the size of a refused call, and the limit that the refusal names."""
    state, limit = attempt.checkout.state, failure.limit_tokens
    if not state.learns_limits:
        return
    group.knows_too_large = True
    state.past.too_large = min(state.past.too_large, size_of(call) or inf)
    if limit and state.capacity.vendor_limits[1] is None:
        group.estimates.needed = True
        attempt.checkout.learn(RateLimits(tokens=RateLimit(limit, limit, None)))


def note_answer(state: EndpointState, call: Call) -> None:
    """Forget a refusal that no longer holds: the endpoint has taken so large a call."""
    if size_of(call) >= state.past.too_large:
        state.past.too_large = inf


def too_small_for(group: Group, call: Call) -> list[EndpointState]:
    """Return the endpoints that have refused calls of this size."""
    if not group.knows_too_large:
        return []
    size = size_of(call)
    return [state for state in group.states if size >= state.past.too_large]


def size_of(call: Call) -> int:
    """Return a call's size in bytes, with its output bound; 0 for an upload."""
    if not isinstance(call.body, bytes):
        return 0
    return len(call.body) + BYTES_A_TOKEN * (call.max_output_tokens or 0)

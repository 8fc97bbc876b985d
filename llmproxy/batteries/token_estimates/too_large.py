"""Calls that are larger than all that an endpoint takes in a minute.

An endpoint that has called one too large is asked for no such call while another endpoint may take
it. Alone, or with the others out, it is asked: sizes in bytes say only roughly how a vendor counts.
They are compared instead of our estimate of tokens, which changes with what the vendors report.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from llmproxy.calls import Call
from llmproxy.errors import TooLarge
from llmproxy.operations.rate_limits import RateLimit, RateLimits
from llmproxy.routing import EndpointState
from llmproxy.routing.actions import Try

BYTES_A_TOKEN = 4  # of the output bound, which vendors add to the prompt


class TooLargeCalls:
    """What a group's endpoints have called too large: the half of `TokenEstimates` for refusals."""

    __slots__ = ("_smallest", "knows_too_large", "needed")

    def __init__(self) -> None:
        self.needed = False
        self.knows_too_large = False
        self._smallest: dict[EndpointState, float] = {}

    def refused(self, call: Call, attempt: Try, failure: TooLarge) -> None:
        """Remember the size of a refused call, and the limit that the refusal names."""
        state, limit = attempt.checkout.state, failure.limit_tokens
        if not state.learns_limits:
            return
        self.knows_too_large = True
        self._smallest[state] = min(self._smallest.get(state, inf), size_of(call) or inf)
        if limit and state.capacity.vendor_limits[1] is None:
            self.needed = True
            attempt.checkout.learn(RateLimits(tokens=RateLimit(limit, limit, None)))

    def taken(self, call: Call, state: EndpointState) -> None:
        """Forget a refusal that no longer holds: the endpoint has taken so large a call."""
        if size_of(call) >= self._smallest.get(state, inf):
            del self._smallest[state]

    def too_small_for(self, call: Call, states: Sequence[EndpointState]) -> list[EndpointState]:
        """Return the endpoints that have refused calls of this size."""
        size = size_of(call)
        return [state for state in states if size >= self._smallest.get(state, inf)]


def size_of(call: Call) -> int:
    """Return a call's size in bytes, with its output bound; 0 for an upload."""
    if not isinstance(call.body, bytes):
        return 0
    return len(call.body) + BYTES_A_TOKEN * (call.max_output_tokens or 0)

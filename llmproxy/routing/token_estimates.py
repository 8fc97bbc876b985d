"""The tokens of a call before it is sent, as its endpoints would charge them on arrival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from llmproxy.calls import Call
from llmproxy.errors import TooLarge
from llmproxy.operations import Usage
from llmproxy.routing.actions import Try
from llmproxy.routing.endpoint import EndpointState


class Accuracy(msgspec.Struct, frozen=True):
    """How good the estimates of one kind of `calls` are.

    `median_error`: relative, of the latest 100 calls; 0.1 = half were within 10 %.
    """

    calls: int
    median_error: float


class TokenEstimates(Protocol):
    """A group's estimates, which may learn from the usage that its endpoints return.

    `needed`: tokens matter to an endpoint or a caller; set as soon as such a limit is known.
    `knows_too_large`: an endpoint has called a call too large.
    """

    needed: bool
    knows_too_large: bool

    def of(self, call: Call) -> tuple[int, object]:
        """Return a call's estimated input plus its output bound, and what it was measured by.

        0 and None if tokens do not matter or the body is not in memory.
        """

    def roughly(
        self, call: Call, now: float, states: Sequence[EndpointState]
    ) -> tuple[int, object]:
        """Return the same, at less cost while much is left at all endpoints (`states`)."""

    def unwritten(self, call: Call) -> int:
        """Return the part of a call's output bound that such calls do not usually write."""

    def learn(self, call: Call, measured: object, usage: Usage) -> None:
        """Note the usage of a call that an endpoint returned. `measured`: of `roughly`."""

    def errors(self) -> Mapping[str, Accuracy]:
        """Return how far the estimates are off, by kind of call."""

    def refused(self, call: Call, attempt: Try, failure: TooLarge) -> None:
        """Note that an endpoint called a call too large."""

    def taken(self, call: Call, state: EndpointState) -> None:
        """Note that an endpoint accepted a call, once one was called too large."""

    def too_small_for(self, call: Call, states: Sequence[EndpointState]) -> list[EndpointState]:
        """Return the endpoints that have refused calls of this size."""


class OutputBounds(TokenEstimates):
    """Without the battery of that name: the output bound, all of it, and nothing for the input.

    A limit on tokens holds all the same: what a whole answer has used is counted.
    """

    def __init__(self) -> None:
        self.needed = self.knows_too_large = False

    def of(self, call: Call) -> tuple[int, object]:
        """See `TokenEstimates`."""
        return (call.max_output_tokens or 0) if self.needed else 0, None

    def roughly(
        self, call: Call, now: float, states: Sequence[EndpointState]
    ) -> tuple[int, object]:
        """See `TokenEstimates`."""
        del now, states
        return self.of(call)

    def unwritten(self, call: Call) -> int:
        """See `TokenEstimates`."""
        del call
        return 0

    def errors(self) -> Mapping[str, Accuracy]:
        """See `TokenEstimates`."""
        return {}

    def too_small_for(self, call: Call, states: Sequence[EndpointState]) -> list[EndpointState]:
        """See `TokenEstimates`."""
        del call, states
        return []

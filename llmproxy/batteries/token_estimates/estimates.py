"""Estimates the tokens of a call before it is sent, from what earlier calls have shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from llmproxy.batteries.token_estimates.estimator import Estimator
from llmproxy.batteries.token_estimates.output import OutputEstimates
from llmproxy.batteries.token_estimates.reported_input import counts_at_start
from llmproxy.batteries.token_estimates.size import Size, measure
from llmproxy.batteries.token_estimates.streams import StreamLine, can_estimate
from llmproxy.batteries.token_estimates.too_large import TooLargeCalls
from llmproxy.batteries.usage_of_streams import usage_of_stream
from llmproxy.calls import Accepted, Call
from llmproxy.operations import Usage
from llmproxy.record import CallRecord
from llmproxy.routing import EndpointState, Group, Pool
from llmproxy.routing.token_estimates import Accuracy

# While much is left for all, one small call is measured in this many seconds for each endpoint: all
# of them are looked at for it, and each gets as many calls in between as one alone would.
MEASURE_EVERY_S = 0.005
LONGEST_ROUGH_S = 0.25
ROUGH_BYTES = 8_192
# Where only costs are estimated, one call in so many is measured, to learn from its usage.
LEARN_EVERY = 8


class LearnedEstimates(TooLargeCalls):
    """A group's estimates, which learn from the usage that its endpoints return.

    Implements `TokenEstimates`.
    """

    __slots__ = (
        "_estimator",
        "_learned",
        "_outputs",
        "_rough_until",
        "_scarce",
        "_streams",
        "_tokens_a_byte",
        "_unreported",
    )

    def __init__(self) -> None:
        super().__init__()
        self._estimator = Estimator()
        self._outputs = OutputEstimates()
        self._rough_until = 0.0
        self._tokens_a_byte = 0.0
        self._scarce: tuple[Sequence[EndpointState], EndpointState] | None = None
        self._streams: dict[tuple[str, str], StreamLine] = {}
        self._unreported = False  # a stream has reported no usage
        self._learned = 0

    def of(self, call: Call) -> tuple[int, Size | None]:
        """Return a call's estimated input plus its output bound, and the size of its body.

        0 and None if tokens do not matter or the body is not in memory.
        """
        if not self.needed or not isinstance(call.body, bytes):
            return 0, None
        size = measure(call.body, call.route.path)
        return self._estimator.tokens(size) + (call.max_output_tokens or 0), size

    def roughly(
        self, call: Call, now: float, states: Sequence[EndpointState]
    ) -> tuple[int, Size | None]:
        """Return the same at less cost under load.

        While so much is left at all endpoints that an error does not matter, a small call is taken
        to be as dense as the last one that was measured; its size is None then.
        """
        body = call.body
        if isinstance(body, bytes) and now < self._rough_until and len(body) <= ROUGH_BYTES:
            return int(len(body) * self._tokens_a_byte) + (call.max_output_tokens or 0), None
        tokens, size = self.of(call)
        if size is not None and self._have_plenty(states, tokens):
            self._rough_until = now + min(MEASURE_EVERY_S * len(states), LONGEST_ROUGH_S)
            self._tokens_a_byte = (tokens - (call.max_output_tokens or 0)) / max(1, size.text_bytes)
        return tokens, size

    def _have_plenty(self, states: Sequence[EndpointState], tokens: int) -> bool:
        """Return whether much is left at all endpoints. The one that lacked it last is asked first:
        while it does, a call asks no other."""
        if self._scarce is not None:
            of, scarce = self._scarce
            if of is states and not scarce.capacity.has_plenty(tokens):
                return False
        scarce_ones = (state for state in states if not state.capacity.has_plenty(tokens))
        found = next(scarce_ones, None)
        self._scarce = None if found is None else (states, found)
        return found is None

    def unwritten(self, call: Call) -> int:
        """Return the part of a call's output bound that such calls do not usually write."""
        bound = call.max_output_tokens
        return self._outputs.unwritten(bound) if bound and self.needed else 0

    def learn(self, call: Call, measured: object, usage: Usage) -> None:
        """Correct the estimates by the usage that an endpoint returned for a call.

        `measured`: the size of its body; None if it was not measured.
        """
        if usage.estimated:
            return
        if measured is None and self._unreported and isinstance(call.body, bytes):
            self._learned += 1
            if self._learned % LEARN_EVERY == 1:
                measured = measure(call.body, call.route.path)
        if isinstance(measured, Size):
            self._estimator.learn(measured, usage.input_tokens)
        if call.max_output_tokens and self.needed:
            self._outputs.learn(call.max_output_tokens, usage.output_tokens)

    def of_stream(
        self, accepted: Accepted, usage: Usage | None, tail: bytes, passed: int
    ) -> Usage | None:
        """Return the usage of a stream that is over: what it reports, or else an estimate.

        `tail`: the last of its bytes, of which `passed` went through in all.
        """
        call = accepted.call
        family = call.route.operation.family
        if not can_estimate(family):
            return usage
        key = accepted.endpoint, family
        line = self._streams.get(key)
        if line is None:
            line = self._streams[key] = StreamLine(family)
        if usage is not None:
            if usage.output_tokens:
                line.learn(passed, usage.output_tokens)
            return usage
        if not isinstance(call.body, bytes):
            return None
        self._unreported = True
        line.learn_sample(passed, tail)
        tokens = line.tokens(passed)
        if call.max_output_tokens:
            tokens = min(tokens, call.max_output_tokens)
        counts = counts_at_start(accepted.held)
        if counts is not None and (input_tokens := counts.input()) is not None:
            return replace(counts.with_details(input_tokens, tokens), estimated=True)
        size = measure(call.body, call.route.path)
        return Usage(self._estimator.tokens(size), tokens, estimated=True)

    def errors(self) -> Mapping[str, Accuracy]:
        """Return how far the estimates are off, by kind of call."""
        return self._estimator.errors()


def usage_of_streams(pool: Pool) -> Callable[[Accepted, CallRecord, bytes, int], Usage | None]:
    """Return what says the usage of streams that are over, also of those that report none."""
    return partial(_usage_of_stream, pool.groups)


def _usage_of_stream(
    groups: Mapping[str, Group], accepted: Accepted, record: CallRecord, tail: bytes, passed: int
) -> Usage | None:
    usage = accepted.response.usage or usage_of_stream(tail, accepted.held)
    group = groups.get(record.fallback or record.group or "")
    if group is None or not isinstance(group.estimates, LearnedEstimates):
        return usage
    return group.estimates.of_stream(accepted, usage, tail, passed)

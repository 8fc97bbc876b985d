"""Estimates the tokens of a call before it is sent, from what earlier calls have shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmproxy.batteries.token_estimates.estimator import Estimator
from llmproxy.batteries.token_estimates.output import OutputEstimates
from llmproxy.batteries.token_estimates.size import Size, measure
from llmproxy.batteries.token_estimates.too_large import TooLargeCalls
from llmproxy.calls import Call
from llmproxy.operations import Usage
from llmproxy.routing import EndpointState
from llmproxy.routing.token_estimates import Accuracy

# While much is left for all, one small call is measured in this many seconds.
MEASURE_EVERY_S = 0.005
ROUGH_BYTES = 8_192


class LearnedEstimates(TooLargeCalls):
    """A group's estimates, which learn from the usage that its endpoints return.

    Implements `TokenEstimates`.
    """

    __slots__ = ("_estimator", "_outputs", "_rough_until", "_tokens_a_byte")

    def __init__(self) -> None:
        super().__init__()
        self._estimator = Estimator()
        self._outputs = OutputEstimates()
        self._rough_until = 0.0
        self._tokens_a_byte = 0.0

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
        if size is not None and all(state.capacity.has_plenty(tokens) for state in states):
            self._rough_until = now + MEASURE_EVERY_S
            self._tokens_a_byte = (tokens - (call.max_output_tokens or 0)) / max(1, size.text_bytes)
        return tokens, size

    def unwritten(self, call: Call) -> int:
        """Return the part of a call's output bound that such calls do not usually write."""
        bound = call.max_output_tokens
        return self._outputs.unwritten(bound) if bound and self.needed else 0

    def learn(self, call: Call, measured: object, usage: Usage) -> None:
        """Correct the estimates by the usage that an endpoint returned for a call.

        `measured`: the size of its body; None if it was not measured.
        """
        if isinstance(measured, Size):
            self._estimator.learn(measured, usage.input_tokens)
        if call.max_output_tokens and self.needed:
            self._outputs.learn(call.max_output_tokens, usage.output_tokens)

    def errors(self) -> Mapping[str, Accuracy]:
        """Return how far the estimates are off, by kind of call."""
        return self._estimator.errors()

"""The tokens of a call before it is sent, as its endpoints would charge them on arrival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmproxy.calls import Call
from llmproxy.routing.endpoint import EndpointState
from llmproxy.rules.estimate import Accuracy, Estimator, Size, measure
from llmproxy.rules.output_estimate import OutputEstimates

# While there is plenty for all, one small call in so many seconds is measured.
MEASURE_EVERY_S = 0.005
ROUGH_BYTES = 8_192


class TokenEstimates:
    """A group's estimates, which learn from the usage that its endpoints return.

    `needed`: tokens matter to an endpoint or a caller; set as soon as such a limit is known.
    """

    __slots__ = ("_estimator", "_outputs", "_rough_until", "_tokens_a_byte", "needed")

    def __init__(self) -> None:
        self.needed = False
        self._estimator = Estimator()
        self._outputs = OutputEstimates()
        self._rough_until = 0.0
        self._tokens_a_byte = 0.0

    def of(self, call: Call) -> tuple[int, Size | None]:
        """Return a call's estimated input plus its output bound, and what the estimate is made of.

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

    def learn(self, size: Size, input_tokens: int) -> None:
        """Correct the estimates by the usage that an endpoint returned for a call."""
        self._estimator.learn(size, input_tokens)

    def learn_output(self, call: Call, output_tokens: int) -> None:
        """Note how much an endpoint wrote for a call, where its client had set a bound."""
        if call.max_output_tokens and self.needed:
            self._outputs.learn(call.max_output_tokens, output_tokens)

    def errors(self) -> Mapping[str, Accuracy]:
        """Return how far the estimates are off, by kind of call."""
        return self._estimator.errors()

"""The output tokens of a stream that reports no usage, from the bytes that went through.

The events of one model have about the same bytes a token, whatever the vendor wraps its text in. So
there is a line from bytes to tokens for each endpoint and dialect. It is fitted to the streams that
did report their usage; before there is one, to samples of the text at the ends of streams.
"""

from __future__ import annotations

import re

from llmproxy.batteries.token_estimates.estimator import TokenLine
from llmproxy.batteries.token_estimates.size import PRIORS, content_of
from llmproxy.operations.sse import complete_length

SAMPLE_BYTES = 2_048  # the last ones of a stream
# All of the first streams are learned from, then one in so many: it takes 5 us, with a sample 15.
FIRST, REPORTED_EVERY, SAMPLED_EVERY = 16, 4, 16
# Where a piece of text is this short in the mean, each piece is a token.
TOKEN_BYTES = 8
# Before the first stream of an endpoint: what an event of OpenAI's takes for a token.
USUAL_PER_BYTE = 1 / 230

_VALUE = rb'"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
# The members of events that hold what the model wrote, by the family of the operation.
_TEXTS = {
    "chat": re.compile(rb'"(?:content|arguments|reasoning|reasoning_content|refusal)' + _VALUE),
    "completions": re.compile(rb'"text' + _VALUE),
    "messages": re.compile(rb'"(?:text|thinking|partial_json)' + _VALUE),
    "responses": re.compile(rb'"delta' + _VALUE),
}


class StreamLine:
    """The line of one endpoint and one family of operations. Mutable.

    `reported`: fitted to reported usage. `sampled`: to samples, which takes its place until then.
    """

    __slots__ = ("_ended", "_family", "_reported", "_sampled")

    def __init__(self, family: str) -> None:
        self._family = family
        self._reported = TokenLine(USUAL_PER_BYTE)
        self._sampled = TokenLine(USUAL_PER_BYTE)
        self._ended = 0

    def learn(self, passed: int, output_tokens: int) -> None:
        """Learn from a stream of so many bytes that has reported its output tokens."""
        if self._is_due(REPORTED_EVERY):
            self._reported.learn(passed, 0, output_tokens)

    def learn_sample(self, passed: int, tail: bytes) -> None:
        """Learn from the text at the end of a stream that has not reported its tokens, as long as
        none has. `passed`: the length of the stream in bytes."""
        if not self._reported.calls and self._is_due(SAMPLED_EVERY):
            self._learn_from(passed, tail)

    def tokens(self, passed: int) -> int:
        """Return the estimated output tokens of a stream of so many bytes."""
        line = self._reported if self._reported.calls else self._sampled
        tokens = line.base + line.per_byte * passed
        return int(tokens) if tokens > 1.0 else 1

    def _is_due(self, every: int) -> bool:
        """Count a stream that is over; return whether to learn from it."""
        self._ended += 1
        return self._ended <= FIRST or self._ended % every == 0

    def _learn_from(self, passed: int, tail: bytes) -> None:
        sample = tail[-SAMPLE_BYTES:]
        if len(sample) < passed:
            sample = sample[complete_length(sample[: SAMPLE_BYTES // 2]) :]  # from an event's begin
        if not sample:
            return
        tokens = tokens_in(sample, self._family) * passed / len(sample)
        if not self._sampled.calls:
            self._sampled = TokenLine(tokens / passed)
        self._sampled.learn(passed, 0, max(1, round(tokens)))


def tokens_in(events: bytes, family: str) -> int:
    """Return the tokens of text in a piece of a stream, roughly."""
    pieces = [piece for piece in _TEXTS[family].findall(events) if piece]
    text = b"".join(pieces)
    if len(text) < TOKEN_BYTES * len(pieces):
        return len(pieces)
    return round(len(text) * PRIORS[content_of(text, text)])


def can_estimate(family: str) -> bool:
    """Return whether the texts in streams of such operations are known."""
    return family in _TEXTS

"""From the size of a body to its tokens: one line for each kind, fitted to the returned usage.

    tokens = base + per_byte * text_bytes + per_guess * extra_tokens

`base` is what all calls of an application have in common (instructions, tools), which weighs more
in short calls than in long ones. A bare ratio has one and a half times the error on this project's
corpus of mixed calls, and errs by a factor where the base is large (decision 032).

Example: 1,500 tokens of instructions and 0.25 tokens a byte. A call of 100 bytes has 1,525 tokens,
one of 3,000 bytes 2,250.
"""

from __future__ import annotations

from collections import deque
from statistics import median

import msgspec

from llmproxy.batteries.token_estimates.size import PRIOR_OF, Size
from llmproxy.routing.token_estimates import Accuracy

MEMORY = 100  # calls: the line follows a change in about so many, and the accuracy is of these
FADING = 1.0 - 1.0 / MEMORY
# After this many calls, a call that is off by more than a factor of OUTLIER counts as off by that
# factor: the vendor's count is wrong, or the call is not of its kind.
UNSETTLED_CALLS, OUTLIER = 20, 2.0
# How strongly the line is pulled to the origin: while there are few calls, and where all calls have
# about the same length, since the slope would be fitted to noise.
RIDGE, RIDGE_AT_FIRST = 0.002, 0.5
TINY = 1e-300  # instead of a division by zero
MAX_TOKENS = 100_000_000  # of a call; a vendor that returns more is mistaken
MAX_PER_BYTE = 2.0  # tokenizers give one token a byte at most
MAX_PER_GUESS, GUESS_CALLS = 50.0, 20


class Estimator:
    """The lines of one model group, one for each kind that has come up. Mutable; the group's."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[str, TokenLine] = {}

    def tokens(self, size: Size) -> int:
        """Return the estimated input tokens of a call; at least 1."""
        line = self._lines.get(size.kind) or self._add(size.kind)
        tokens = line.base + line.per_byte * size.text_bytes
        if size.extra_tokens:
            tokens += line.per_guess * size.extra_tokens
        return int(tokens) if tokens > 1.0 else 1

    def learn(self, size: Size, input_tokens: int) -> None:
        """Learn from a call's returned usage. An endpoint that returns 0 does not count tokens."""
        if input_tokens > 0:
            line = self._lines.get(size.kind) or self._add(size.kind)
            line.learn(size.text_bytes, size.extra_tokens, min(input_tokens, MAX_TOKENS))

    def errors(self) -> dict[str, Accuracy]:
        """Return the accuracy of every kind that was learned from."""
        return {kind: line.accuracy() for kind, line in self._lines.items() if line.calls}

    def _add(self, kind: str) -> TokenLine:
        line = self._lines[kind] = TokenLine(PRIOR_OF[kind])
        return line


class _Sums(msgspec.Struct):
    """Weighted sums over the calls, the latest 100 counting most: 1, bytes, tokens, products."""

    weight: float = 0.0
    bytes: float = 0.0
    tokens: float = 0.0
    bytes_bytes: float = 0.0
    bytes_tokens: float = 0.0

    def add(self, weight: float, size: float, tokens: float) -> None:
        """Add a call of so many bytes and tokens; what was added before fades."""
        self.weight = self.weight * FADING + weight
        self.bytes = self.bytes * FADING + weight * size
        self.tokens = self.tokens * FADING + weight * tokens
        self.bytes_bytes = self.bytes_bytes * FADING + weight * size * size
        self.bytes_tokens = self.bytes_tokens * FADING + weight * size * tokens


class TokenLine:
    """Least squares of the relative error, over the latest calls of one kind.

    Each call weighs 1 / tokens**2, so that short calls matter as much as long ones. `per_guess`:
    how many tokens a guessed token of an image, audio or file turned out to be. The prior counts as
    one call.
    """

    __slots__ = ("_ratios", "_sums", "base", "calls", "per_byte", "per_guess")

    def __init__(self, prior: float) -> None:
        self.base, self.per_byte, self.per_guess = 0.0, prior, 1.0
        self.calls = 0
        self._sums = _Sums()
        self._ratios: deque[float] = deque(maxlen=MEMORY)

    def learn(self, text_bytes: int, extra_tokens: int, returned: int) -> None:
        """Fit the line to one more call, which had `returned` input tokens."""
        self.calls += 1
        expected = self.base + self.per_byte * text_bytes + self.per_guess * extra_tokens
        expected = max(expected, 1.0)
        self._ratios.append(returned / expected)
        tokens = float(returned)
        if self.calls > UNSETTLED_CALLS:
            tokens = min(max(tokens, expected / OUTLIER), expected * OUTLIER)
        weight = 1.0 / max(tokens, expected) ** 2
        if extra_tokens:
            gain = max(1.0 / self.calls, 1.0 / GUESS_CALLS)
            per_guess = self.per_guess + gain * (tokens - expected) / extra_tokens
            self.per_guess = min(max(per_guess, 0.0), MAX_PER_GUESS)
            tokens -= self.per_guess * extra_tokens  # what the text has to explain
        if self.calls == 1:
            self._sums.add(weight, text_bytes, self.per_byte * text_bytes)
        self._sums.add(weight, text_bytes, tokens)
        self._fit()

    def _fit(self) -> None:
        sums = self._sums
        variance = sums.weight * sums.bytes_bytes - sums.bytes * sums.bytes
        covariance = sums.weight * sums.bytes_tokens - sums.bytes * sums.tokens
        # Pulled towards the line through the origin, which is the bare ratio.
        ratio = sums.tokens / (sums.bytes + TINY)
        ridge = (RIDGE + RIDGE_AT_FIRST / self.calls**2) * sums.weight * sums.bytes_bytes
        per_byte = (covariance + ridge * ratio) / (variance + ridge + TINY)
        self.per_byte = min(max(per_byte, 0.0), MAX_PER_BYTE)
        self.base = (sums.tokens - self.per_byte * sums.bytes) / sums.weight

    def accuracy(self) -> Accuracy:
        """Return how good the latest estimates were."""
        return Accuracy(self.calls, median(abs(1.0 / ratio - 1.0) for ratio in self._ratios))

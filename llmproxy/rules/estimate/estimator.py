"""From the size of a body to its tokens: a line for each kind, drawn by the returned usage.

A ratio alone would not do: what every call of an application has in common (its instructions, its
tools) weighs more in short calls than in long ones.
"""

from __future__ import annotations

from collections import deque
from statistics import median, quantiles

import msgspec

from llmproxy.rules.estimate.size import PRIOR_OF, Size


class Accuracy(msgspec.Struct, frozen=True):
    """How good the latest estimates of one kind were; of the latest MEMORY calls, but `calls`.

    `median_error`: relative, 0.1 = half of the estimates were within 10 %. `ratio`: of returned to
    estimated tokens, the median. `spread`: from the lowest tenth of that ratio to its highest.
    """

    calls: int
    median_error: float
    ratio: float
    spread: float


MEMORY = 100  # calls that count: the line follows in about so many, and the accuracy is theirs


class Estimator:
    """The lines of one model group, one for each kind that has come up. Mutable; the group's."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[str, _TokenLine] = {}

    def tokens(self, size: Size) -> int:
        """The input tokens that a call of this size may have; at least 1."""
        line = self._lines.get(size.kind)
        if line is None:
            line = self._lines[size.kind] = _TokenLine(PRIOR_OF[size.kind])
        tokens = line.base + line.slope * size.text_bytes
        if size.extra_tokens:
            tokens += line.extra * size.extra_tokens
        return int(tokens) if tokens > 1.0 else 1

    def learn(self, size: Size, input_tokens: int) -> None:
        """A call of this size had so many. Who returns none has not counted: nothing is learned."""
        if input_tokens <= 0:
            return
        line = self._lines.get(size.kind)
        if line is None:
            line = self._lines[size.kind] = _TokenLine(PRIOR_OF[size.kind])
        line.learn(size.text_bytes, size.extra_tokens, min(input_tokens, MAX_TOKENS))

    def errors(self) -> dict[str, Accuracy]:
        """How good the estimates are, of every kind that has been learned from."""
        return {kind: line.accuracy() for kind, line in self._lines.items() if line.calls}


FADING = 1.0 - 1.0 / MEMORY
# From then on, a call that is off by more than a factor of OUTLIER counts as off by that: it is
# somebody's mistake, or it is not of its kind.
UNSETTLED_CALLS, OUTLIER = 20, 2.0
# How strongly the line keeps to the origin: while there are few calls, and where all are about as
# long, since then the slope would be made of noise.
RIDGE, RIDGE_AT_FIRST = 0.002, 0.5
TINY = 1e-300  # instead of a division by zero
MAX_TOKENS = 100_000_000  # of a call; a vendor that tells more is mistaken
MAX_SLOPE = 2.0  # tokens a byte: tokenizers give one at most
MAX_EXTRA, EXTRA_CALLS = 50.0, 20


class _TokenLine:
    """Least squares over the latest calls, of the relative error: tokens = base + slope * bytes.

    Sums of 1, x, y, xx and xy, fading from call to call, where each call weighs 1 / tokens**2, so
    that short calls matter as much as long ones. `extra`: how many tokens a guessed token of an
    image, audio or file has turned out to be. The prior counts as one call.
    """

    __slots__ = (
        "_ratios",
        "_w",
        "_x",
        "_xx",
        "_xy",
        "_y",
        "base",
        "calls",
        "extra",
        "slope",
    )

    def __init__(self, prior: float) -> None:
        self._w = self._x = self._y = self._xx = self._xy = 0.0
        self.base, self.slope, self.extra = 0.0, prior, 1.0
        self.calls = 0
        self._ratios: deque[float] = deque(maxlen=MEMORY)

    def learn(self, x: int, extra_tokens: int, y: float) -> None:
        """A call of x bytes of text had y tokens."""
        self.calls += 1
        expected = max(self.base + self.slope * x + self.extra * extra_tokens, 1.0)
        self._ratios.append(y / expected)
        if self.calls > UNSETTLED_CALLS:
            if y > expected * OUTLIER:
                y = expected * OUTLIER
            elif y * OUTLIER < expected:
                y = expected / OUTLIER
        weight = 1.0 / (y * y if y > expected else expected * expected)
        if extra_tokens:  # what the text does not explain
            gain = max(1.0 / self.calls, 1.0 / EXTRA_CALLS)
            extra = self.extra + gain * (y - expected) / extra_tokens
            self.extra = min(max(extra, 0.0), MAX_EXTRA)
            y -= self.extra * extra_tokens
        if self.calls == 1:
            self._begin(weight, x, self.slope * x)
        weighted_x = weight * x
        self._w = w = self._w * FADING + weight
        self._x = sx = self._x * FADING + weighted_x
        self._y = sy = self._y * FADING + weight * y
        self._xx = sxx = self._xx * FADING + weighted_x * x
        self._xy = sxy = self._xy * FADING + weighted_x * y
        ridge = (RIDGE + RIDGE_AT_FIRST / (self.calls * self.calls)) * w * sxx
        slope = (w * sxy - sx * sy + ridge * sy / (sx + TINY)) / (w * sxx - sx * sx + ridge + TINY)
        if not 0.0 <= slope <= MAX_SLOPE:
            slope = 0.0 if slope < 0.0 else MAX_SLOPE
        self.slope = slope
        self.base = (sy - slope * sx) / w

    def _begin(self, weight: float, x: int, y: float) -> None:
        self._w, self._x, self._y = weight, weight * x, weight * y
        self._xx, self._xy = self._x * x, self._x * y

    def accuracy(self) -> Accuracy:
        ratios = list(self._ratios)
        tenths = quantiles(ratios, n=10) if len(ratios) > 1 else ratios * 9
        return Accuracy(
            self.calls,
            median(abs(1.0 / ratio - 1.0) for ratio in ratios),
            median(ratios),
            tenths[-1] - tenths[0],
        )

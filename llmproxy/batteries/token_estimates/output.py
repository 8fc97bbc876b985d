"""How much of its output bound a call usually writes.

Clients set `max_tokens` generously: 32,000 for an answer of 200 tokens. Most vendors count what is
written. Reserving the whole bound there would refuse calls that the vendor takes.
"""

from __future__ import annotations

# Before any call with a similar bound has ended. Most answers are shorter.
FIRST_GUESS = 1_000
WEIGHT = 0.1  # the weight of the latest answer in the averages
DEVIATIONS = 2.0  # above the mean, so that one answer in twenty or so is longer


class OutputEstimates:
    """The usual outputs of a group's calls, by the size of their bound. Mutable.

    Calls with similar bounds (within a factor of 4) are alike: a call that allows 10 tokens
    gets another kind of answer than one that allows 32,000.
    """

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: dict[int, tuple[float, float]] = {}  # mean, mean deviation

    def usual(self, bound: int) -> int:
        """Return what a call with this bound usually writes at most; never above the bound."""
        kind = self._kinds.get(_kind_of(bound))
        if kind is None:
            return min(bound, FIRST_GUESS)
        mean, deviation = kind
        return min(bound, int(mean + DEVIATIONS * deviation) + 1)

    def unwritten(self, bound: int) -> int:
        """Return the rest of the bound, which such a call does not usually write."""
        return bound - self.usual(bound)

    def learn(self, bound: int, written: int) -> None:
        """Note what a call with this bound has written."""
        key, written = _kind_of(bound), min(max(written, 0), bound)
        kind = self._kinds.get(key)
        if kind is None:
            self._kinds[key] = (float(written), written / 2.0)
            return
        mean, deviation = kind
        off = written - mean
        self._kinds[key] = (mean + WEIGHT * off, deviation + WEIGHT * (abs(off) - deviation))


def _kind_of(bound: int) -> int:
    return min(bound.bit_length(), 64) // 2

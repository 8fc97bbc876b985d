"""Weighted round robin, as even as whole calls can be.

After any number of calls, each endpoint has had less than one call more or less than its share, for
as long as the shares do not change. (The smooth weighted round-robin of nginx keeps that bound
for two or three endpoints only.) The rule is R. Tijdeman's, "The chairman assignment problem",
Discrete Mathematics 32 (1980): of those that are owed at least 1/(2n-2) of a turn, the one whose
claim falls due first.
"""

from __future__ import annotations

from collections.abc import Sequence

# Shares are counted in millionths, as whole numbers in floats: sums stay exact below 2**53, so
# nothing drifts, however many turns are taken. Room for 100 shares of a million each.
GRAIN = 1 << 20


class WeightedRoundRobin:
    """Chooses among a fixed number of places. Mutable; owned by the group's tier.

    A place whose share is 0 sits out: it is owed nothing for the time, and keeps what it was owed
    before (less than about one turn), so that it comes back without a burst.
    """

    __slots__ = ("_ceiling", "_eligible", "_floor", "_owed", "_shares", "_steps", "_total")

    def __init__(self, places: int) -> None:
        self._owed = [0.0] * places  # in grains; one turn is worth `_total` of them
        self._shares: Sequence[float] = ()
        self._eligible: list[int] = []
        self._steps: list[float] = []
        self._total = 0.0
        self._floor = 0.0
        self._ceiling = 0.0

    def take(self, shares: Sequence[float]) -> int:
        """Return the place that is next; `shares[i]` >= 0 is its share now, in any unit.

        Raises ValueError when no share is above 0.
        """
        if shares != self._shares:
            self._change(shares)
        owed, floor, ceiling = self._owed, self._floor, self._ceiling
        chosen, soonest = -1, 0.0
        for i in self._eligible:
            step = self._steps[i]
            claim = owed[i] + step
            owed[i] = claim
            if claim >= floor:
                due = (ceiling - claim) / step
                if chosen < 0 or due < soonest:
                    chosen, soonest = i, due
        if chosen < 0:  # only just after a change of shares, when the claims do not yet balance
            chosen = max(self._eligible, key=owed.__getitem__)
        owed[chosen] -= self._total
        return chosen

    def _change(self, shares: Sequence[float]) -> None:
        """Change the shares: claims keep their worth in calls, and balance again."""
        if len(shares) != len(self._owed):
            raise ValueError(f"expected {len(self._owed)} shares, found {len(shares)}")
        steps = [max(1.0, round(share * GRAIN) * 1.0) if share > 0 else 0.0 for share in shares]
        total = sum(steps)
        if not total:
            raise ValueError("expected a share above 0, found none")
        eligible = [i for i, step in enumerate(steps) if step]
        worth = total / self._total if self._total else 0.0
        owed = [claim * worth for claim in self._owed]
        # What those who sit out are owed or owe is spread over the others by their shares, which
        # favours none of them.
        imbalance = sum(owed[i] for i in eligible)
        for i in eligible:
            balanced = owed[i] - imbalance * steps[i] / total
            owed[i] = max(-total, min(total, balanced))
        self._owed = [float(round(claim)) for claim in owed]
        self._eligible, self._steps, self._total = eligible, steps, total
        self._shares = shares[:]
        others = max(1, len(eligible) - 1)
        self._floor = total / (2 * others)
        self._ceiling = total - self._floor

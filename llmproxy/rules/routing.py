"""Weighted round robin, as even as whole calls can be.

After any number of calls, each endpoint has had less than one call more or less than its share, for
as long as the shares do not change. (The smooth weighted round-robin of nginx keeps that bound
for two or three endpoints only.) The rule is R. Tijdeman's, "The chairman assignment problem",
Discrete Mathematics 32 (1980): of those that are owed at least 1/(2n-2) of a turn, the one whose
claim falls due first.

A claim grows by the same with each turn. So two heaps, by the turn in which a place is owed that
much and by that in which its claim falls due, say who is next: a turn costs O(log n).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

# Shares are counted in millionths, as whole numbers: nothing drifts, however many turns are taken.
GRAIN = 1 << 20


class WeightedRoundRobin:
    """Chooses among a fixed number of places. Mutable; owned by the group's tier.

    A place whose share is 0 sits out: it is owed nothing for the time, and keeps what it was owed
    before (less than about one turn), so that it comes back without a burst.
    """

    __slots__ = ("_early", "_others", "_owed", "_ready", "_steps", "_total", "_turn", "shares")

    def __init__(self, places: int) -> None:
        self.shares: Sequence[float] = ()  # of the last turn
        self._steps = [0] * places  # grains that a place is owed for each turn
        self._owed = [0] * places  # grains, as of turn 0, less the turns that it has had since
        self._total = self._turn = 0  # grains that one is worth; turns since the shares changed
        self._others = 1
        self._early: list[tuple[int, int]] = []  # heap: the turn in which it is owed enough, place
        self._ready: list[tuple[float, int]] = []  # heap: the turn in which it falls due, place

    def take(self, shares: Sequence[float]) -> int:
        """Return the place that is next; `shares[i]` >= 0 is its share now, in any unit.

        Raises ValueError when no share is above 0.
        """
        if shares is not self.shares and shares != self.shares:
            self._change(shares)
        chosen = self.next()
        self._turn += 1
        heappop(self._ready)
        self._owed[chosen] -= self._total
        self._wait(chosen)
        return chosen

    def next(self) -> int:
        """Return the place that is next if the shares stay as they are."""
        turn, ready = self._turn + 1, self._ready
        while self._early and self._early[0][0] <= turn:
            _, place = heappop(self._early)
            # Divided as whole numbers: what is equal is equal, whatever the steps.
            due = 2 * self._others * (self._total - self._owed[place]) - self._total
            heappush(ready, (due / (2 * self._others * self._steps[place]), place))
        if not ready:  # only just after a change of shares, when the claims do not yet balance
            places = sorted(place for _, place in self._early)
            most = max(places, key=lambda place: self._owed[place] + turn * self._steps[place])
            self._early = sorted(entry for entry in self._early if entry[1] != most)
            ready.append((0.0, most))
        return ready[0][1]

    def _wait(self, place: int) -> None:
        """Let a place wait for the turn in which it is owed 1/(2n-2) of a turn."""
        missing = self._total - 2 * self._others * self._owed[place]
        heappush(self._early, (-(-missing // (2 * self._others * self._steps[place])), place))

    def _change(self, shares: Sequence[float]) -> None:
        """Change the shares: claims keep their worth in calls, and balance again."""
        if len(shares) != len(self._owed):
            raise ValueError(f"expected {len(self._owed)} shares, found {len(shares)}")
        steps = [max(1, round(share * GRAIN)) if share > 0 else 0 for share in shares]
        total = sum(steps)
        if not total:
            raise ValueError("expected a share above 0, found none")
        eligible = [i for i, step in enumerate(steps) if step]
        worth = total / self._total if self._total else 0.0
        claims = zip(self._owed, self._steps, strict=True)
        owed = [(claim + self._turn * step) * worth for claim, step in claims]
        # What those who sit out are owed or owe is spread over the others by their shares, which
        # favours none of them.
        imbalance = sum(owed[i] for i in eligible)
        for i in eligible:
            owed[i] = max(-total, min(total, owed[i] - imbalance * steps[i] / total))
        self._owed = [round(claim) for claim in owed]
        self._steps, self._total, self._turn = steps, total, 0
        self._others, self._early, self._ready = max(1, len(eligible) - 1), [], []
        self.shares = shares[:]
        for place in eligible:
            self._wait(place)

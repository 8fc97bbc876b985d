"""Counts which endpoints of a tier got more than their share, because conversations prefer them."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

WINDOW_S = 600.0  # in this time, what was given loses 63 % of its weight
STEP_S = 1.0  # it loses weight in steps, not at each call
# Where instances must agree: how much a place that is ahead is avoided, and beside how many calls.
# With more of the one or less of the other weights hold better, and fewer conversations stay.
LEAN, LEAN_CALLS, MAX_LEAN = 8.0, 100.0, 30.0
NOTHING = 1e-6  # calls; what rounding leaves


class TierBalance:
    """What the endpoints of one tier got, beside what their shares promised them. Mutable.

    It counts only what conversations change: calls that take their turn are even by themselves.
    Shares are those of the moment of each call, so an endpoint that was out is owed nothing.
    `is_even`: no place got more than its share.
    """

    __slots__ = ("_ahead", "_at", "_due", "_even_calls", "_even_shares", "is_even")

    def __init__(self, places: int) -> None:
        self._ahead = [0.0] * places  # calls more than its share; the sum is 0
        self._due = [0.0] * places  # calls that its share promised
        self.is_even = True
        self._at = 0.0
        # Calls that were given evenly and are not in `_due` yet, and their shares.
        self._even_calls = 0
        self._even_shares: Sequence[float] = ()

    def pass_time(self, now: float) -> None:
        """Let what was given before `now` lose weight."""
        if now > self._at + STEP_S:
            self._add_even_calls()
            rest = exp((self._at - now) / WINDOW_S)
            self._ahead = [calls * rest for calls in self._ahead]
            self._due = [calls * rest for calls in self._due]
            self.is_even = max(self._ahead) <= NOTHING
            self._at = now

    def give(self, got: Sequence[float], shares: Sequence[float], calls: float = 1.0) -> None:
        """Count calls. `got`: the part that each place got; `shares`: the part that it was due."""
        self._add_even_calls()
        due, given = calls / sum(shares), calls / sum(got)
        for place, share in enumerate(shares):
            self._due[place] += share * due
            self._ahead[place] += got[place] * given - share * due
        self.is_even = max(self._ahead) <= NOTHING

    def give_evenly(self, shares: Sequence[float]) -> None:
        """Count a call of which each place got the part that it was due."""
        if shares is not self._even_shares:
            if shares != self._even_shares:
                self._add_even_calls()
            self._even_shares = shares
        self._even_calls += 1

    def _add_even_calls(self) -> None:
        if self._even_calls:
            due = self._even_calls / sum(self._even_shares)
            for place, share in enumerate(self._even_shares):
                self._due[place] += share * due
            self._even_calls = 0

    def is_ahead(self, place: int, by: float = 0.0) -> bool:
        """Return whether a place got more than its share, by `by` of it."""
        self._add_even_calls()
        return self._ahead[place] > by * self._due[place] + NOTHING

    def leaned(self, shares: Sequence[float]) -> list[float]:
        """Return shares that are less for places that are ahead, and more for those behind.

        They change little with each call. So two instances, which count different calls of the
        same conversations, place nearly all new ones alike.
        """
        self._add_even_calls()
        return [
            share * exp(-min(LEAN * ahead / (LEAN_CALLS + due), MAX_LEAN))
            for share, ahead, due in zip(shares, self._ahead, self._due, strict=True)
        ]

    def least_ahead(self, places: Sequence[int]) -> int:
        """Return the place that is furthest behind for what it was promised."""
        self._add_even_calls()
        return min(places, key=lambda place: self._ahead[place] / (1 + self._due[place]))

"""The line in front of a group whose endpoints are all full: who waits, and who is next.

First come, first served within a priority; a higher priority stands before a lower one.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Place(Protocol):
    """Whoever waits in a line."""

    @property
    def priority(self) -> int:
        """Higher is served first."""

    @property
    def tokens(self) -> int:
        """What it needs."""

    @property
    def restricted(self) -> bool:
        """It may not be served by everybody."""


P = TypeVar("P", bound=Place)


class Line(Generic[P]):
    """Mutable; its one owner is the group."""

    __slots__ = ("places", "restricted", "tokens")

    def __init__(self) -> None:
        self.places: list[P] = []  # the next one first; to be looked at only
        self.tokens = 0  # that all who wait need
        self.restricted = 0  # how many may not be served by everybody

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[P]:
        """Those who wait, the next one first; the line may change meanwhile."""
        return iter(self.places[:])

    @property
    def first(self) -> P:
        """Who is next; there must be somebody."""
        return self.places[0]

    def join(self, place: P) -> None:
        """Stand behind everybody of the same priority or a higher one."""
        insort(self.places, place, key=_behind)
        self.tokens += place.tokens
        self.restricted += place.restricted

    def leave(self, place: P) -> None:
        """Served, or tired of waiting."""
        self.places.remove(place)
        self.tokens -= place.tokens
        self.restricted -= place.restricted

    def ahead_of(self, priority: int) -> tuple[int, int]:
        """How many a newcomer of a priority would stand behind, and the tokens they need."""
        if not self.places or self.places[-1].priority >= priority:
            return len(self.places), self.tokens
        ahead = [place for place in self.places if place.priority >= priority]
        return len(ahead), sum(place.tokens for place in ahead)


def _behind(place: Place) -> int:
    return -place.priority

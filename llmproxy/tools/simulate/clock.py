"""Simulated time: what is to happen, in order. A second costs nothing; only events do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from llmproxy.tools.simulate.traffic import Arrival

Act = Callable[[float], None]


class Clock:
    """A heap of acts, each called with its own time. Those of one moment happen in the order in
    which they were planned."""

    __slots__ = ("_count", "_planned", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Act]] = []
        self._count = 0

    def at(self, when: float, act: Act) -> None:
        """Plan an act; a moment that has passed counts as now."""
        self._count += 1
        heappush(self._planned, (max(when, self.now), self._count, act))

    def run(self, arrivals: Iterable[Arrival], arrive: Callable[[Arrival, float], None]) -> None:
        """Let calls arrive, in the order of their times, until nothing is left to happen."""
        planned = self._planned
        for arrival in arrivals:
            while planned and planned[0][0] <= arrival.at_s:
                self.now, _, act = heappop(planned)
                act(self.now)
            self.now = arrival.at_s
            arrive(arrival, arrival.at_s)
        while planned:
            self.now, _, act = heappop(planned)
            act(self.now)

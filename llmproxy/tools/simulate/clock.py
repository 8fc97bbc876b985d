"""The simulated clock, a queue of events. Only events cost time to run; idle seconds are free."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from llmproxy.tools.simulate.traffic import Arrival

Event = Callable[[float], None]


class Clock:
    """Calls each planned event with its time. Events of the same time run in planning order."""

    __slots__ = ("_count", "_planned", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Event]] = []  # a heap
        self._count = 0

    def at(self, when: float, event: Event) -> None:
        """Plan an event. A time in the past means now."""
        self._count += 1
        heappush(self._planned, (max(when, self.now), self._count, event))

    def run(self, arrivals: Iterable[Arrival], arrive: Callable[[Arrival, float], None]) -> None:
        """Pass the arrivals, which are sorted by time, to `arrive`, and run every event."""
        planned = self._planned
        for arrival in arrivals:
            while planned and planned[0][0] <= arrival.at_s:
                self.now, _, event = heappop(planned)
                event(self.now)
            self.now = arrival.at_s
            arrive(arrival, arrival.at_s)
        while planned:
            self.now, _, event = heappop(planned)
            event(self.now)

"""One simulated instance of the proxy: its pool, its waiting rooms, what it needs for a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from llmproxy.config import GeneralSettings
from llmproxy.pipeline.failover.waiting import MAX_LOOK_S, MIN_LOOK_S
from llmproxy.routing import CallDemand, Checkout, EndpointState, Group, Pool
from llmproxy.tools.simulate.call import SimulatedCall
from llmproxy.tools.simulate.clock import Clock
from llmproxy.tools.simulate.results import EndpointCount, Results
from llmproxy.tools.simulate.traffic import Arrival
from llmproxy.tools.simulate.vendors import Vendor

Told = Callable[[EndpointState, str, float, float], None]
Came = Callable[[Checkout | None, float], None]


class Room:
    """The waiting room of a group (stages/failover/waiting.py), on the simulated clock."""

    __slots__ = ("_clock", "_group", "_looks", "_waiting")

    def __init__(self, group: Group, clock: Clock) -> None:
        self._group = group
        self._clock = clock
        self._waiting: dict[CallDemand, Came] = {}
        self._looks = 0

    def wait(self, demand: CallDemand, came: Came, now: float, *, at_most_s: float) -> None:
        """Stand in line; `came` is called with a checkout, or with None when there will be none."""
        self._waiting[demand] = came
        self._group.line.join(demand)
        self._clock.at(now + at_most_s, lambda then: self._tired(demand, came, then))
        self.move(now)

    def move(self, now: float) -> None:
        """Something may have changed: hand out what there is."""
        self._looks += 1
        if not self._waiting:
            return
        group = self._group
        for demand, checkout in group.serve_line(now):
            self._waiting.pop(demand)(checkout, now)
        for demand in group.unservable(now):
            self._end(demand, now)
        if self._waiting:
            group.tell_shortage(now)
            pause_s = min(MAX_LOOK_S, max(MIN_LOOK_S, group.line_moves_in_s(now)))
            look = self._looks
            self._clock.at(now + pause_s, lambda then: self._look(look, then))

    def _look(self, look: int, now: float) -> None:
        if look == self._looks:  # else somebody has looked since
            self.move(now)

    def _tired(self, demand: CallDemand, came: Came, now: float) -> None:
        if self._waiting.get(demand) is came:
            self._end(demand, now)

    def _end(self, demand: CallDemand, now: float) -> None:
        came = self._waiting.pop(demand)
        self._group.line.leave(demand)
        self._clock.at(now, lambda then: came(None, then))


class Proxy:
    """One instance. `vendors`, `counts`: behind each of its endpoints. `told`: whom it tells what
    happens to them."""

    def __init__(
        self,
        pool: Pool,
        settings: GeneralSettings,
        *,
        clock: Clock,
        results: Results,
        vendors: Mapping[EndpointState, Vendor],
        counts: Mapping[EndpointState, EndpointCount],
        chance: Random,
    ) -> None:
        self.pool = pool
        self.clock = clock
        self.results = results
        self.vendors = vendors
        self.counts = counts
        self.draw = chance.random
        self.queue = settings.queue
        self.max_attempts = settings.num_retries + 1
        self.total_s = settings.timeouts.total_s
        self.told: Told | None = None
        self._rooms: dict[str, Room] = {}

    def take(self, arrival: Arrival, now: float) -> None:
        """A call has arrived."""
        groups = self.pool.groups
        group = groups.get(arrival.group) or groups[Pool.WILDCARD]
        SimulatedCall(self, arrival, group, now)

    def room_of(self, group: Group) -> Room:
        """The group's waiting room."""
        room = self._rooms.get(group.name)
        if room is None:
            room = self._rooms[group.name] = Room(group, self.clock)
        return room

    def capacity_freed(self, now: float) -> None:
        """Capacity was granted: whoever waits for it may go."""
        for room in self._rooms.values():
            room.move(now)

    def tell(self, state: EndpointState, what: str, for_s: float, now: float) -> None:
        """An endpoint's state has changed here."""
        if self.told is not None:
            self.told(state, what, for_s, now)

"""The waiting room: calls whose group has no room now, but will have some before their time is up.

Who is next is the group's line's to say (rules/line.py); this looks at it whenever something may
have moved. Checkouts are handed out one by one, each with its capacity reserved, so that a
refill is not fought over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from time import monotonic

from llmproxy.routing import CallDemand, Checkout, Group

# Look at the line no more often than this, and not less: what frees when a call ends elsewhere
# (another group of the same account) announces itself to nobody.
MIN_LOOK_S = 0.001
MAX_LOOK_S = 0.5


class WaitingRoom:
    """Of one group. Owns the futures of those who wait, and the timer that looks at the line."""

    __slots__ = ("_futures", "_group", "_timer")

    def __init__(self, group: Group) -> None:
        self._group = group
        self._futures: dict[CallDemand, asyncio.Future[Checkout | None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, demand: CallDemand, *, at_most_s: float) -> Checkout | None:
        """A checkout; None when the time is over, or when no endpoint is healthy any more."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Checkout | None] = loop.create_future()
        self._futures[demand] = future
        self._group.line.join(demand)
        give_up = loop.call_later(at_most_s, self._end, demand)
        self.move()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                _return_checkout(future.result())  # given just as the client left
            else:
                self._end(demand)
            self.move()
            raise
        finally:
            give_up.cancel()

    def move(self) -> None:
        """Something may have changed: hand out what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._futures:
            return
        now = monotonic()
        for demand, checkout in self._group.serve_line(now):
            future = self._futures.pop(demand)
            if future.done():
                _return_checkout(checkout)
            else:
                future.set_result(checkout)
        for demand in self._group.unservable(now):
            self._end(demand)
        if self._futures:
            self._group.tell_shortage(now)
            pause_s = min(MAX_LOOK_S, max(MIN_LOOK_S, self._group.line_moves_in_s(now)))
            self._timer = asyncio.get_running_loop().call_later(pause_s, self.move)

    def _end(self, demand: CallDemand) -> None:
        """Somebody waits no longer."""
        future = self._futures.pop(demand, None)
        if future is None:
            return
        self._group.line.leave(demand)
        if not future.done():
            future.set_result(None)


class WaitingRooms:
    """The waiting rooms of all groups. Made once for a process: a group that outlives a config
    keeps its room, and those who wait in it."""

    __slots__ = ("_rooms",)

    def __init__(self) -> None:
        self._rooms: dict[Group, WaitingRoom] = {}

    def of(self, group: Group) -> WaitingRoom:
        """The group's waiting room."""
        room = self._rooms.get(group)
        if room is None:
            room = self._rooms[group] = WaitingRoom(group)
        return room

    def move(self) -> None:
        """Something may have changed anywhere: whoever waits for it may go."""
        for room in self._rooms.values():
            room.move()

    def forget_others(self, groups: Collection[Group]) -> None:
        """Of groups that are no more, only the rooms are kept in which somebody still waits."""
        self._rooms = {
            group: room
            for group, room in self._rooms.items()
            if group in groups or group.line.places
        }


def _return_checkout(checkout: Checkout | None) -> None:
    if checkout is not None:
        now = monotonic()
        checkout.says_nothing(now)
        checkout.end(now, sent=False)

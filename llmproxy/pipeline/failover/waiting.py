"""Waiting for capacity, when a group has none now but is expected to have some soon.

The group's queue decides which call is next. A WaitingRoom checks the queue whenever capacity may
have changed. It hands out checkouts one by one, with their capacity reserved, so that calls do not
compete for a refill.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from time import monotonic

from llmproxy.routing import CallDemand, Checkout, Group

# The shortest and the longest pause between two checks of a queue. The longest one matters when
# capacity is freed without a notice: by a call of another group that uses the same account.
MIN_LOOK_S = 0.001
MAX_LOOK_S = 0.5


class WaitingRoom:
    """The waiting calls of one group. Owns their futures and the timer of the next check."""

    __slots__ = ("_futures", "_group", "_rooms", "_timer")

    def __init__(self, group: Group, rooms: WaitingRooms) -> None:
        self._group = group
        self._rooms = rooms
        self._futures: dict[CallDemand, asyncio.Future[Checkout | None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, demand: CallDemand, *, at_most_s: float) -> Checkout | None:
        """Wait for a checkout. Returns None after `at_most_s`, or if no endpoint can serve it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Checkout | None] = loop.create_future()
        self._futures[demand] = future
        self._group.queue.join(demand)
        timeout = loop.call_later(at_most_s, self._end, demand)
        self.serve()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                _return_checkout(future.result())  # handed out just as the client disconnected
            else:
                self._end(demand)
            self.serve()
            raise
        finally:
            timeout.cancel()

    def serve(self) -> None:
        """Hand out the checkouts that are free now, in queue order."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._futures:
            return
        now = monotonic()
        for demand, checkout in self._group.serve_queue(now):
            future = self._futures.pop(demand)
            if future.done():
                _return_checkout(checkout)
            else:
                future.set_result(checkout)
        for demand in self._group.unservable(now):
            self._end(demand)
        if self._futures:
            if self._rooms.on_shortage is not None:
                self._rooms.on_shortage(self._group, now)
            pause_s = min(MAX_LOOK_S, max(MIN_LOOK_S, self._group.queue_moves_in_s(now)))
            self._timer = asyncio.get_running_loop().call_later(pause_s, self.serve)

    def _end(self, demand: CallDemand) -> None:
        """Remove a call that was not served."""
        future = self._futures.pop(demand, None)
        if future is None:
            return
        self._group.queue.leave(demand)
        if not future.done():
            future.set_result(None)


class WaitingRooms:
    """The waiting rooms of all groups. One object per process, so that a group that survives a
    reload keeps its room and the calls in it.

    `on_shortage` is called when calls of a group wait, with the group and the time; it may ask
    other instances for capacity.
    """

    __slots__ = ("_rooms", "on_shortage")

    def __init__(self) -> None:
        self.on_shortage: Callable[[Group, float], None] | None = None
        self._rooms: dict[Group, WaitingRoom] = {}

    def of(self, group: Group) -> WaitingRoom:
        """Return the group's waiting room."""
        room = self._rooms.get(group)
        if room is None:
            room = self._rooms[group] = WaitingRoom(group, self)
        return room

    def serve(self) -> None:
        """Serve the waiting calls of every group: anything may have changed."""
        for room in self._rooms.values():
            room.serve()

    def forget_others(self, groups: Collection[Group]) -> None:
        """Forget the rooms of groups that no longer exist, once no call waits there."""
        self._rooms = {
            group: room
            for group, room in self._rooms.items()
            if group in groups or group.queue.waiters
        }


def _return_checkout(checkout: Checkout | None) -> None:
    if checkout is not None:
        now = monotonic()
        checkout.says_nothing(now)
        checkout.end(now, sent=False)

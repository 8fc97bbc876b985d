"""The connections to one origin: reused newest first, bounded, dialled when there is none.

Newest first (LIFO) lets the surplus of a burst grow old and expire. A call that finds no free
place waits its turn, first come first served.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic

from llmproxy.errors import TimedOut
from llmproxy.upstream.connection import UpstreamConnection

Dial = Callable[[Callable[[], UpstreamConnection]], Awaitable[UpstreamConnection]]


class Origin:
    """Owns every connection to one scheme, host and port."""

    __slots__ = ("_dial", "_idle", "_idle_s", "_loop", "_max_open", "_open", "_wait_s", "_waiting")

    def __init__(self, dial: Dial, *, max_open: int, wait_s: float, idle_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._dial = dial
        self._max_open = max_open
        self._wait_s = wait_s
        self._idle_s = idle_s
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection | object] = set()
        self._waiting: deque[asyncio.Future[UpstreamConnection | None]] = deque()

    @property
    def open_connections(self) -> int:
        """Connections and dials under way."""
        return len(self._open)

    def take_idle(self) -> UpstreamConnection | None:
        """A kept connection, the one used last; None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

    async def take(self, *, fresh: bool) -> UpstreamConnection:
        """A connection to use now: kept (unless `fresh`), dialled, or waited for.

        Raises ConnectFailed, or TimedOut when no place was free in time.
        """
        while True:
            connection = None if fresh else self.take_idle()
            if connection is not None:
                return connection
            if len(self._open) < self._max_open:
                return await self._dialled()
            if fresh and self._idle:
                self._idle[0].abort()  # its place is wanted
                continue
            connection = await self._turn()
            if connection is not None and not connection.closed:
                if not fresh:
                    return connection
                connection.abort()  # a place is what was wanted

    def drop_idle(self) -> None:
        """Close what is kept: the server has begun to close its side."""
        for connection in list(self._idle):
            connection.abort()
        self._idle.clear()

    def close(self) -> None:
        """Close everything."""
        for connection in list(self._open):
            if isinstance(connection, UpstreamConnection):
                connection.abort()

    async def _dialled(self) -> UpstreamConnection:
        place = object()  # holds the place while the dial is under way
        self._open.add(place)
        try:
            connection = await self._dial(self._new_connection)
        except BaseException:
            self._open.discard(place)
            self._wake_next(None)
            raise
        self._open.discard(place)
        if not connection.closed:
            self._open.add(connection)
        return connection

    def _new_connection(self) -> UpstreamConnection:
        return UpstreamConnection(self._loop, on_idle=self._became_idle, on_closed=self._was_closed)

    async def _turn(self) -> UpstreamConnection | None:
        waiter: asyncio.Future[UpstreamConnection | None] = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._wait_s):
                return await waiter
        except TimeoutError:
            raise TimedOut(
                f"all {self._max_open} connections were busy", phase="pool", sent=False
            ) from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._give_back(waiter.result())
            raise

    def _give_back(self, connection: UpstreamConnection | None) -> None:
        if connection is not None and not connection.closed:
            self._became_idle(connection)
        else:
            self._wake_next(None)

    def _became_idle(self, connection: UpstreamConnection) -> None:
        if self._waiting and self._wake_next(connection):
            return
        connection.rest_until(monotonic() + self._idle_s)
        self._idle.append(connection)

    def _was_closed(self, connection: UpstreamConnection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake_next(None)

    def _wake_next(self, connection: UpstreamConnection | None) -> bool:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

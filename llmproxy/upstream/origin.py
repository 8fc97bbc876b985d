"""The connections to one origin: reused newest first, bounded in number, dialled when none is idle.

Reusing the newest one lets the surplus of a burst grow old and expire. When all connections are in
use, calls wait for one, first come first served.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic

from llmproxy.errors import TimedOut
from llmproxy.upstream.connection import NEW, READY, UpstreamConnection

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
        """The number of connections, including those that are being dialled."""
        return len(self._open)

    def take_idle(self) -> UpstreamConnection | None:
        """Return the kept connection that was used last; None if none is kept."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

    async def acquire(self, *, fresh: bool) -> UpstreamConnection:
        """Return a connection to use now: a kept one (unless `fresh`) or a new one.

        Waits while `max_open` are in use. Raises ConnectFailed, or TimedOut after `wait_s`.
        """
        while True:
            connection = None if fresh else self.take_idle()
            if connection is not None:
                return connection
            if len(self._open) < self._max_open:
                return await self._dial_one()
            if fresh and self._idle:
                self._idle[0].abort()  # to dial in its place
                continue
            connection = await self._wait()
            if connection is not None and not connection.closed:
                if not fresh:
                    return connection
                connection.abort()  # to dial in its place

    async def dial_ahead(self) -> None:
        """Dial a connection for a later call. Raises ConnectFailed."""
        connection = await self._dial_one()
        if connection.state is NEW:
            connection.state = READY
            self.became_idle(connection)

    def used_since(self, moment: float) -> int:
        """Return how many connections are in use, or were after a moment."""
        until = moment + self._idle_s
        unused = (kept.state is READY or kept.kept_until <= until for kept in self._idle)
        return len(self._open) - sum(unused)

    def open_at(self, moment: float) -> int:
        """Return how many connections will be open at a moment if no other call uses them."""
        return len(self._open) - sum(kept.kept_until <= moment for kept in self._idle)

    def drop_idle(self) -> None:
        """Close the kept connections: the server has begun to close its side."""
        for connection in list(self._idle):
            connection.abort()
        self._idle.clear()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self._open):
            if isinstance(connection, UpstreamConnection):
                connection.abort()

    async def _dial_one(self) -> UpstreamConnection:
        reserved = object()  # counts as open while the dial is under way
        self._open.add(reserved)
        try:
            connection = await self._dial(self._new_connection)
        except BaseException:
            self._open.discard(reserved)
            self._wake_next(None)
            raise
        self._open.discard(reserved)
        if not connection.closed:
            self._open.add(connection)
        return connection

    def _new_connection(self) -> UpstreamConnection:
        return UpstreamConnection(self._loop, self)

    async def _wait(self) -> UpstreamConnection | None:
        """Wait for an idle connection, or for None: one was closed, and another may be dialled."""
        waiter: asyncio.Future[UpstreamConnection | None] = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._wait_s):
                return await waiter
        except TimeoutError:
            raise TimedOut(
                f"all {self._max_open} connections were busy: half of the files that the proxy may "
                "open (ulimit -n, LimitNOFILE)",
                phase="pool",
                sent=False,
            ) from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._pass_on(waiter.result())
            raise

    def _pass_on(self, connection: UpstreamConnection | None) -> None:
        if connection is not None and not connection.closed:
            self.became_idle(connection)
        else:
            self._wake_next(None)

    def _wake_next(self, connection: UpstreamConnection | None) -> bool:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    # ---- called by the connections: see ConnectionOwner

    def became_idle(self, connection: UpstreamConnection) -> None:
        """Give a connection to the call that has waited longest, or keep it."""
        if self._waiting and self._wake_next(connection):
            return
        connection.expire_idle_at(monotonic() + self._idle_s)
        self._idle.append(connection)

    def was_closed(self, connection: UpstreamConnection) -> None:
        """Forget a connection, and let a waiting call dial another one."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake_next(None)

"""Accepts connections that are more than plain ones: what comes before their first request takes
steps of its own, in a task for each."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable

from llmproxy.server import BACKLOG

logger = logging.getLogger("llmproxy")

WAIT_FOR_DESCRIPTORS_S = 1.0


class AcceptingServer:
    """Accepts connections until it is closed. Has what uvicorn needs of an `asyncio.Server`.

    `begin` takes over a connection, with the address that `accept` returned.
    """

    def __init__(
        self,
        listening: socket.socket,
        begin: Callable[[socket.socket, object], Awaitable[None]],
    ) -> None:
        self._listening = listening.dup()  # uvicorn closes the other one before we have stopped
        self._listening.listen(BACKLOG)
        self._begin = begin
        self._beginning: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Accept no more connections."""
        self._accepting.cancel()
        for task in self._beginning:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing is accepted any more."""
        await asyncio.wait((self._accepting, *self._beginning))
        self._listening.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, address = await loop.sock_accept(self._listening)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    continue  # the client has left
                logger.error("No connection can be accepted: %s.", error.strerror)
                await asyncio.sleep(WAIT_FOR_DESCRIPTORS_S)
                continue
            task = asyncio.ensure_future(self._begin(connected, address))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

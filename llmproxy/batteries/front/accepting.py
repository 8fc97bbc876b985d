"""Accepts connections that begin with a PROXY header, if a load balancer has opened them.

The header comes before TLS, so it is read from the socket, before asyncio gets the connection.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from llmproxy.batteries.front.connection import FrontConnection, user_of
from llmproxy.batteries.front.networks import Networks
from llmproxy.batteries.front.proxy_protocol import MAX_V2_BYTES, MalformedHeader, parse
from llmproxy.server import BACKLOG

logger = logging.getLogger("llmproxy")

HEADER_WITHIN_S = 5.0
WAIT_FOR_DESCRIPTORS_S = 1.0
LOG_EVERY_S = 60.0


class AcceptingServer:
    """Accepts connections until it is closed. Has what uvicorn needs of an `asyncio.Server`."""

    def __init__(
        self,
        listening: socket.socket,
        balancers: Networks,
        make: Callable[[], FrontConnection],
        options: dict[str, object],
    ) -> None:
        self._listening = listening.dup()  # uvicorn closes the other one before we have stopped
        self._listening.listen(BACKLOG)
        self._balancers = balancers
        self._make = make
        self._options = options
        self._logged_at = -LOG_EVERY_S
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
            task = asyncio.create_task(self._begin(connected, address))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, connected: socket.socket, address: object) -> None:
        peer = _host(connected, address)
        connection = self._make()
        try:
            if self._balancers.has(peer):
                async with asyncio.timeout(HEADER_WITHIN_S):
                    connection.told = await _read_header(connected)
        except (MalformedHeader, TimeoutError, OSError) as error:
            connected.close()
            self._log(peer, error)
            return
        except BaseException:
            connected.close()
            raise
        loop = asyncio.get_running_loop()
        with suppress(OSError, ssl.SSLError):  # the client has left, or speaks no TLS
            await loop.connect_accepted_socket(lambda: connection, connected, **self._options)  # type: ignore[arg-type]

    def _log(self, peer: str, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._logged_at < LOG_EVERY_S:
            return
        self._logged_at = now
        logger.warning(
            "A connection from %s has no PROXY header (%s), and is closed: proxy_protocol lists "
            "this address. Let it send the header, also for its health checks, or take it out.",
            peer,
            str(error) or "it came too late",
        )


def _host(connected: socket.socket, address: object) -> str:
    if connected.family == socket.AF_UNIX:
        return user_of(connected)
    return str(address[0]).removeprefix("::ffff:") if isinstance(address, tuple) else ""


async def _read_header(connected: socket.socket) -> tuple[str, int] | None:
    """Take the header out of a socket, and nothing of what follows. Return the client's address and
    port. Raises MalformedHeader and OSError."""
    taken = b""
    while True:
        await _readable(connected)
        seen = connected.recv(MAX_V2_BYTES, socket.MSG_PEEK)
        if not seen:
            raise MalformedHeader("it ends before")
        told = parse(taken + seen)
        if told is None:  # all of it belongs to the header
            taken += connected.recv(len(seen))
            continue
        connected.recv(told.length - len(taken))
        return told.client


async def _readable(connected: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(connected.fileno(), note)
    try:
        await ready
    finally:
        loop.remove_reader(connected.fileno())

"""What comes before the first request of a connection: a PROXY header, and then TLS.

The header is read from the socket, before the event loop gets the connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from llmproxy.batteries.front.connection import FrontConnection, user_of
from llmproxy.batteries.front.failures import Failures
from llmproxy.batteries.front.networks import Networks
from llmproxy.batteries.front.proxy_protocol import MAX_V2_BYTES, MalformedHeader, parse
from llmproxy.batteries.tls import Failure, Tls, being_accepted, failure_of
from llmproxy.server.connection import ServerConnection

HEADER_WITHIN_S = 5.0
# How long a client may take to say that it closes, too: those that pool connections never do.
TLS_SHUTDOWN_S = 2.0


class Beginning:
    """Begins connections. `balancers`: who sends PROXY headers. `tls`: None = without."""

    def __init__(
        self,
        make: Callable[[], ServerConnection],
        balancers: Networks,
        failures: Failures,
        tls: Tls | None,
    ) -> None:
        self._make = make
        self._balancers = balancers
        self._failures = failures
        self._tls = tls

    async def run(self, connected: socket.socket, address: object) -> None:
        """Take over a connection."""
        peer = _host(connected, address)
        connection = self._make()
        try:
            if self._balancers.has(peer):
                told = await self._header(connected, peer)
                if isinstance(connection, FrontConnection):
                    connection.told = told
            await self._begin(connected, connection, peer)
        except MalformedHeader:  # it is noted
            connected.close()
        except BaseException:
            connected.close()
            raise

    async def _header(self, connected: socket.socket, peer: str) -> tuple[str, int] | None:
        """Return the client that the header names. Raises MalformedHeader, when it is noted."""
        try:
            async with asyncio.timeout(HEADER_WITHIN_S):
                return await _read_header(connected)
        except (MalformedHeader, TimeoutError, OSError) as error:
            found = "it came too late." if isinstance(error, TimeoutError) else f"{error}."
            remedy = (
                "proxy_protocol lists this address: let it send the header, also for its health "
                "checks, or take it out."
            )
            self._failures.note("The PROXY header", peer, Failure("proxy_header", found, remedy))
            raise MalformedHeader from error

    async def _begin(
        self, connected: socket.socket, connection: ServerConnection, peer: str
    ) -> None:
        options: dict[str, Any] = {}
        if self._tls is not None:
            being_accepted.set(connected)
            options = {
                "ssl": self._tls.context,
                "ssl_handshake_timeout": self._tls.handshake_s,
                "ssl_shutdown_timeout": TLS_SHUTDOWN_S,
            }
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: connection, connected, **options)
        except OSError as error:  # the client has left; or ssl.SSLError
            self._failures.note("The TLS handshake", peer, failure_of(error))


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

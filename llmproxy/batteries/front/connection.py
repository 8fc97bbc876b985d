"""A connection that is not just from whoever has opened it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

from llmproxy.batteries.front.forwarded import ForwardedClients, is_believable
from llmproxy.batteries.front.networks import UNIX_PEER
from llmproxy.server.connection import ServerConnection
from llmproxy.server.request import IncomingRequest

_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid: ucred in unix(7)
NamesOf = Callable[[ssl.SSLObject], tuple[str, ...]]


class FrontConnection(ServerConnection):
    """Knows the client by its certificate, by its user, or by what a proxy in front says of it.

    `told`: what a PROXY header said; None: there was none, or it names no client. `names_of`: reads
    a client's certificate; None: clients have none. `forwarded`: reads a header of each request.
    """

    told: tuple[str, int] | None = None
    names_of: NamesOf | None = None
    forwarded: ForwardedClients | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and note who is at the other end."""
        super().connection_made(transport)
        address, port = self._direct(transport)
        if self.told is not None and is_believable(self.told[0], of=address):
            address, port = self.told
        self._connected = address, port
        self._note(address)
        if self.names_of is not None:
            connection: ssl.SSLObject = transport.get_extra_info("ssl_object")
            self.proven_names = self.names_of(connection)

    def start(self, request: IncomingRequest) -> None:
        """Answer a request of the client that the proxies in front name."""
        if self.forwarded is not None:
            self._note(self.forwarded.client_of(request.headers, self._connected[0]))
        super().start(request)

    def _note(self, address: str) -> None:
        connected, port = self._connected
        self.peer = address
        self.client = address, port if address == connected else 0

    def _direct(self, transport: asyncio.Transport) -> tuple[str, int]:
        """Return address and port of the other end; of a UNIX socket `uid:N`, and 0."""
        if self.client is not None:
            return self.peer, self.client[1]
        return user_of(transport.get_extra_info("socket")), 0


def user_of(connected: Any) -> str:
    """Return `uid:N` of the process that has connected; `uid:` where the system does not tell."""
    if connected is None or not hasattr(socket, "SO_PEERCRED"):
        return UNIX_PEER
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return f"{UNIX_PEER}{_CREDENTIALS.unpack(raw)[1]}"

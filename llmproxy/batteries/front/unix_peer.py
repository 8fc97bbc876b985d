"""Who is at the other end of a UNIX socket: the user of this machine, as the kernel says."""

from __future__ import annotations

import asyncio
import socket
import struct

from llmproxy.server.connection import ServerConnection

_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid: ucred in unix(7)


class UnixConnection(ServerConnection):
    """A connection whose client's address is `uid:N`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and note whose the client is."""
        super().connection_made(transport)
        self.peer = user_of(transport)
        self.client = self.peer, 0


def user_of(transport: asyncio.Transport) -> str:
    """Return `uid:N` of the process that has connected; `uid:` where the system does not tell."""
    known = transport.get_extra_info("socket")
    if known is None or not hasattr(socket, "SO_PEERCRED"):
        return "uid:"
    raw = known.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return f"uid:{_CREDENTIALS.unpack(raw)[1]}"

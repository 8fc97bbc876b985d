"""The address that all workers listen on.

On Linux each worker has its own socket (SO_REUSEPORT), and the kernel spreads connections evenly
over them. One shared socket would be simpler, but the worker that wakes first takes every pending
connection: of 400 connections, one of two workers got 332 (decision 012). On other systems
SO_REUSEPORT does not spread connections, and the workers share one socket.
"""

from __future__ import annotations

import socket
import sys

from llmproxy.process import BACKLOG, bound

SPREADS = sys.platform == "linux"


class ListenAddress:
    """Reserves an address while it is entered; on Linux the reserving socket never accepts.

    Raises CannotListenError if the address cannot be bound.
    """

    def __init__(self, host: str, port: int) -> None:
        self.claim = bound(host, port)

    def __enter__(self) -> ListenAddress:
        if SPREADS:
            # Set after bind: set before, the bind would join another program's SO_REUSEPORT group.
            self.claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        else:
            self.claim.listen(BACKLOG)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the reserving socket. The sockets of the workers stay open."""
        self.claim.close()

    def socket(self) -> socket.socket:
        """Return a socket for one more worker. The caller closes it."""
        if not SPREADS:
            return self.claim.dup()
        own = socket.socket(self.claim.family, socket.SOCK_STREAM)
        try:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            own.bind(self.claim.getsockname())
        except OSError:
            own.close()
            raise
        own.setblocking(False)
        return own

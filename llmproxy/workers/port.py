"""The address that all workers listen on.

On Linux each worker has a socket of its own on it (SO_REUSEPORT), and the kernel spreads
connections evenly over those that listen. A socket that all share would be simpler, but whoever
wakes first takes what is there: of 400 connections one worker of two got 332 (decision 012).
Elsewhere that option does not spread, and they do share one.
"""

from __future__ import annotations

import socket
import sys

from llmproxy.serving import BACKLOG, bound

SPREADS = sys.platform == "linux"


class ListenAddress:
    """Claims an address while it is entered; the claim itself never accepts on Linux.

    Raises CannotListenError if the address is not ours to listen on.
    """

    def __init__(self, host: str, port: int) -> None:
        self.claim = bound(host, port)

    def __enter__(self) -> ListenAddress:
        if SPREADS:
            # Not before it was bound: then it would have joined whoever listens there already.
            self.claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        else:
            self.claim.listen(BACKLOG)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """The sockets of workers stay as they are."""
        self.claim.close()

    def socket(self) -> socket.socket:
        """A socket for one more worker. Whoever takes it closes it."""
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

"""The address that all workers listen on.

On Linux each worker has its own socket (SO_REUSEPORT), and the kernel spreads connections evenly
over them. One shared socket would be simpler, but the worker that wakes first takes every pending
connection: of 400 connections, one of two workers got 332 (decision 012). Where SO_REUSEPORT does
not spread connections (other systems), or there is nothing to spread by (UNIX sockets, sockets that
systemd has opened), the workers share the sockets.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Mapping

from llmproxy.server import BACKLOG
from llmproxy.sockets import bound, file_removed, inherited

SPREADS = sys.platform == "linux"


class ListenAddress:
    """Reserves an address while it is entered. Raises CannotListenError if it cannot be bound.

    `sockets`: those that reserve it; the first workers' own on Linux never accept. `mode`: of the
    file of a UNIX socket, which is removed at the end.
    """

    def __init__(self, host: str, port: int, environ: Mapping[str, str], *, mode: int) -> None:
        self.sockets = inherited(environ)
        self._shared = self._inherited = bool(self.sockets)
        if not self._inherited:
            self.sockets = [bound(host, port, mode=mode)]
            self._shared = not SPREADS or self.sockets[0].family == socket.AF_UNIX
        self._files = contextlib.ExitStack()

    def __enter__(self) -> ListenAddress:
        for claim in self.sockets:
            if self._shared:
                claim.listen(BACKLOG)
                if not self._inherited:
                    self._files.enter_context(file_removed(claim))
            else:
                # Set after bind: set before, the bind would join another program's group.
                claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()
        self.close()

    def close(self) -> None:
        """Close the reserving sockets. The sockets of the workers stay open."""
        for claim in self.sockets:
            claim.close()

    def for_worker(self) -> list[socket.socket]:
        """Return the sockets of one more worker. The caller closes them."""
        if self._shared:
            return [claim.dup() for claim in self.sockets]
        return [_second_socket(claim) for claim in self.sockets]


def _second_socket(claim: socket.socket) -> socket.socket:
    own = socket.socket(claim.family, socket.SOCK_STREAM)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        own.bind(claim.getsockname())
    except OSError:
        own.close()
        raise
    own.setblocking(False)
    return own

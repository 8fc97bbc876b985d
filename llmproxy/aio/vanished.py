"""Notice that the other end of a TCP connection has vanished.

A machine that loses power, or a network that loses packets, closes nothing: without this the system
repeats what was sent for a quarter of an hour, and waits for a silent answer for ever. tcp(7)
"""

from __future__ import annotations

import asyncio
import socket

SILENT_S = 15  # then the system asks the other end whether it is there
ASK_AGAIN_S = 5
MAX_QUESTIONS = 3


def notice_vanished(transport: asyncio.BaseTransport, *, unacknowledged_s: int = 0) -> None:
    """End a TCP connection after 30 s in which the other end's system says nothing.

    `unacknowledged_s`: also end it when something sent is not acknowledged, or not taken, for so
    many seconds; 0: never for that. A transport that is not TCP stays as it is.
    """
    known = transport.get_extra_info("socket")
    if known is None or (family := known.family) not in (socket.AF_INET, socket.AF_INET6):
        return
    # One object for all: uvloop's makes another one, with a system call, for each option.
    ours = socket.socket(family, socket.SOCK_STREAM, 0, known.fileno())
    try:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_S)
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, ASK_AGAIN_S)
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, MAX_QUESTIONS)
            milliseconds = unacknowledged_s * 1000  # 0: the system's own
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    finally:
        ours.detach()  # it is the transport's to close

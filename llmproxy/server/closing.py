"""How a client connection ends when its client does not: it reads nothing, or has left unseen."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable

# How often to look for a client while we do not read: then the system reports nothing.
LOOK_S = 0.5


def close(transport: asyncio.Transport, stuck_after_s: float) -> None:
    """Close a connection once its client has read everything, or nothing for `stuck_after_s`."""
    transport.close()
    if unread := transport.get_write_buffer_size():
        loop = asyncio.get_running_loop()
        loop.call_later(stuck_after_s, _abort_if_stuck, transport, unread, stuck_after_s)


def cut(transport: asyncio.Transport, linger_s: float) -> None:
    """Close a connection in the middle of an answer; what is unread after `linger_s` is lost."""
    transport.close()
    if transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(linger_s, transport.abort)


def watch_for_leaving(transport: asyncio.Transport, is_paused: Callable[[], bool]) -> None:
    """Look for the client now and then while `is_paused`; close the connection if it has left."""
    asyncio.get_running_loop().call_later(LOOK_S, _look, transport, is_paused)


def _look(transport: asyncio.Transport, is_paused: Callable[[], bool]) -> None:
    if transport.is_closing() or not is_paused():
        return
    if _has_left(transport):
        transport.abort()
    else:
        watch_for_leaving(transport, is_paused)


def _abort_if_stuck(transport: asyncio.Transport, unread_before: int, after_s: float) -> None:
    unread = transport.get_write_buffer_size()
    if unread >= unread_before:
        transport.abort()
    elif unread:
        loop = asyncio.get_running_loop()
        loop.call_later(after_s, _abort_if_stuck, transport, unread, after_s)


def _has_left(transport: asyncio.Transport) -> bool:
    """Return whether the client has closed its side, although bytes of it are unread (Linux)."""
    known = transport.get_extra_info("socket")
    if known is None or not hasattr(select, "POLLRDHUP"):
        return False
    poll = select.poll()
    poll.register(known, select.POLLRDHUP)
    return bool(poll.poll(0))

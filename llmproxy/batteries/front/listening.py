"""Accepts connections, and tells who is at the other end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llmproxy.batteries.front.unix_peer import UnixConnection
from llmproxy.runtime import LiveConfig
from llmproxy.server import BACKLOG, Listen, MakeConnection, listen


@asynccontextmanager
async def open_front(_live: LiveConfig) -> AsyncIterator[Listen]:
    """Yield what accepts connections."""
    yield _listen


async def _listen(make: MakeConnection, listening: socket.socket) -> asyncio.Server:
    if listening.family != socket.AF_UNIX:
        return await listen(make, listening)
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: make(UnixConnection), sock=listening, backlog=BACKLOG)

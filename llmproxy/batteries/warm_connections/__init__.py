"""Warm connections: a call after a pause finds one that is open, and waits for no handshake.

Other packages call `open_warm_connections`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from llmproxy.batteries.background import background
from llmproxy.batteries.warm_connections.keeper import WarmConnections

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig

__all__ = ["open_warm_connections"]


@asynccontextmanager
async def open_warm_connections(live: LiveConfig) -> AsyncIterator[None]:
    """Keep connections to endpoints warm in the background until the block ends."""
    async with background(WarmConnections(live).run):
        yield

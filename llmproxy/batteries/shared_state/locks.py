"""Locks between instances: which of them asks an endpoint for an answer that several need.

The instance that holds the lock of a cache key extends it while it asks. If it dies, the others
wait at most LOCK_S. If the server is in trouble, every instance gets the lock, and asks for itself;
while that is known, the server is not asked for the lock.
"""

from __future__ import annotations

import asyncio
from secrets import token_hex
from typing import Protocol

from redis.exceptions import RedisError

from llmproxy.batteries.shared_state.address import Client, Script, patience

LOCK_S = 2.0
LOCK_MS = round(LOCK_S * 1000)
EXTEND_S = LOCK_S / 3


class ServerState(Protocol):
    """What is known of the server that has the locks."""

    @property
    def suspect(self) -> bool:
        """Whether it failed when it was last read."""


class SharedLocks:
    """The locks of this instance. The client belongs to the caller, who closes it."""

    def __init__(self, client: Client, *, namespace: str, server: ServerState) -> None:
        self._client = client
        self._server = server
        self._prefix = f"{namespace}:asking:"
        self._holder = token_hex(8)
        self._extend = Script("extend.lua")
        self._release = Script("release.lua")

    async def acquire(self, key: bytes) -> bool:
        """Return whether this instance holds the lock now. It does if the server is in trouble."""
        if self._server.suspect:
            return True
        try:
            async with patience(connected=True):
                name = self._name(key)
                return bool(await self._client.set(name, self._holder, nx=True, px=LOCK_MS))
        except (RedisError, OSError, TimeoutError):
            return True

    async def renew(self, key: bytes) -> None:
        """Extend a lock until cancelled."""
        while True:
            await asyncio.sleep(EXTEND_S)
            await self._run(self._extend, key, LOCK_MS)

    async def release(self, key: bytes) -> None:
        """Release a lock, unless another instance holds it by now."""
        await self._run(self._release, key)

    async def _run(self, script: Script, key: bytes, *arguments: int) -> None:
        try:
            async with patience(connected=True):
                await script.run(self._client, [self._name(key)], [self._holder, *arguments])
        except (RedisError, OSError, TimeoutError):
            return  # it expires by itself

    def _name(self, key: bytes) -> str:
        return self._prefix + key.hex()

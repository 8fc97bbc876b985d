"""Who of all instances is asking a question at the moment.

Whoever asks holds a lease, and extends it for as long as it asks: one that has died is waited for
no longer than LEASE_S. A server in trouble gives everybody the lease: then each asks for itself.
"""

from __future__ import annotations

import asyncio
from secrets import token_hex

from redis.exceptions import RedisError

from llmproxy.shared_state.address import Client, Script, patience

LEASE_S = 2.0
LEASE_MS = round(LEASE_S * 1000)
EXTEND_S = LEASE_S / 3


class SharedLocks:
    """The leases of this instance. The client is the caller's, who closes it."""

    def __init__(self, client: Client, *, namespace: str) -> None:
        self._client = client
        self._prefix = f"{namespace}:asking:"
        self._holder = token_hex(8)
        self._extend = Script("extend.lua")
        self._release = Script("release.lua")

    async def acquire(self, question: bytes) -> bool:
        """Whether this instance may ask now; it is if nobody else is asking, or if that cannot be
        known."""
        try:
            async with patience(connected=True):
                name = self._name(question)
                return bool(await self._client.set(name, self._holder, nx=True, px=LEASE_MS))
        except (RedisError, OSError, TimeoutError):
            return True

    async def renew(self, question: bytes) -> None:
        """Extend a lease for ever; ends only when it is cancelled."""
        while True:
            await asyncio.sleep(EXTEND_S)
            await self._run(self._extend, question, LEASE_MS)

    async def release(self, question: bytes) -> None:
        """Nobody need wait any longer."""
        await self._run(self._release, question)

    async def _run(self, script: Script, question: bytes, *arguments: int) -> None:
        try:
            async with patience(connected=True):
                keys = [self._name(question)]
                await script.run(self._client, keys, [self._holder, *arguments])
        except (RedisError, OSError, TimeoutError):
            return  # it will end by itself

    def _name(self, question: bytes) -> str:
        return self._prefix + question.hex()

"""Who of all instances is asking a question at the moment, in Redis or Valkey.

Whoever asks holds a lease, and extends it for as long as it asks: one that has died is waited for
no longer than LEASE_S. A server in trouble gives everybody the lease: then each asks for itself.
"""

from __future__ import annotations

import asyncio
from secrets import token_hex
from typing import TypeAlias

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError

Client: TypeAlias = "Redis | RedisCluster"

LEASE_S = 2.0
EXTEND_S = LEASE_S / 3
PATIENCE_S = 0.1  # a call waits for it
# Only one's own lease: after a pause of ours it may be another's by now.
_EXTEND = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end"
)
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class Leases:
    """The leases of this instance. The client is the caller's, who closes it."""

    def __init__(self, client: Client, *, namespace: str) -> None:
        self._client = client
        self._prefix = f"{namespace}:asking:"
        self._holder = token_hex(8)

    async def take(self, question: bytes) -> bool:
        """Whether this instance may ask now; it is if nobody else is asking, or if that cannot be
        known."""
        lease_ms = round(LEASE_S * 1000)
        try:
            async with asyncio.timeout(PATIENCE_S):
                name = self._name(question)
                return bool(await self._client.set(name, self._holder, nx=True, px=lease_ms))
        except (RedisError, OSError, TimeoutError):
            return True

    async def hold(self, question: bytes) -> None:
        """Extend a lease for ever; ends only when it is cancelled."""
        while True:
            await asyncio.sleep(EXTEND_S)
            await self._run(_EXTEND, question, round(LEASE_S * 1000))

    async def release(self, question: bytes) -> None:
        """Nobody need wait any longer."""
        await self._run(_RELEASE, question)

    async def _run(self, script: str, question: bytes, *arguments: int) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                name = self._name(question)
                await self._client.eval(script, 1, name, self._holder, *map(str, arguments))
        except (RedisError, OSError, TimeoutError):
            return  # it will end by itself

    def _name(self, question: bytes) -> str:
        return self._prefix + question.hex()

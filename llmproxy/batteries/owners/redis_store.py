"""Owners in the Redis or Valkey server that instances share: a string under
`NAMESPACE:owner:ID`, which expires by itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from redis.asyncio import RedisCluster
from redis.exceptions import RedisError

from llmproxy.batteries.masking import Secrets
from llmproxy.batteries.owners.registry import StoreFailed
from llmproxy.batteries.shared_state.address import Client, in_words


class RedisOwners:
    """An OwnerStore. Owns the client, which it closes. `keep_s`: from the time it was written."""

    def __init__(self, client: Client, *, namespace: str, keep_s: int, secrets: Secrets) -> None:
        self._client = client
        self._prefix = f"{namespace}:owner:"
        self._keep_s = keep_s
        self._secrets = secrets

    async def read(self, ids: Collection[str]) -> dict[str, bytes]:
        """Return the values of those ids that are there. Raises StoreFailed."""
        names = [self._prefix + id for id in ids]
        try:
            if isinstance(self._client, RedisCluster):
                values = await self._client.mget_nonatomic(names)
            else:
                values = await self._client.mget(names)
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        pairs = zip(ids, values, strict=True)
        return {id: value for id, value in pairs if isinstance(value, bytes)}

    async def write(self, values: Mapping[str, bytes]) -> None:
        """Add values with one pipeline. Raises StoreFailed."""
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for id, value in values.items():
                    pipeline.set(self._prefix + id, value, nx=True, ex=self._keep_s)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            raise self._failed(error) from error

    async def close(self) -> None:
        """Close the client."""
        try:
            await self._client.aclose()
        except (RedisError, OSError):
            return

    def _failed(self, error: Exception) -> StoreFailed:
        why = in_words(error, self._secrets) or type(error).__name__
        return StoreFailed(f"the shared Redis server fails: {why}")

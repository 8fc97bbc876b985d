"""Answers in Redis or Valkey, for all instances that share the server.

Every answer is a string under `NAMESPACE:answer:GROUP:KEY`, GROUP as in a URL, KEY in hexadecimal,
and expires by itself. The name contains the group, so that SCAN finds the answers of a group
without reading them. The server's memory is bounded by its own settings (maxmemory-policy).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from redis.asyncio import RedisCluster
from redis.exceptions import RedisError, ResponseError

from llmproxy.batteries.cache.cached_answer import HEAD_BYTES, stored_at_of
from llmproxy.batteries.cache.stores.base import StoreError, StoreTotals
from llmproxy.batteries.masking import NO_SECRETS, Secrets
from llmproxy.batteries.shared_state.address import Client, give_up_idle, in_words

SCAN_COUNT = 1000  # keeps the server from answering for 0.3 ms
SAMPLE = 1000  # values that are measured, to estimate the size of all


class ValkeyStore:
    """A StoreBackend. `keep_s`: answers expire after it. `secrets`: removed from error messages.

    The caller owns the client and closes it.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        keep_s: float,
        secrets: Secrets = NO_SECRETS,
    ) -> None:
        self._client = client
        self._prefix = f"{namespace}:answer:"
        self._keep_ms = max(1, round(keep_s * 1000))
        self._secrets = secrets
        self._doubtful = False

    async def read(self, wanted: list[tuple[str, bytes]]) -> list[bytes | None]:
        """Read with one MGET; in a cluster with one for each slot, sent together."""
        starts = {group: self._start(group) for group, _ in wanted}
        names = [f"{starts[group]}{key.hex()}" for group, key in wanted]
        async with self._translated():
            if isinstance(self._client, RedisCluster):
                return await self._client.mget_nonatomic(names)
            values = await self._client.mget(names)
        return [value if isinstance(value, bytes) else None for value in values]

    async def write(self, values: list[tuple[str, bytes, bytes]]) -> None:
        """Write with one pipeline."""
        async with self._translated(), self._client.pipeline(transaction=False) as pipeline:
            for group, key, value in values:
                pipeline.set(f"{self._start(group)}{key.hex()}", value, px=self._keep_ms)
            await pipeline.execute()

    async def purge(self, group: str | None, stored_before: float | None) -> int:
        """Remove answers. With `stored_before`, values of another format stay until they expire:
        their age is unknown."""
        removed = 0
        async with self._translated():
            async for names in self._found(group):
                old = names if stored_before is None else await self._older(names, stored_before)
                removed += sum(await self._run_for_each("UNLINK", old))
        return removed

    async def totals(self) -> StoreTotals:
        """Count the answers, and estimate their size from a sample."""
        entries = sampled = sample_bytes = 0
        async with self._translated():
            async for names in self._found(None):
                entries += len(names)
                if sampled < SAMPLE:
                    sizes = await self._run_for_each("STRLEN", names)
                    sampled += len(sizes)
                    sample_bytes += sum(size or 0 for size in sizes)
        return StoreTotals(entries, round(entries * sample_bytes / sampled) if sampled else 0)

    async def close(self) -> None:
        """No-op: the caller closes the client."""

    def _start(self, group: str) -> str:
        """Return the beginning of the names of a group's answers."""
        return f"{self._prefix}{quote(group, safe='')}:"

    async def _found(self, group: str | None) -> AsyncIterator[list[bytes]]:
        """Yield the names of answers in batches, from all primaries of a cluster.

        A name may come twice.
        """
        start = self._prefix if group is None else self._start(group)
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", start) + "*"
        names: list[bytes] = []
        async for name in self._client.scan_iter(match=pattern, count=SCAN_COUNT):
            names.append(name)
            if len(names) == SCAN_COUNT:
                yield names
                names = []
        if names:
            yield names

    async def _older(self, names: list[bytes], stored_before: float) -> list[bytes]:
        heads = await self._run_for_each("GETRANGE", names, 0, HEAD_BYTES - 1)
        ages = [stored_at_of(head or b"") for head in heads]
        return [
            name
            for name, stored_at in zip(names, ages, strict=True)
            if stored_at is not None and stored_at < stored_before
        ]

    async def _run_for_each(self, command: str, names: list[bytes], *args: int) -> list[Any]:
        """Return a command's result for each name; None for a value that is no string."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.execute_command(command, name, *args)
            results = await pipeline.execute(raise_on_error=False)
        for result in results:
            if isinstance(result, Exception) and not _is_wrong_type(result):
                raise result
        return [None if isinstance(result, Exception) else result for result in results]

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Turn failures into StoreError. After a failure, close idle connections first."""
        try:
            if self._doubtful:
                await give_up_idle(self._client)
            self._doubtful = False
            yield
        except (RedisError, OSError) as error:
            self._doubtful = True
            why = in_words(error, self._secrets) or type(error).__name__
            raise StoreError(why) from error
        except BaseException:  # cancelled after a timeout
            self._doubtful = True
            raise


def _is_wrong_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")

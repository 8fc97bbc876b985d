"""Answers kept in Redis or Valkey, for all instances that share it.

Every answer is a string under `NAMESPACE:answer:GROUP:KEY`, GROUP as in a URL, KEY in hexadecimal,
and expires by itself. The group stands in the name, because then SCAN finds all of a group and
nothing need be read of it; the server's memory is bounded by its own settings (maxmemory-policy).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from redis.asyncio import RedisCluster
from redis.exceptions import RedisError, ResponseError

from llmproxy.cache.cached_answer import HEAD_BYTES, stored_at_of
from llmproxy.cache.stores.base import StoreError, StoreTotals
from llmproxy.shared_state.address import Client, give_up_idle, in_words

SCAN_COUNT = 1000  # some 0.3 ms of the server, in which it answers nobody
SAMPLE = 1000  # so many values are measured for the size of all


class ValkeyStore:
    """Puts each operation to the server as it is. `keep_s`: what is written lives so long.

    The client is the caller's, who closes it; `secrets`: what must not be told of it.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        keep_s: float,
        secrets: Collection[str] = (),
    ) -> None:
        self._client = client
        self._prefix = f"{namespace}:answer:"
        self._keep_ms = max(1, round(keep_s * 1000))
        self._secrets = secrets
        self._doubtful = False

    async def read(self, wanted: list[tuple[str, bytes]]) -> list[bytes | None]:
        """One MGET; of a cluster one for each slot, sent together."""
        starts = {group: self._start(group) for group, _ in wanted}
        names = [f"{starts[group]}{key.hex()}" for group, key in wanted]
        async with self._told():
            if isinstance(self._client, RedisCluster):
                return await self._client.mget_nonatomic(names)
            told = await self._client.mget(names)
        return [value if isinstance(value, bytes) else None for value in told]

    async def write(self, values: list[tuple[str, bytes, bytes]]) -> None:
        """One pipeline."""
        async with self._told(), self._client.pipeline(transaction=False) as pipeline:
            for group, key, value in values:
                pipeline.set(f"{self._start(group)}{key.hex()}", value, px=self._keep_ms)
            await pipeline.execute()

    async def purge(self, group: str | None, stored_before: float | None) -> int:
        """What is of another format has no known age: it stays until it expires, if an age is
        asked for."""
        forgotten = 0
        async with self._told():
            async for names in self._found(group):
                old = names if stored_before is None else await self._older(names, stored_before)
                forgotten += sum(await self._each("UNLINK", old))
        return forgotten

    async def totals(self) -> StoreTotals:
        """Their number is counted, their size estimated from some of them."""
        entries = sampled = sample_bytes = 0
        async with self._told():
            async for names in self._found(None):
                entries += len(names)
                if sampled < SAMPLE:
                    sizes = await self._each("STRLEN", names)
                    sampled += len(sizes)
                    sample_bytes += sum(size or 0 for size in sizes)
        return StoreTotals(entries, round(entries * sample_bytes / sampled) if sampled else 0)

    async def close(self) -> None:
        """The client is the caller's."""

    def _start(self, group: str) -> str:
        """How the names of a group's answers begin."""
        return f"{self._prefix}{quote(group, safe='')}:"

    async def _found(self, group: str | None) -> AsyncIterator[list[bytes]]:
        """The names of what is kept, of a cluster on each of its primaries; one may come twice."""
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
        heads = await self._each("GETRANGE", names, 0, HEAD_BYTES - 1)
        ages = [stored_at_of(head or b"") for head in heads]
        return [
            name
            for name, stored_at in zip(names, ages, strict=True)
            if stored_at is not None and stored_at < stored_before
        ]

    async def _each(self, command: str, names: list[bytes], *args: int) -> list[Any]:
        """What the command returns for each name; None for what is no string at all."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.execute_command(command, name, *args)
            told = await pipeline.execute(raise_on_error=False)
        for each in told:
            if isinstance(each, Exception) and not _is_of_another_type(each):
                raise each
        return [None if isinstance(each, Exception) else each for each in told]

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """Trouble in our words. After any, idle connections are given up."""
        try:
            if self._doubtful:
                await give_up_idle(self._client)
            self._doubtful = False
            yield
        except (RedisError, OSError) as error:
            self._doubtful = True
            why = in_words(error, self._secrets) or type(error).__name__
            raise StoreError(why) from error
        except BaseException:  # cancelled: it has taken too long
            self._doubtful = True
            raise


def _is_of_another_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")

"""The answer caches of a process: what survives a reload, and what each config opens anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from llmproxy.batteries.cache.answers import CacheCounters
from llmproxy.batteries.cache.cache import TwoLevelCache
from llmproxy.batteries.cache.stores.base import StoreBackend, StoreCounters, StoreError
from llmproxy.batteries.cache.stores.l2 import L2Store, open_l2
from llmproxy.batteries.cache.stores.memory import MemoryStore
from llmproxy.batteries.settings import CacheParams, full, server_settings
from llmproxy.config import GeneralSettings
from llmproxy.errors import ConfigError, Problem

# Of the store behind the memory: after TIMEOUT a read has failed; a call waits QUICK for a server
# nearby, and TIMEOUT for a file.
SERVER_TIMEOUT_S, SERVER_QUICK_S = 0.1, 0.008
DISK_TIMEOUT_S = 0.5


class Caches:
    """Opens caches (an `AnswerCaches`). Owns the answers in memory and the counters."""

    def __init__(self) -> None:
        self._memory = MemoryStore(max_bytes=0, keep_s=0.0)
        self._counters = CacheCounters()
        self._store_counters: StoreCounters | None = None  # until there is a store

    def opened_with(self, settings: GeneralSettings) -> object:
        """Return the settings that a cache is opened with."""
        settings = full(settings)
        params = settings.cache_params
        server = server_settings(settings) if params.type == "redis" else None
        return settings.cache, params, server

    @asynccontextmanager
    async def open(self, settings: GeneralSettings) -> AsyncIterator[TwoLevelCache]:
        """Open a cache and its store. Raises ConfigError if the store cannot be used."""
        settings = full(settings)
        params = settings.cache_params
        l2 = locks = None
        async with AsyncExitStack() as stack:
            if settings.cache and params.type == "disk":
                store = _disk_store(params)
                l2 = await self._l2(stack, store, timeout_s=DISK_TIMEOUT_S)
            elif settings.cache and params.type == "redis":
                # These import redis-py.
                from llmproxy.batteries.cache.stores.valkey import ValkeyStore  # noqa: PLC0415
                from llmproxy.batteries.shared_state.address import client_of, secrets_of  # noqa: PLC0415
                from llmproxy.batteries.shared_state.locks import SharedLocks  # noqa: PLC0415

                client = client_of(settings)
                stack.push_async_callback(client.aclose)
                namespace = params.namespace or settings.redis_namespace
                store = ValkeyStore(
                    client,
                    namespace=namespace,
                    keep_s=keep_s(params),
                    secrets=secrets_of(settings),
                )
                l2 = await self._l2(
                    stack, store, timeout_s=SERVER_TIMEOUT_S, quick_s=SERVER_QUICK_S
                )
                if params.across_instances:
                    locks = SharedLocks(client, namespace=namespace, server=l2)
            cache = TwoLevelCache(
                params,
                self._memory,
                l2=l2,
                locks=locks,
                counters=self._counters,
                store_counters=self._store_counters,
            )
            stack.push_async_callback(cache.close)
            yield cache

    def install(self, settings: GeneralSettings) -> None:
        """Apply the bounds of a config to the answers in memory; remove them if it has no cache."""
        settings = full(settings)
        params = settings.cache_params
        self._memory.limit_to(max_bytes=params.max_bytes, keep_s=keep_s(params))
        if not settings.cache:
            self._memory.purge(None, None)

    def forget(self, group: str | None, stored_before: float | None) -> int:
        """Remove answers from memory: of a group or all, stored before a Unix time or all."""
        return self._memory.purge(group, stored_before)

    async def _l2(
        self,
        stack: AsyncExitStack,
        store: StoreBackend,
        *,
        timeout_s: float,
        quick_s: float | None = None,
    ) -> L2Store:
        if self._store_counters is None:
            self._store_counters = StoreCounters()
        opening = open_l2(
            store, timeout_s=timeout_s, quick_s=quick_s, counters=self._store_counters
        )
        return await stack.enter_async_context(opening)


def keep_s(params: CacheParams) -> float:
    """Return for how many seconds an answer may be of use, fresh or stale."""
    return params.ttl + max(params.stale_if_error_s, params.stale_while_revalidate_s)


def _disk_store(params: CacheParams) -> StoreBackend:
    from llmproxy.batteries.cache.stores.sqlite import SqliteStore  # noqa: PLC0415 - imports sqlite3

    try:
        max_bytes = params.max_disk_bytes
        return SqliteStore(params.path or "", max_bytes=max_bytes, keep_s=keep_s(params))
    except StoreError as error:
        problem = Problem("general_settings.cache_params.path", 0, str(error), "")
        raise ConfigError([problem]) from error

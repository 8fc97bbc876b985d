"""Opening what a Config needs. What an earlier one has open with the same settings is not opened
again: connections to endpoints, the shared view, the cache."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from itertools import chain
from typing import TYPE_CHECKING

from llmproxy.cache import Cache
from llmproxy.cache.stores.base import StoreBackend, StoreCounters, StoreError
from llmproxy.cache.stores.l2 import open_l2
from llmproxy.config import CacheParams, Config, GeneralSettings, Timeouts, shares_state
from llmproxy.errors import ConfigError, Problem
from llmproxy.pipeline.failover.attempt import AttemptMaker
from llmproxy.providers import endpoints_of
from llmproxy.providers.base import Endpoint
from llmproxy.rules.prices import Prices
from llmproxy.runtime.price_list import prices_of
from llmproxy.runtime.process_state import ProcessState, keep_s
from llmproxy.upstream import UpstreamClient
from llmproxy.upstream.entra import EntraCredentials

if TYPE_CHECKING:
    from llmproxy.shared_state.view import SharedState

logger = logging.getLogger("llmproxy")

# How long a call waits for the store behind the memory of the cache.
SERVER_TIMEOUT_S = 0.1
DISK_TIMEOUT_S = 0.5


class Resources:
    """All that a Runtime is made of. Made by `opened` only; `held` closes it, whoever has it."""

    attempts: AttemptMaker
    cache: Cache
    shared: SharedState | None = None

    def __init__(
        self, config: Config, endpoints: dict[str, tuple[Endpoint, ...]], prices: Prices
    ) -> None:
        self.config = config
        self.endpoints = endpoints
        self.prices = prices
        self.held = AsyncExitStack()


async def opened(config: Config, process: ProcessState) -> Resources:
    """Everything for a config. What is served meanwhile does not notice.

    Raises ConfigError if something cannot be used; then nothing new is open.
    """
    endpoints = endpoints_of(config)
    # In a thread: to import the list of prices takes a while.
    prices = await asyncio.to_thread(prices_of, list(chain.from_iterable(endpoints.values())))
    opened = Resources(config, endpoints, prices)
    try:
        await _open_all(opened, config.general_settings, process)
    except BaseException:
        await opened.held.aclose()
        raise
    return opened


async def _open_all(to: Resources, settings: GeneralSettings, process: ProcessState) -> None:
    held, shared = to.held, process.shared
    timeouts = settings.timeouts
    client = await shared.acquire(held, ("upstream", timeouts), _client(timeouts, process))
    credentials = await shared.acquire(held, ("entra", None), _credentials())
    to.attempts = AttemptMaker(client, credentials, timeouts)
    if settings.exact_token_counts:
        logger.warning(
            "general_settings.exact_token_counts has no effect any more: calls are counted from "
            "their bytes and the usage that vendors return. Remove the key."
        )
    params = settings.cache_params
    made_from = settings.cache, params, redis_of(settings) if params.type == "redis" else None
    to.cache = await shared.acquire(held, ("cache", made_from), _cache(settings, process))
    if shares_state(settings):
        to.shared = await shared.acquire(
            held, ("shared view", redis_of(settings)), _shared_view(settings, process)
        )


def redis_of(settings: GeneralSettings) -> dict[str, object]:
    """The settings that say where the server is."""
    names = (name for name in type(settings).model_fields if name.startswith("redis_"))
    return {name: getattr(settings, name) for name in names}


@asynccontextmanager
async def _client(timeouts: Timeouts, process: ProcessState) -> AsyncIterator[UpstreamClient]:
    with closing(UpstreamClient(timeouts, environ=process.environ)) as client:
        yield client


@asynccontextmanager
async def _credentials() -> AsyncIterator[EntraCredentials]:
    with closing(EntraCredentials()) as credentials:
        yield credentials


@asynccontextmanager
async def _shared_view(
    settings: GeneralSettings, process: ProcessState
) -> AsyncIterator[SharedState]:
    # Only who shares anything pays for the import.
    from llmproxy.shared_state.opening import open_shared_state  # noqa: PLC0415

    async with open_shared_state(settings, apply_state=process.hear) as shared:
        shared.on_grant(process.rooms.serve)
        shared.on_purge(process.memory.purge)
        yield shared


@asynccontextmanager
async def _cache(settings: GeneralSettings, process: ProcessState) -> AsyncIterator[Cache]:
    """The cache, with what it keeps answers in. Raises ConfigError if that cannot be used."""
    params = settings.cache_params
    if settings.cache and params.type != "memory" and process.store_counters is None:
        process.store_counters = StoreCounters()
    async with AsyncExitStack() as stack:
        second, locks = None, None
        if settings.cache and params.type == "disk":
            opening = open_l2(
                _disk_store(params), timeout_s=DISK_TIMEOUT_S, counters=process.store_counters
            )
            second = await stack.enter_async_context(opening)
        elif settings.cache and params.type == "redis":
            # Only who shares anything pays for the import.
            from llmproxy.cache.stores.valkey import ValkeyStore  # noqa: PLC0415
            from llmproxy.shared_state.address import client_of, secrets_of  # noqa: PLC0415
            from llmproxy.shared_state.locks import SharedLocks  # noqa: PLC0415

            client = client_of(settings)
            stack.push_async_callback(client.aclose)
            namespace = params.namespace or settings.redis_namespace
            secrets = secrets_of(settings)
            kept = ValkeyStore(client, namespace=namespace, keep_s=keep_s(params), secrets=secrets)
            opening = open_l2(kept, timeout_s=SERVER_TIMEOUT_S, counters=process.store_counters)
            second = await stack.enter_async_context(opening)
            locks = SharedLocks(client, namespace=namespace) if params.across_instances else None
        cache = Cache(
            params,
            process.memory,
            l2=second,
            locks=locks,
            counters=process.cache_counters,
            store_counters=process.store_counters,
        )
        stack.push_async_callback(cache.close)
        yield cache


def _disk_store(params: CacheParams) -> StoreBackend:
    from llmproxy.cache.stores.sqlite import SqliteStore  # noqa: PLC0415 - seldom wanted

    try:
        return SqliteStore(
            params.path or "", max_bytes=params.max_disk_bytes, keep_s=keep_s(params)
        )
    except StoreError as error:
        problem = Problem("general_settings.cache_params.path", 0, str(error), "")
        raise ConfigError([problem]) from error

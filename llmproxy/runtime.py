"""What is alive: made from a Config, opened once, closed once.

A Config opens nothing and a stage owns no connection; everything that must be closed is here.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from llmproxy.adapters.answers.memory import Memory
from llmproxy.adapters.answers.second_level import open_second_level
from llmproxy.adapters.answers.store import Store, StoreError
from llmproxy.adapters.entra import EntraCredentials
from llmproxy.adapters.exact_count import ExactCounts, o200k_base
from llmproxy.adapters.price_list import list_price, prices_of
from llmproxy.adapters.upstream import UpstreamClient
from llmproxy.config import CacheMode, CacheParams, Config, GeneralSettings, shares_state
from llmproxy.errors import ConfigError, Problem
from llmproxy.events import Listener, Listeners
from llmproxy.pool import EndpointState, Group, Pool
from llmproxy.providers import endpoints_of
from llmproxy.providers.base import Endpoint
from llmproxy.rules.breaker import Breaker
from llmproxy.rules.capacity import Capacity
from llmproxy.rules.lease import Lease
from llmproxy.rules.prices import Prices, blended
from llmproxy.stages.admission import Admission
from llmproxy.stages.cache import Cache, Questions
from llmproxy.stages.callers import Callers
from llmproxy.stages.failover import Failover
from llmproxy.stages.failover.attempt import Attempts
from llmproxy.stages.heartbeat import Heartbeat
from llmproxy.stages.intake import Intake
from llmproxy.stages.relay import Relay

if TYPE_CHECKING:
    from llmproxy.adapters.shared import SharedView

# How long a call waits for the second level of the cache.
SERVER_PATIENCE_S = 0.1
DISK_PATIENCE_S = 0.5


class Runtime:
    """Everything that the story of a call needs. Made by `open_runtime` only.

    `shared`: what is known together with other instances; None = there are none. `prices` by group
    and endpoint, of those that have one.
    """

    def __init__(
        self,
        config: Config,
        pool: Pool,
        attempts: Attempts,
        *,
        listener: Listener,
        cache: Cache,
        shared: SharedView | None,
        counts: ExactCounts | None,
        prices: Prices,
    ) -> None:
        settings = config.general_settings
        self.config = config
        self.listener = listener
        self.shared = shared
        self.prices = prices
        self.pool = pool
        self.callers = Callers(settings.callers, pool)
        self.intake = Intake(settings)
        self.cache = cache
        self.heartbeat = Heartbeat(settings.queue.heartbeat_s)
        self.admission = Admission(settings)
        self.failover = Failover(
            attempts,
            listener,
            max_attempts=settings.num_retries + 1,
            queue=settings.queue,
            draw=random.random,
            counts=counts,
        )
        self.relay = Relay(idle_s=settings.timeouts.idle_s)


class Live:
    """Holds the Runtime that new calls begin with. A call keeps the one it has begun with.

    `draining`: the process is going down and wants no more traffic.
    """

    __slots__ = ("draining", "runtime")

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.draining = False


@asynccontextmanager
async def open_runtime(
    config: Config, *, environ: Mapping[str, str], listener: Listener
) -> AsyncIterator[Runtime]:
    """A Runtime that serves calls until the block ends; then its connections are closed."""
    settings = config.general_settings
    pool = pool_of(config)
    async with AsyncExitStack() as stack:
        client = UpstreamClient(settings.timeouts, environ=environ)
        stack.callback(client.close)
        credentials = EntraCredentials()
        stack.callback(credentials.close)
        attempts = Attempts(client, credentials, settings.timeouts)
        counts = None
        if settings.exact_token_counts:
            counts = ExactCounts(o200k_base())
            stack.push_async_callback(counts.close)
        prices = prices_of(pool)
        cache = await _open_cache(stack, config, prices)
        make = partial(Runtime, config, pool, attempts, cache=cache, counts=counts, prices=prices)
        if not shares_state(settings):
            yield make(listener=listener, shared=None)
            return
        # Only who shares anything pays for the import.
        from llmproxy.adapters.shared import open_shared_view  # noqa: PLC0415

        shared = await stack.enter_async_context(open_shared_view(settings, hear=pool.hear))
        told = Listeners(listener, shared)
        runtime = make(listener=told, shared=shared)
        for capacity in (*pool.capacities(), *runtime.callers.capacities()):
            lease = Lease(smooth=capacity.fixed_windows)
            capacity.share_with_others(lease)
            shared.add(capacity.key, lease)
        for group in pool.groups.values():
            group.scatter(random.random)
        shared.on_grant(runtime.failover.room_has_come)
        shared.on_purge(cache.memory.purge)
        yield runtime


async def _open_cache(stack: AsyncExitStack, config: Config, prices: Prices) -> Cache:
    """The cache, with what it keeps answers in. Raises ConfigError if that cannot be used."""
    settings = config.general_settings
    params = settings.cache_params
    keep_s = params.ttl + max(params.stale_if_error_s, params.stale_while_revalidate_s)
    second, leases = None, None
    if settings.cache and params.type == "disk":
        store = _disk_store(params, keep_s)
        opening = open_second_level(store, patience_s=DISK_PATIENCE_S)
        second = await stack.enter_async_context(opening)
    elif settings.cache and params.type == "redis":
        # Only who shares anything pays for the import.
        from llmproxy.adapters.answers.valkey import ValkeyStore  # noqa: PLC0415
        from llmproxy.adapters.shared.address import client_of, secrets_of  # noqa: PLC0415
        from llmproxy.adapters.shared.leases import Leases  # noqa: PLC0415

        client = client_of(settings)
        stack.push_async_callback(client.aclose)
        namespace = params.namespace or settings.redis_namespace
        secrets = secrets_of(settings)
        kept = ValkeyStore(client, namespace=namespace, keep_s=keep_s, secrets=secrets)
        opening = open_second_level(kept, patience_s=SERVER_PATIENCE_S)
        second = await stack.enter_async_context(opening)
        leases = Leases(client, namespace=namespace) if params.across_instances else None
    cache = Cache(
        params,
        Questions(settings, _modes(config)),
        Memory(max_bytes=params.max_bytes, keep_s=keep_s),
        second=second,
        leases=leases,
        prices=prices,
    )
    stack.push_async_callback(cache.close)
    return cache


def _disk_store(params: CacheParams, keep_s: float) -> Store:
    from llmproxy.adapters.answers.disk import DiskStore  # noqa: PLC0415 - seldom wanted

    try:
        return DiskStore(params.path or "", max_bytes=params.max_disk_bytes, keep_s=keep_s)
    except StoreError as error:
        problem = Problem("general_settings.cache_params.path", 0, str(error), "")
        raise ConfigError([problem]) from error


def _modes(config: Config) -> dict[str, CacheMode]:
    """Of the groups that say themselves what is remembered of them."""
    return {each.model_group: each.cache for each in config.model_groups if each.cache is not None}


def pool_of(config: Config) -> Pool:
    """Fresh state for every endpoint of a config."""
    settings = config.general_settings
    capacities: dict[str, Capacity] = {}
    groups: dict[str, Group] = {}
    for group, endpoints in zip(config.model_groups, endpoints_of(config).values(), strict=True):
        strategy = group.strategy or settings.strategy
        groups[group.model_group] = Group(
            group.model_group,
            _states(endpoints, settings, capacities),
            strategy,
            spill_wait_s=settings.queue.spill_wait_s,
            price=_price_of if strategy == "cheapest" else None,
        )
    for group in config.model_groups:
        here = groups[group.model_group]
        here.fallbacks = tuple(groups[name] for name in group.fallbacks)
        here.context_fallbacks = tuple(groups[name] for name in group.context_window_fallbacks)
    return Pool(groups)


def _states(
    endpoints: tuple[Endpoint, ...], settings: GeneralSettings, capacities: dict[str, Capacity]
) -> list[EndpointState]:
    alone = len(endpoints) == 1
    return [
        EndpointState(
            endpoint,
            Breaker(allowed_fails=settings.allowed_fails, open_s=settings.cooldown_time),
            _capacity_of(endpoint, capacities),
            alone=alone,
        )
        for endpoint in endpoints
    ]


def _capacity_of(endpoint: Endpoint, capacities: dict[str, Capacity]) -> Capacity:
    """The capacity of an endpoint's account: one for all groups that use it.

    Where they give it different limits, each group's own hold for its endpoint.
    """
    limits = endpoint.limits
    key = f"{endpoint.account}:{limits.rpm}:{limits.tpm}:{limits.concurrent}"
    if key not in capacities:
        capacities[key] = Capacity(
            key,
            rpm=limits.rpm,
            tpm=limits.tpm,
            concurrent=limits.concurrent,
            fixed_windows=endpoint.provider.fixed_windows,
        )
    return capacities[key]


def _price_of(state: EndpointState) -> float:
    """What a call costs here, for the order of tiers; what is not known comes last."""
    endpoint = state.endpoint
    price = endpoint.price or list_price(endpoint.provider.name, endpoint.model or "")
    return inf if price is None else blended(price)

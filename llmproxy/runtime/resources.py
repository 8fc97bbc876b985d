"""What a config has open: connections to endpoints, the answer cache, the connection to other
instances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from itertools import chain

from msgspec.structs import replace

from llmproxy.config import Config, Price, Timeouts
from llmproxy.errors import ConfigError, Problem
from llmproxy.pipeline.failover.attempt import AttemptMaker
from llmproxy.protocols import AnswerCache, OwnersOf, PeerConnector, Peers, PriceCall, Prices
from llmproxy.providers import endpoints_of
from llmproxy.providers.base import Endpoints
from llmproxy.runtime.process_state import ProcessState, RuntimeBatteries
from llmproxy.upstream import UpstreamClient


@dataclass(frozen=True)
class Resources:
    """What a Runtime is made of. The caller that opened it closes it.

    `prices` by group and endpoint, of those that have one. `cache` and `peers`: None = without.
    """

    process: ProcessState
    config: Config
    endpoints: Endpoints
    prices: Prices
    price_call: PriceCall | None
    attempts: AttemptMaker
    cache: AnswerCache | None
    peers: Peers | None
    owners: OwnersOf | None
    close: Callable[[], Awaitable[None]]


async def open_resources(config: Config, process: ProcessState) -> Resources:
    """Open what a config needs. The config that is being served is not affected.

    Raises ConfigError if something cannot be used; then nothing new is left open.
    """
    process.batteries.check(config)
    endpoints = await _endpoints(config, process.batteries)
    prices = {
        (endpoint.group, endpoint.name): endpoint.price
        for endpoint in chain.from_iterable(endpoints.values())
        if isinstance(endpoint.price, Price)
    }
    pricing = process.batteries.pricing
    settings, acquire = config.general_settings, process.acquire
    timeouts = settings.timeouts
    async with AsyncExitStack() as held:
        client = await acquire(held, ("upstream", timeouts), _client(timeouts, process))
        cache = peers = owners = None
        if (caches := process.batteries.caches) is not None:
            key = "cache", caches.opened_with(settings)
            cache = await acquire(held, key, caches.open(settings))
        if (connector := process.batteries.connector) and (
            made_from := connector.opened_with(settings)
        ):
            opening = _peers(config, process, connector)
            peers = await acquire(held, ("peers", made_from), opening)
        if (registries := process.batteries.owners) is not None:
            key = "owners", registries.opened_with(settings)
            owners = await acquire(held, key, registries.open(settings, process.environ))
        return Resources(
            process,
            config,
            endpoints,
            prices,
            pricing and pricing(prices),
            AttemptMaker(
                client, timeouts, masking=process.batteries.masking, read_answer=process.read_answer
            ),
            cache=cache,
            peers=peers,
            owners=owners,
            close=held.pop_all().aclose,
        )


async def _endpoints(config: Config, batteries: RuntimeBatteries) -> Endpoints:
    """Return the endpoints of a config as the batteries prepare them."""
    endpoints: Endpoints = endpoints_of(config)
    if (masking := batteries.masking) is not None:
        endpoints = {
            group: tuple(replace(endpoint, mask=masking.mask_of(endpoint)) for endpoint in row)
            for group, row in endpoints.items()
        }
    if (credentials := batteries.credentials) is not None:
        endpoints = credentials.authorized(endpoints)
    for prepared in (batteries.parameters, batteries.translation):
        endpoints = endpoints if prepared is None else prepared(config, endpoints)
    if (with_list_prices := batteries.price_list) is not None:
        # In a thread: importing the list takes a while.
        endpoints = await asyncio.to_thread(with_list_prices, config, endpoints)
    return endpoints


@asynccontextmanager
async def _client(timeouts: Timeouts, process: ProcessState) -> AsyncIterator[UpstreamClient]:
    make, environ = process.batteries.tunnels, process.environ
    if make is None and (environ.get("https_proxy") or environ.get("HTTPS_PROXY")):
        found = "HTTPS_PROXY is set: this installation has no `llmproxy.batteries.tunnel`."
        remedy = "Install the whole of llmproxy, or unset HTTPS_PROXY."
        raise ConfigError([Problem("environment", 0, found, remedy)])
    tunnels = None if make is None else make(environ)
    resolver = None if process.batteries.resolver is None else process.batteries.resolver()
    sessions = None if process.batteries.tls_sessions is None else process.batteries.tls_sessions()
    client = UpstreamClient(timeouts, tunnels=tunnels, resolver=resolver, sessions=sessions)
    with closing(client):
        yield client


@asynccontextmanager
async def _peers(
    config: Config, process: ProcessState, connector: PeerConnector
) -> AsyncIterator[Peers]:
    async with connector.open(config.general_settings) as peers:
        peers.on_grant(process.rooms.serve)
        if process.batteries.caches is not None:
            peers.on_purge(process.batteries.caches.forget)
        yield peers

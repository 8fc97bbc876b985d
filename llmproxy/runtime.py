"""What is alive: made from a Config, opened once, closed once.

A Config opens nothing and a stage owns no connection; everything that must be closed is here.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from llmproxy.adapters.entra import EntraCredentials
from llmproxy.adapters.upstream import UpstreamClient
from llmproxy.config import Config, GeneralSettings
from llmproxy.events import Listener
from llmproxy.pool import EndpointState, Group, Pool
from llmproxy.providers import endpoints_of
from llmproxy.providers.base import Endpoint
from llmproxy.rules.breaker import Breaker
from llmproxy.stages.admission import Admission
from llmproxy.stages.failover import Failover
from llmproxy.stages.failover.attempt import Attempts
from llmproxy.stages.intake import Intake
from llmproxy.stages.relay import Relay


class Runtime:
    """Everything that the story of a call needs. Made by `open_runtime` only."""

    def __init__(
        self,
        config: Config,
        client: UpstreamClient,
        credentials: EntraCredentials,
        listener: Listener,
    ) -> None:
        settings = config.general_settings
        attempts = Attempts(client, credentials, settings.timeouts)
        self.config = config
        self.listener = listener
        self.client = client
        self.pool = pool_of(config)
        self.intake = Intake(settings)
        self.admission = Admission(settings)
        self.failover = Failover(
            attempts,
            listener,
            max_attempts=settings.num_retries + 1,
            draw=random.random,
        )
        self.relay = Relay(idle_s=settings.timeouts.idle_s)
        self.draining = False


@asynccontextmanager
async def open_runtime(
    config: Config, *, environ: Mapping[str, str], listener: Listener
) -> AsyncIterator[Runtime]:
    """A Runtime that serves calls until the block ends; then its connections are closed."""
    client = UpstreamClient(config.general_settings.timeouts, environ=environ)
    credentials = EntraCredentials()
    try:
        yield Runtime(config, client, credentials, listener)
    finally:
        client.close()
        credentials.close()


def pool_of(config: Config) -> Pool:
    """Fresh state for every endpoint of a config."""
    settings = config.general_settings
    strategies = {
        group.model_group: group.strategy or settings.strategy for group in config.model_groups
    }
    return Pool(
        {
            name: Group(name, _states(endpoints, settings), strategies[name])
            for name, endpoints in endpoints_of(config).items()
        }
    )


def _states(endpoints: tuple[Endpoint, ...], settings: GeneralSettings) -> list[EndpointState]:
    alone = len(endpoints) == 1
    return [
        EndpointState(
            endpoint,
            Breaker(allowed_fails=settings.allowed_fails, open_s=settings.cooldown_time),
            alone=alone,
        )
        for endpoint in endpoints
    ]

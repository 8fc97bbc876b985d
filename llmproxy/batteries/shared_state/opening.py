"""Opens the shared view: makes its parts, runs its background tasks, and closes it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

from redis.exceptions import RedisError

from llmproxy.batteries.background import background
from llmproxy.batteries.settings import FullSettings
from llmproxy.batteries.shared_state.address import (
    client_of,
    is_on_this_machine,
    patience,
    secrets_of,
)
from llmproxy.batteries.shared_state.broadcast import ApplyState, StateBroadcast
from llmproxy.batteries.shared_state.endpoint_states import EndpointStates
from llmproxy.batteries.shared_state.quota import WINDOW_SLOTS
from llmproxy.batteries.shared_state.sync import QuotaSync
from llmproxy.batteries.shared_state.view import SharedState
from llmproxy.batteries.shared_state.windows import WindowClient


@asynccontextmanager
async def open_shared_state(
    settings: FullSettings,
    *,
    apply_state: ApplyState | None = None,
    window_slots: int = WINDOW_SLOTS,
) -> AsyncIterator[SharedState]:
    """Open the shared view on the server that the settings name, until the block ends.

    It waits at most 0.3 s for the server, and opens without it. `apply_state`: called with what
    happens to endpoints on other instances; None = it is applied to the pool that is served. Raises
    ConfigError if redis-py cannot use the address.
    """
    client = client_of(settings)
    instance = token_hex(6)
    namespace = settings.redis_namespace
    windows = WindowClient(client, namespace, instance, window_slots)
    sync = QuotaSync(
        client,
        windows,
        secrets=secrets_of(settings),
        on_this_machine=is_on_this_machine(settings),
    )
    states = EndpointStates()
    broadcast = StateBroadcast(
        client, namespace=namespace, instance=instance, apply_state=apply_state or states.apply
    )
    try:
        async with background(sync.run, broadcast.run_publisher, broadcast.run_subscriber):
            with contextlib.suppress(TimeoutError):
                async with patience(connected=False):
                    await sync.tried.wait()
                    if sync.status(0.0).connected:
                        await broadcast.caught_up.wait()
            yield SharedState(sync, broadcast, states)
        await sync.leave()
    finally:
        with contextlib.suppress(RedisError, OSError):
            await client.aclose()

"""Opening the shared view: its parts are made here, and closed in the opposite order."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

from redis.exceptions import RedisError

from llmproxy.aio.tasks import background
from llmproxy.config import GeneralSettings
from llmproxy.shared_state.address import client_of, patience, secrets_of
from llmproxy.shared_state.broadcast import ApplyState, StateBroadcast
from llmproxy.shared_state.quota import WINDOW_SLOTS
from llmproxy.shared_state.view import SharedState
from llmproxy.shared_state.windows import WindowClient


@asynccontextmanager
async def open_shared_state(
    settings: GeneralSettings, *, apply_state: ApplyState, window_slots: int = WINDOW_SLOTS
) -> AsyncIterator[SharedState]:
    """The view that the settings name, kept up to date until the block ends.

    It begins even if the server does not answer; a moment is waited for it. `apply_state` is
    called with what happens to endpoints on other instances. Raises ConfigError if redis-py
    cannot use the address.
    """
    client = client_of(settings)
    instance = token_hex(6)
    namespace = settings.redis_namespace
    windows = WindowClient(client, namespace, instance, window_slots)
    broadcast = StateBroadcast(
        client, namespace=namespace, instance=instance, apply_state=apply_state
    )
    view = SharedState(client, windows, broadcast, secrets=secrets_of(settings))
    try:
        async with background(view.keep_asking, broadcast.run_publisher, broadcast.run_subscriber):
            with contextlib.suppress(TimeoutError):
                async with patience(connected=False):
                    await view.tried.wait()
                    if view.status(0.0).connected:
                        await broadcast.caught_up.wait()
            yield view
        await view.leave()
    finally:
        with contextlib.suppress(RedisError, OSError):
            await client.aclose()

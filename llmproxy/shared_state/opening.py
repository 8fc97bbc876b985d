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
from llmproxy.shared_state.news import Hear, Newsroom
from llmproxy.shared_state.quota import WINDOW_SLOTS
from llmproxy.shared_state.view import SharedView
from llmproxy.shared_state.windows import Windows


@asynccontextmanager
async def open_shared_view(
    settings: GeneralSettings, *, hear: Hear, window_slots: int = WINDOW_SLOTS
) -> AsyncIterator[SharedView]:
    """The view that the settings name, kept up to date until the block ends.

    It begins even if the server does not answer; a moment is waited for it. `hear` is called with
    what happens to endpoints on other instances. Raises ConfigError if redis-py cannot use the
    address.
    """
    client = client_of(settings)
    instance = token_hex(6)
    namespace = settings.redis_namespace
    windows = Windows(client, namespace, instance, window_slots)
    newsroom = Newsroom(client, namespace=namespace, instance=instance, hear=hear)
    view = SharedView(client, windows, newsroom, secrets=secrets_of(settings))
    try:
        async with background(view.keep_asking, newsroom.tell_others, newsroom.listen):
            with contextlib.suppress(TimeoutError):
                async with patience(connected=False):
                    await view.tried.wait()
                    if view.status(0.0).connected:
                        await newsroom.caught_up.wait()
            yield view
        await view.leave()
    finally:
        with contextlib.suppress(RedisError, OSError):
            await client.aclose()

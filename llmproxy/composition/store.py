"""Opens the store, and what is kept in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from llmproxy.batteries.settings import full
from llmproxy.config import GeneralSettings
from llmproxy.events import Listener, Listeners

if TYPE_CHECKING:
    from llmproxy.batteries.alerts import Alerts
    from llmproxy.batteries.budgets import Budgets
    from llmproxy.batteries.keys import Keys
    from llmproxy.batteries.store import Store


@asynccontextmanager
async def open_store(
    store: Store,
    settings: GeneralSettings,
    environ: Mapping[str, str],
    *,
    keys: Keys | None,
    budgets: Budgets | None,
    alerts: Alerts | None,
) -> AsyncIterator[Listener]:
    """Open the store of a process, its keys, budgets and alerts (None: not installed).

    Yields what listens to finished calls.
    """
    async with AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(store.open(settings, environ))]
        if keys is not None and store.database is not None:
            await stack.enter_async_context(keys.open(store.database))
        if budgets is not None:
            from llmproxy.batteries.budgets import open_budgets  # noqa: PLC0415 - may not be there

            await stack.enter_async_context(open_budgets(budgets, settings, store.database))
            listeners.append(budgets)
        if alerts is not None and full(settings).alerts:
            await stack.enter_async_context(alerts.open(settings))
            listeners.append(alerts)
        yield Listeners(*listeners)

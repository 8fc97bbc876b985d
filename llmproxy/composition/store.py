"""The store, and the batteries that are there only beside it: made together, opened together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from llmproxy.batteries.settings import full
from llmproxy.composition.packages import has
from llmproxy.config import GeneralSettings
from llmproxy.events import Listener, Listeners
from llmproxy.serving import StoreOpener

if TYPE_CHECKING:
    from llmproxy.batteries.alerts import Alerts
    from llmproxy.batteries.budgets import Budgets
    from llmproxy.batteries.keys import Keys
    from llmproxy.batteries.oidc import Oidc
    from llmproxy.batteries.store import Store


@dataclass(frozen=True)
class StoreParts:
    """The store of a process, its keys, budgets, alerts and issuers. None: not installed."""

    store: Store | None = None
    keys: Keys | None = None
    budgets: Budgets | None = None
    alerts: Alerts | None = None
    oidc: Oidc | None = None

    @property
    def opener(self) -> StoreOpener | None:
        """What opens all of it, and yields what listens to finished calls; None: no store."""
        return None if self.store is None else partial(self._open, self.store)

    @asynccontextmanager
    async def _open(
        self, store: Store, settings: GeneralSettings, environ: Mapping[str, str]
    ) -> AsyncIterator[Listener]:
        budgets, alerts = self.budgets, self.alerts
        async with AsyncExitStack() as stack:
            listeners = [await stack.enter_async_context(store.open(settings, environ))]
            if self.keys is not None and store.database is not None:
                await stack.enter_async_context(self.keys.open(store.database))
            if budgets is not None:
                from llmproxy.batteries.budgets import open_budgets  # noqa: PLC0415

                await stack.enter_async_context(open_budgets(budgets, settings, store.database))
                listeners.append(budgets)
            if alerts is not None and full(settings).alerts:
                await stack.enter_async_context(alerts.open(settings))
                listeners.append(alerts)
            if self.oidc is not None:
                await stack.enter_async_context(self.oidc.open())
            yield Listeners(*listeners)


def store_parts() -> StoreParts:
    """Return the installed parts: none without a store."""
    if not (has("store") and has("masking")):  # a server's errors may quote a password
        return StoreParts()
    from llmproxy.batteries.store import Store  # noqa: PLC0415

    store, budgets = Store(), _budgets()
    return StoreParts(store, _keys(), budgets, _alerts(store, budgets), _oidc())


# One function for each battery. It returns None if the package is not there, so it imports inside.


def _keys() -> Keys | None:
    if not (has("keys") and has("callers") and has("budgets")):  # a key may have a budget
        return None
    from llmproxy.batteries.keys import Keys  # noqa: PLC0415

    return Keys()


def _budgets() -> Budgets | None:
    if not (has("budgets") and has("shared_state")):
        return None
    from llmproxy.batteries.budgets import Budgets  # noqa: PLC0415

    return Budgets()


def _alerts(store: Store, budgets: Budgets | None) -> Alerts | None:
    if not has("alerts"):
        return None
    from llmproxy.batteries.alerts import Alerts  # noqa: PLC0415

    return Alerts(store, budgets)


def _oidc() -> Oidc | None:
    if not (has("oidc") and has("callers")):
        return None
    from llmproxy.batteries.oidc import Oidc  # noqa: PLC0415

    return Oidc()

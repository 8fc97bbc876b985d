"""What is open as long as a process serves: the store, the batteries that need it, and issuers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmproxy.batteries.settings import full
from llmproxy.composition.packages import needs
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
        """What opens all of it, and yields what listens to finished calls; None: nothing is
        installed."""
        return None if self.store is None and self.oidc is None else self._open

    @asynccontextmanager
    async def _open(
        self, settings: GeneralSettings, environ: Mapping[str, str]
    ) -> AsyncIterator[Listener]:
        async with AsyncExitStack() as stack:
            listeners = []
            if self.store is not None:
                listeners = await self._open_store(self.store, settings, environ, stack)
            if self.oidc is not None:
                await stack.enter_async_context(self.oidc.open())
            yield Listeners(*listeners)

    async def _open_store(
        self,
        store: Store,
        settings: GeneralSettings,
        environ: Mapping[str, str],
        stack: AsyncExitStack,
    ) -> list[Listener]:
        """Open the store, and what needs it; return what listens to finished calls."""
        budgets, alerts = self.budgets, self.alerts
        listeners: list[Listener] = [await stack.enter_async_context(store.open(settings, environ))]
        if self.keys is not None and store.database is not None:
            await stack.enter_async_context(self.keys.open(store.database))
        if budgets is not None:
            from llmproxy.batteries.budgets import open_budgets  # noqa: PLC0415

            await stack.enter_async_context(open_budgets(budgets, settings, store.database))
            listeners.append(budgets)
        if alerts is not None and full(settings).alerts:
            await stack.enter_async_context(alerts.open(settings))
            listeners.append(alerts)
        return listeners


def store_parts() -> StoreParts:
    """Return the installed parts."""
    oidc, store = _oidc(), _store()
    if store is None:
        return StoreParts(oidc=oidc)
    budgets = _budgets()
    return StoreParts(store, _keys(), budgets, _alerts(store, budgets), oidc)


# One function for each battery. It imports the battery itself: the package may not be there.


@needs("store", "masking")  # a server's errors may quote a password
def _store() -> Store:
    from llmproxy.batteries.store import Store  # noqa: PLC0415

    return Store()


@needs("keys", "callers", "budgets")  # a key may have a budget
def _keys() -> Keys:
    from llmproxy.batteries.keys import Keys  # noqa: PLC0415

    return Keys()


@needs("budgets", "shared_state")
def _budgets() -> Budgets:
    from llmproxy.batteries.budgets import Budgets  # noqa: PLC0415

    return Budgets()


@needs("alerts")
def _alerts(store: Store, budgets: Budgets | None) -> Alerts:
    from llmproxy.batteries.alerts import Alerts  # noqa: PLC0415

    return Alerts(store, budgets)


@needs("oidc", "callers")
def _oidc() -> Oidc:
    from llmproxy.batteries.oidc import Oidc  # noqa: PLC0415

    return Oidc()

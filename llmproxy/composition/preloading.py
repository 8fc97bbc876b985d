"""Imports of slow modules that a process does not need for its first call (decision 076).

Each is imported in the function that uses it, so everything works without this module. It imports
them when nobody waits for them: before workers are forked, or shortly after a process has started.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from llmproxy.batteries.background import background
from llmproxy.batteries.settings import full
from llmproxy.composition.packages import has
from llmproxy.config import GeneralSettings

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig

AFTER_S = 1.0  # SQLAlchemy, which a process with a PostgreSQL server needs, comes before
# Battery -> modules that are imported before workers are forked: FastAPI, redis-py.
BY_WORKERS = {
    "admin": ("app",),
    "shared_state": ("opening",),
    "budgets": ("sync",),
}
# The same if the store is a server. With a file, only what operators ask needs SQLAlchemy.
WITH_SERVER = {"store": ("engines", "tables")}
# Battery -> modules that a call would wait for: the first that is translated, or uses a WebSocket.
BY_CALLS = {
    "translation": ("one_call",),
    "websockets": ("offer", "opening"),
}


def import_slow_modules(settings: GeneralSettings, environ: Mapping[str, str]) -> None:
    """Import the slow modules of the installed batteries: workers that are forked share them."""
    _import_all({**BY_WORKERS, **BY_CALLS})
    if has("store"):
        from llmproxy.batteries.store import address_of  # noqa: PLC0415 - may not be there

        url = full(settings).database_url
        address = address_of(None if url is None else url.get_secret_value(), environ)
        if address is not None and address.server is not None:
            _import_all(WITH_SERVER)


@asynccontextmanager
async def imports_for_calls(_live: LiveConfig) -> AsyncIterator[None]:
    """Import in a thread, soon, what a later call would have to wait for."""

    async def import_soon() -> None:
        await asyncio.sleep(AFTER_S)
        await asyncio.to_thread(_import_all, BY_CALLS)
        await asyncio.Event().wait()  # a background task ends only when it is cancelled

    async with background(import_soon):
        yield


def _import_all(modules: Mapping[str, tuple[str, ...]]) -> None:
    for battery, names in modules.items():
        for name in names if has(battery) else ():
            import_module(f"llmproxy.batteries.{battery}.{name}")

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
from llmproxy.composition.packages import has

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig

AFTER_S = 1.0  # SQLAlchemy, which a process with a store needs, comes before
# Battery -> modules that its own thread imports: FastAPI, redis-py, SQLAlchemy.
BY_THREADS = {
    "admin": ("app",),
    "shared_state": ("opening",),
    "budgets": ("sync",),
    "store": ("connections", "schema"),
}
# Battery -> modules that a call would wait for: the first that is translated, or uses a WebSocket.
BY_CALLS = {
    "translation": ("one_call",),
    "websockets": ("offer", "opening"),
}


def import_slow_modules() -> None:
    """Import the slow modules of the installed batteries: workers that are forked share them."""
    _import_all({**BY_THREADS, **BY_CALLS})


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

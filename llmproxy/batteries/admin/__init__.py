"""The admin battery: the operator's API, `/metrics` and the dashboard.

Other packages use it through `open_admin`, and print START_TOKEN.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from llmproxy.batteries.admin.audit import AuditTrail
from llmproxy.batteries.admin.made_late import made_late
from llmproxy.batteries.admin.probes import Probes
from llmproxy.batteries.admin.process_family import START_TOKEN
from llmproxy.batteries.admin.sources import Sources
from llmproxy.batteries.admin.stats.collector import SLOTS, StatsCollector, WorkerSlot
from llmproxy.batteries.admin.stats.sampler import Sampler
from llmproxy.batteries.background import background

if TYPE_CHECKING:
    from llmproxy.batteries.telemetry import Recorders
    from llmproxy.protocols import ASGIApp
    from llmproxy.runtime import LiveConfig

__all__ = ["SLOTS", "START_TOKEN", "Sources", "WorkerSlot", "open_admin"]


@asynccontextmanager
async def open_admin(
    live: LiveConfig,
    recorders: Recorders,
    *,
    slot: WorkerSlot | None = None,
    sources: Sources,
    make: Callable[..., ASGIApp] | None = None,
) -> AsyncIterator[ASGIApp]:
    """Sample statistics in the background, and yield the admin application.

    `slot`: where this worker publishes its statistics; None = there is only one process. `sources`:
    what it reads and changes. `make`: makes the application at once, instead of `make_admin` at its
    first request.
    """
    store, reloader = sources.store, sources.reloader
    if store is not None:
        recorders.recorder.losses["store"] = lambda: store.lost
    sampler = Sampler(live, StatsCollector(live, recorders.recorder, slot, store, sources.front))
    trail = AuditTrail(store)
    if reloader is not None:
        trail.note_reloads(reloader)
    sources = replace(sources, audit=trail)
    async with background(sampler.run), trail.written():
        if make is not None:
            yield Probes(live, make(live, sampler, sources))
            return
        async with made_late(partial(_make, live, sampler, sources)) as application:
            yield Probes(live, application)


def _make(live: LiveConfig, sampler: Sampler, sources: Sources) -> ASGIApp:
    from llmproxy.batteries.admin.app import make_admin  # noqa: PLC0415 - FastAPI is slow to import

    return make_admin(live, sampler, sources)

"""The admin battery: the operator's API, `/metrics` and the dashboard.

The door of this battery is `open_admin`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from llmproxy.admin.stats.collector import SLOTS, StatsCollector, WorkerSlot
from llmproxy.admin.stats.sampler import Sampler
from llmproxy.aio.tasks import background

if TYPE_CHECKING:
    from fastapi import FastAPI

    from llmproxy.runtime import LiveConfig
    from llmproxy.telemetry.call_file import CallFile
    from llmproxy.telemetry.recorder import MetricsRecorder

__all__ = ["SLOTS", "WorkerSlot", "open_admin"]


class Telemetry(Protocol):
    """What the admin API reads. `call_file` is None if earlier calls are not kept in a file."""

    @property
    def recorder(self) -> MetricsRecorder: ...

    @property
    def call_file(self) -> CallFile | None: ...


@asynccontextmanager
async def open_admin(
    live: LiveConfig, telemetry: Telemetry, *, slot: WorkerSlot | None = None
) -> AsyncIterator[FastAPI]:
    """Sample statistics in the background, and yield the admin application.

    `slot`: where this worker publishes its statistics; None = there is only one process.
    """
    from llmproxy.admin.app import make_admin  # noqa: PLC0415 - FastAPI is slow to import

    sampler = Sampler(live, StatsCollector(live, telemetry.recorder, slot))
    async with background(sampler.run):
        yield make_admin(live, sampler, telemetry.call_file)

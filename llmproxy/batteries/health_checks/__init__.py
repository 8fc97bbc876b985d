"""Health checks: ask endpoints that failed and get no calls whether they are back.

Other packages call `open_health_checks`; `llmproxy doctor` asks one endpoint by `look_at`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from llmproxy.batteries.background import background
from llmproxy.batteries.health_checks.checker import HealthChecks, Pace
from llmproxy.batteries.health_checks.request import look_at

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig

__all__ = ["Pace", "look_at", "open_health_checks"]


@asynccontextmanager
async def open_health_checks(live: LiveConfig, pace: Pace | None = None) -> AsyncIterator[None]:
    """Check endpoints in the background until the block ends."""
    async with background(HealthChecks(live, pace or Pace()).run):
        yield

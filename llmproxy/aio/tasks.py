"""The supervisor of background tasks: one that fails by a mistake of ours is told and begun again.

What may be expected of a server (it is gone, it is slow, it refuses) the tasks handle themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

logger = logging.getLogger("llmproxy")

PAUSE_S = 1.0


@asynccontextmanager
async def background(*jobs: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run the jobs, which end only when they are cancelled, until the block ends."""
    tasks = {asyncio.create_task(_again_and_again(job)) for job in jobs}
    try:
        yield
    finally:
        while tasks:  # until they have heard it: a library in between may swallow a cancellation
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=PAUSE_S)


async def _again_and_again(job: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await job()
        except Exception:  # the supervisor: whatever it is, calls go on
            logger.exception("A background task failed; it begins again.")
        await asyncio.sleep(PAUSE_S)

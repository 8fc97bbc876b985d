"""The supervisor of the batteries' background tasks: it logs a bug that ends one, and restarts it.

Tasks themselves handle expected failures: a server that is down, slow or refuses.
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
    tasks = {asyncio.create_task(_run_forever(job)) for job in jobs}
    try:
        yield
    finally:
        while tasks:  # again if needed: a library in between may swallow a cancellation
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=PAUSE_S)


async def _run_forever(job: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await job()
        except Exception:  # calls go on without it
            logger.exception("A background task failed; it restarts in %g s.", PAUSE_S)
        await asyncio.sleep(PAUSE_S)

"""The admin application, made while calls are served already.

FastAPI takes a quarter of a second to import and to set up. The first call must not wait for that,
so a thread does it, shortly after the start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmproxy.protocols import ASGIApp, Receive, Scope, Send

AFTER_S = 0.1  # a call that came with the start is through by then
logger = logging.getLogger("llmproxy")


@asynccontextmanager
async def made_late(
    make: Callable[[], ASGIApp], *, after_s: float = AFTER_S
) -> AsyncIterator[ASGIApp]:
    """Yield an application whose requests wait until a thread has made it with `make`.

    If that raises, it is logged, and every request raises the same.
    """

    async def made() -> ASGIApp:
        await asyncio.sleep(after_s)
        try:
            return await asyncio.to_thread(make)
        except Exception:
            logger.exception("The admin application cannot be made. Calls are served without it.")
            raise

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        serve = await asyncio.shield(making)
        await serve(scope, receive, send)

    making = asyncio.create_task(made())
    try:
        yield application
    finally:
        making.cancel()
        await asyncio.wait({making})
        if not making.cancelled():
            making.exception()  # it was logged

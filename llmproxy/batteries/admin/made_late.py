"""The admin application, made when somebody asks for it.

FastAPI takes a quarter of a second to import and to set up, and 14 MB. A process that no operator
asks needs neither, so a thread makes the application when its first request comes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmproxy.protocols import ASGIApp, Receive, Scope, Send

logger = logging.getLogger("llmproxy")


@asynccontextmanager
async def made_late(make: Callable[[], ASGIApp]) -> AsyncIterator[ASGIApp]:
    """Yield an application whose first request has a thread make it with `make`. All wait for that.

    If it raises, it is logged, and every request raises the same.
    """
    making: asyncio.Task[ASGIApp] | None = None

    async def made() -> ASGIApp:
        try:
            application = await asyncio.to_thread(make)
        except Exception:
            logger.exception("The admin application cannot be made. Calls are served without it.")
            raise
        if gc.get_freeze_count():  # as what a start makes: the collector need not visit it
            gc.freeze()
        return application

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal making
        if making is None:
            making = asyncio.create_task(made())
        serve = await asyncio.shield(making)
        await serve(scope, receive, send)

    try:
        yield application
    finally:
        if making is not None:
            making.cancel()
            await asyncio.wait({making})
            if not making.cancelled():
                making.exception()  # it was logged

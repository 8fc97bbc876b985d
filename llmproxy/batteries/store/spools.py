"""The spools of a process: its own, and those that writers which are gone have left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from llmproxy.batteries.store.row_queue import MAX_ROWS
from llmproxy.batteries.store.spool import SUFFIX, Batch, Spool, SpoolFull, abandoned

T = TypeVar("T")
logger = logging.getLogger("llmproxy")


class Spools:
    """Reads and writes spools in one thread, so that no disk stops the event loop.

    `folder`: None = there is none, and nothing is kept. `own_name`: of the writer, and so of its
    spool. Adopted spools come first: they are older.
    """

    def __init__(self, folder: Path | None, own_name: str) -> None:
        self.folder = folder
        self._own_name = own_name
        self._own = None if folder is None else Spool(folder / f"{own_name}{SUFFIX}")
        self._adopted: list[Spool] = []
        self._is_full = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmproxy-spool")

    @property
    def waiting(self) -> int:
        """How many calls wait in them."""
        own = 0 if self._own is None else self._own.waiting
        return own + sum(spool.waiting for spool in self._adopted)

    def oldest(self) -> Spool | None:
        """Return the spool to write to the database from; None = nothing waits in any."""
        if self._adopted:
            return self._adopted[0]
        return self._own if self._own is not None and self._own.waiting else None

    async def adopt(self) -> None:
        """Take over the spools of writers that are gone."""
        if self.folder is not None:
            find = partial(abandoned, self.folder, but=self._own_name)
            self._adopted += await self.in_thread(find)

    async def append(self, batch: Batch) -> bool:
        """Keep a batch on the disk; return whether that succeeded. It is told once if not."""
        if self._own is None:
            return False
        try:
            await self.in_thread(partial(self._own.append, batch))
        except SpoolFull as error:
            if not self._is_full:
                logger.error(
                    "The store's spool takes no more calls: %s. They wait in memory, and beyond "
                    "%d calls they are lost. Bring the database back, or free space on that disk.",
                    error,
                    MAX_ROWS,
                )
            self._is_full = True
            return False
        self._is_full = False
        return True

    async def close_empty(self, spool: Spool) -> None:
        """Close an adopted spool in which nothing waits any more. The own one stays open."""
        if spool in self._adopted:
            self._adopted.remove(spool)
            await self.in_thread(spool.close)

    async def close(self) -> None:
        """Close them; what waits in them is taken over by the next process."""
        for spool in [*self._adopted, *([] if self._own is None else [self._own])]:
            await self.in_thread(spool.close)
        self._thread.shutdown(wait=False)

    async def in_thread(self, job: Callable[[], T]) -> T:
        """Do something with a spool that blocks, after all that was begun before."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

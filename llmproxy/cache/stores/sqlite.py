"""Answers kept on the disk of one machine, for longer than a process lives.

One thread does it all, so that a disk that is slow delays no call. Several processes may share the
file, but not several machines: SQLite's locks and shared memory do not work over a network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import time
from typing import TypeVar

from llmproxy.cache.stores.answer_file import AnswerFile
from llmproxy.cache.stores.base import StoreError, StoreTotals

OPEN_S = 10.0
MAX_PENDING = 16  # jobs that wait for the thread: a disk that hangs must not fill our memory

T = TypeVar("T")


class SqliteStore:
    """Opens or makes the file at once, which takes some milliseconds. `max_bytes`: of the file
    itself; some MB beside it are SQLite's journal. `keep_s`: an older answer is not given.

    Raises StoreError, with the remedy, if there can be no such file. What is in its place and
    cannot be used is renamed. `clock`: Unix seconds.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        max_bytes: int,
        keep_s: float,
        clock: Callable[[], float] = time,
    ) -> None:
        self._file = AnswerFile(Path(path), max_bytes=max_bytes, keep_s=keep_s, clock=clock)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmproxy-answers")
        self._pending = 0
        self._closed = False
        opening = self._thread.submit(self._file.open)
        try:
            opening.result(OPEN_S)
        except TimeoutError as error:
            raise StoreError(
                f"The file {path} for answers could not be opened within {OPEN_S} s. "
                "Look at its disk, or name a file on another."
            ) from error
        finally:
            if not opening.done() or opening.exception():
                self._thread.shutdown(wait=False)

    async def read(self, wanted: list[tuple[str, bytes]]) -> list[bytes | None]:
        """One visit to the thread for all."""
        values = await self._done(self._file.read, wanted)
        if self._file.has_much_to_note and self._pending < MAX_PENDING and not self._closed:
            self._thread.submit(self._file.note_uses)  # if that fails, so will a read or a write
        return values

    async def write(self, values: list[tuple[str, bytes, bytes]]) -> None:
        """One transaction. An answer bigger than an eighth of the file is not kept."""
        await self._done(self._file.write, values)

    async def purge(self, group: str | None, stored_before: float | None) -> int:
        """In small steps, so that reads go on; then the room is given back to the disk."""
        last = await self._done(self._file.last)
        forgotten = 0
        while some := await self._done(self._file.forget_some, group, stored_before, last):
            forgotten += some
        while await self._done(self._file.shrink_some):
            pass
        return forgotten

    async def totals(self) -> StoreTotals:
        """`bytes`: what of the file is in use."""
        return await self._done(self._file.totals)

    async def close(self) -> None:
        """Close the file, when all that was asked for is done."""
        if self._closed:
            return
        self._closed = True
        closing = asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)  # after that: it takes nothing more
        await asyncio.shield(closing)

    async def _done(self, job: Callable[..., T], *args: object) -> T:
        """What the job returns. It is done even if nobody waits for it any longer."""
        if self._closed or self._pending >= MAX_PENDING:
            why = "is closed" if self._closed else "has been busy for too long"
            raise StoreError(f"The file of answers {why}.")
        self._pending += 1
        doing = asyncio.get_running_loop().run_in_executor(self._thread, job, *args)
        doing.add_done_callback(self._is_done)
        return await asyncio.shield(doing)

    def _is_done(self, _: asyncio.Future[T]) -> None:
        self._pending -= 1

"""Writing in batches from a thread, so that a slow or missing reader delays no call.

One batch is written at a time. What arrives meanwhile waits with its owner, who must bound it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class BatchWriter(Generic[T]):
    """Owns the thread.

    `take` is called in the event loop and returns what has been collected; `write` gets it in the
    thread, and may block.
    """

    def __init__(
        self, take: Callable[[], T], write: Callable[[T], None], *, every_s: float, name: str
    ) -> None:
        self._take = take
        self._write = write
        self._every_s = every_s
        self._timer: asyncio.TimerHandle | None = None
        self._writing = self._closed = False
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    def schedule(self) -> None:
        """Write what is collected within `every_s`, or as soon as the thread is free."""
        if self._closed:  # a call that a second Ctrl+C ended, after everything else
            self._write(self._take())
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._flush)

    def close(self) -> None:
        """Write what is left. Blocks."""
        if self._timer is not None:
            self._timer.cancel()
        self._closed = True
        self.thread.submit(self._write_batch, self._take())
        self.thread.shutdown(wait=True)

    def _flush(self) -> None:
        if self._writing:  # the last batch is stuck: wait for it
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._every_s, self._flush)
            return
        self._timer = None
        self._writing = True
        self.thread.submit(self._write_batch, self._take())

    def _write_batch(self, batch: T) -> None:
        """Runs in the thread."""
        try:
            self._write(batch)
        finally:
            self._writing = False

"""Runtimes of earlier configs, which still have calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from llmproxy.runtime import LiveConfig, Runtime

# How often to check whether the last call of an earlier runtime has ended.
POLL_S = 0.1


class RetiredRuntimes:
    """Runtimes of earlier configs. Each is closed when its last call has ended."""

    def __init__(self) -> None:
        self._closers: dict[Runtime, asyncio.Task[None]] = {}
        self._closing = False

    def __len__(self) -> int:
        return len(self._closers)

    def add(self, runtime: Runtime, live: LiveConfig) -> None:
        """Close a runtime after its last call. `live`: what is served instead."""
        closing = self._close_after_last_call(runtime, live)
        self._closers[runtime] = asyncio.create_task(closing)

    async def close(self) -> None:
        """Close all of them now. No call may be under way."""
        self._closing = True
        await asyncio.gather(*self._closers.values())

    async def _close_after_last_call(self, runtime: Runtime, live: LiveConfig) -> None:
        await self._until(lambda: not runtime.calls)
        if runtime.cache is not None:
            renewals = runtime.cache.in_background
            await self._until(lambda: all(task.done() for task in renewals))
        try:
            await runtime.resources.close()
        finally:
            del self._closers[runtime]
        current = live.runtime
        if current.peers is not None:
            in_use = (current, *self._closers)
            keys = {capacity.key for other in in_use for capacity in other.capacities()}
            current.peers.keep_only(keys)

    async def _until(self, is_over: Callable[[], bool]) -> None:
        """Poll, so that calls need not report their end. `timeouts.total_s` bounds the wait."""
        while not (is_over() or self._closing):  # noqa: ASYNC110 - see above
            await asyncio.sleep(POLL_S)

"""The config that is being served. A battery may replace it while calls go on.

A call keeps the Runtime that it began with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from llmproxy.config import Config
from llmproxy.protocols import Listener
from llmproxy.runtime.pool import States
from llmproxy.runtime.process_state import ProcessState, RuntimeBatteries
from llmproxy.runtime.resources import Resources, open_resources
from llmproxy.runtime.runtime import Runtime, activate


class LiveConfig:
    """Made by `open_live_config`. Owns the Runtime that new calls begin with.

    `draining`: the process is shutting down. `on_change` is called after another config was taken
    over.
    """

    def __init__(self, resources: Resources, process: ProcessState) -> None:
        self.process = process
        self.runtime = activate(resources, process)
        self.draining = False
        self.on_change: list[Callable[[], None]] = []

    def take_over(self, resources: Resources, states: States) -> Runtime:
        """Serve another config to the calls that begin from now on. Return the runtime of the one
        before, whose resources the caller closes after its last call."""
        # Nothing is awaited: no call sees one half.
        earlier, self.runtime = self.runtime, activate(resources, self.process, states)
        for callback in self.on_change:
            callback()
        return earlier


@asynccontextmanager
async def open_live_config(
    config: Config, *, environ: Mapping[str, str], listener: Listener, batteries: RuntimeBatteries
) -> AsyncIterator[LiveConfig]:
    """Serve a config, and at the end close everything. Raises ConfigError."""
    process = ProcessState(environ=environ, listener=listener, batteries=batteries)
    live = LiveConfig(await open_resources(config, process), process)
    try:
        yield live
    finally:
        await live.runtime.resources.close()

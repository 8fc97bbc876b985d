"""Hot reload: the config that is being served, and the change to another one while calls go on.

A call keeps the Runtime that it began with. A new config is taken over whole or not at all: one
that is wrong changes nothing but the load status.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic, time

import msgspec

from llmproxy.config import Config, differences, kept_until_restart
from llmproxy.errors import ConfigError
from llmproxy.protocols import Listener
from llmproxy.runtime.config_file import ConfigFile
from llmproxy.runtime.pool import reset_endpoints
from llmproxy.runtime.process_state import ProcessState, RuntimeBatteries
from llmproxy.runtime.resources import open_resources
from llmproxy.runtime.runtime import Runtime, activate

# How often to check whether the last call of an earlier runtime has ended.
POLL_S = 0.1
# A SIGHUP this soon after the file was read asks for nothing new.
JUST_READ_S = 1.0

logger = logging.getLogger("llmproxy")


class NoFile(Exception):
    """The config does not come from a file, so there is nothing to read again."""


class LoadStatus(msgspec.Struct):
    """How often the config was changed, and whether the file is served as it is.

    Moments are Unix seconds. `reloads`: how many configs were taken over since the start;
    `failed_reloads`: how many were refused. `error`: why the file as it is now is not served.
    """

    loaded_at: float
    reloads: int = 0
    failed_reloads: int = 0
    error: str | None = None
    error_at: float | None = None


class RetiredRuntimes:
    """Runtimes of earlier configs. Each is closed when its last call has ended."""

    def __init__(self, current: Callable[[], Runtime]) -> None:
        self._current = current
        self._closers: dict[Runtime, asyncio.Task[None]] = {}
        self._closing = False

    def __len__(self) -> int:
        return len(self._closers)

    def add(self, runtime: Runtime) -> None:
        """Close a runtime after its last call."""
        self._closers[runtime] = asyncio.create_task(self._close_after_last_call(runtime))

    async def close(self) -> None:
        """Close all of them now. No call may be under way."""
        self._closing = True
        await asyncio.gather(*self._closers.values())

    async def _close_after_last_call(self, runtime: Runtime) -> None:
        await self._until(lambda: not runtime.calls)
        if runtime.cache is not None:
            renewals = runtime.cache.in_background
            await self._until(lambda: all(task.done() for task in renewals))
        try:
            await runtime.resources.close()
        finally:
            del self._closers[runtime]
        current = self._current()
        if current.peers is not None:
            in_use = (current, *self._closers)
            keys = {capacity.key for other in in_use for capacity in other.capacities()}
            current.peers.keep_only(keys)

    async def _until(self, is_over: Callable[[], bool]) -> None:
        """Poll, so that calls need not report their end. `timeouts.total_s` bounds the wait."""
        while not (is_over() or self._closing):  # noqa: ASYNC110 - see above
            await asyncio.sleep(POLL_S)


class LiveConfig:
    """Made by `open_live_config`. Owns the Runtime that new calls begin with.

    `draining`: the process is shutting down. `on_reload` is called after a config was taken over or
    refused. `tell_others`: makes the other workers of this file read it, too.
    """

    def __init__(
        self,
        runtime: Runtime,
        process: ProcessState,
        file: ConfigFile | None,
        wall: Callable[[], float],
    ) -> None:
        self.runtime = runtime
        self.draining = False
        self.file = file
        self.loaded = LoadStatus(wall())
        self.on_reload: list[Callable[[], None]] = []
        self.tell_others: Callable[[], None] = _no_other_workers
        self._wall = wall
        self._process = process
        self._one_at_a_time = asyncio.Lock()
        self._retired = RetiredRuntimes(lambda: self.runtime)

    @property
    def retired(self) -> int:
        """How many runtimes of earlier configs still have calls under way."""
        return len(self._retired)

    async def reload(self) -> list[str]:
        """Read the file and serve what it says; return what has changed, in words.

        Raises NoFile, and ConfigError with all problems; then everything stays as it was.
        """
        return await self._reload(lambda _file, _seen: True)

    async def reload_if_changed(self) -> None:
        """Reload if the file differs from what was last read. Raises nothing."""
        with suppress(ConfigError, NoFile):  # it has been logged
            await self._reload(lambda file, seen: seen != file.seen)

    async def reload_unless_just_done(self) -> None:
        """Reload unless the same text was read a moment ago. Raises nothing."""
        with suppress(ConfigError, NoFile):  # it has been logged
            await self._reload(
                lambda file, seen: seen != file.seen or monotonic() - file.seen_at > JUST_READ_S
            )

    async def close(self) -> None:
        """Close everything that is open. No call may be under way."""
        async with self._one_at_a_time:
            await self._retired.close()
            await self.runtime.resources.close()

    async def _reload(self, is_wanted: Callable[[ConfigFile, str], bool]) -> list[str]:
        file = self.file
        if file is None:
            raise NoFile
        async with self._one_at_a_time:
            seen, problem = await asyncio.to_thread(file.look)
            if not is_wanted(file, seen):
                return []
            file.note(seen)
            try:
                if problem is not None:
                    raise problem
                # In a thread: parsing a long file takes a while, and calls go on.
                changes = await self._replace(await asyncio.to_thread(file.parsed, seen))
                file.served = seen
            except ConfigError as error:
                self._note_refusal(str(error))
                raise
            finally:
                for callback in self.on_reload:
                    callback()
        return changes

    async def _replace(self, wanted: Config) -> list[str]:
        """Serve a config as far as that is possible without a restart; return what is new."""
        config, changes = kept_until_restart(self.runtime.config, wanted)
        if config != self.runtime.config:
            resources = await open_resources(config, self._process)
            reset = reset_endpoints(self._process.pool, resources.endpoints)
            changes = [*differences(self.runtime.config, config), *reset, *changes]
            # From here to the end nothing is awaited: no call sees one half.
            earlier, self.runtime = self.runtime, activate(resources, self._process)
            self._retired.add(earlier)
            self.loaded.loaded_at = self._wall()
            self.loaded.reloads += 1
        self.loaded.error = self.loaded.error_at = None
        logger.warning("Config reloaded: %s.", "; ".join(changes) or "no changes")
        return changes

    def _note_refusal(self, why: str) -> None:
        logger.error("Config not reloaded, the one before is still being served:\n%s", why)
        self.loaded.failed_reloads += 1
        self.loaded.error, self.loaded.error_at = why, self._wall()


@asynccontextmanager
async def open_live_config(
    config: Config,
    *,
    environ: Mapping[str, str],
    listener: Listener,
    file: ConfigFile | None = None,
    batteries: RuntimeBatteries,
    wall: Callable[[], float] = time,
) -> AsyncIterator[LiveConfig]:
    """Serve a config, and at the end close everything. Raises ConfigError.

    `file`: where the config comes from, and the next ones will; None = it cannot be reloaded.
    """
    settings = config.general_settings
    process = ProcessState(settings, environ=environ, listener=listener, batteries=batteries)
    runtime = activate(await open_resources(config, process), process)
    live = LiveConfig(runtime, process, file, wall)
    try:
        yield live
    finally:
        await live.close()


def _no_other_workers() -> None:
    """This process is the only one."""

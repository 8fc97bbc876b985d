"""The config that is served, and the next one: taken up whole while calls go on, or not at all.

A call keeps the Runtime that it began with; what that one has open is closed when its last call is
over, unless the next one uses it. A config that is wrong changes nothing but what is told of it.
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
from llmproxy.events import Listener
from llmproxy.runtime.config_file import ConfigFile
from llmproxy.runtime.pool import reset_endpoints
from llmproxy.runtime.process_state import ProcessState
from llmproxy.runtime.resources import opened
from llmproxy.runtime.runtime import Runtime

# How often it is looked whether the last call of an earlier config is over.
LOOK_S = 0.1
# What the file said so recently need not be tried once more by whoever is only told of it.
JUST_S = 1.0

logger = logging.getLogger("llmproxy")


class NoFile(Exception):
    """The config comes from no file, so there is nothing to read again."""


class LoadStatus(msgspec.Struct):
    """How the config came to be what it is. Moments are Unix seconds.

    `reloads`: how often another one was taken up; `failed_reloads`: how often one was refused.
    `error`: why the file as it is now is not served; None: it is.
    """

    loaded_at: float
    reloads: int = 0
    failed_reloads: int = 0
    error: str | None = None
    error_at: float | None = None


class LiveConfig:
    """Made by `open_live_config` only. Holds the Runtime that new calls begin with.

    `draining`: the process is going down and wants no more traffic. `on_reload` are called when a
    config was taken up or refused. `tell_others`: other processes that serve the same file should
    read it, too. `text`: of the file as it is served; `seen`: of the file when it was last read, or
    why it could not be.
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
        self.tell_others: Callable[[], None] = _nobody_to_tell
        self.seen = self.text = file.seen if file is not None else ""
        self._seen_at = 0.0
        self._wall = wall
        self._process = process
        self._one_at_a_time = asyncio.Lock()
        self._earlier: dict[Runtime, asyncio.Task[None]] = {}
        self._closing = False

    async def reload(self) -> list[str]:
        """Take up what the file says now; returns what has changed, in words.

        Raises NoFile, and ConfigError with all problems; then everything stays as it was.
        """
        return await self._reload(lambda _seen: True)

    async def reload_if_changed(self) -> None:
        """The same if the file says something else than when it was last read. Raises nothing."""
        with suppress(ConfigError, NoFile):  # it has been told
            await self._reload(lambda seen: seen != self.seen)

    async def reload_unless_just_done(self) -> None:
        """The same unless the file said so a moment ago. Raises nothing."""
        with suppress(ConfigError, NoFile):  # it has been told
            await self._reload(
                lambda seen: seen != self.seen or monotonic() - self._seen_at > JUST_S
            )

    async def close(self) -> None:
        """Close what any config has open. No call may be under way."""
        async with self._one_at_a_time:
            self._closing = True
            await asyncio.gather(*self._earlier.values())
            await self.runtime.close()

    async def _reload(self, is_wanted: Callable[[str], bool]) -> list[str]:
        if self.file is None:
            raise NoFile
        async with self._one_at_a_time:
            text, problem = await asyncio.to_thread(_read, self.file)
            seen = text if problem is None else str(problem)
            if not is_wanted(seen):
                return []
            self.seen, self._seen_at = seen, monotonic()
            try:
                if problem is not None:
                    raise problem
                # In a thread: a long file takes a while, and calls go on.
                changes = await self._become(await asyncio.to_thread(self.file.parsed, text))
                self.text = text
            except ConfigError as error:
                self._note_refusal(str(error))
                raise
            finally:
                for callback in self.on_reload:
                    callback()
        return changes

    async def _become(self, wanted: Config) -> list[str]:
        """Serve a config as far as that is possible without a restart; returns what is new."""
        config, changes = kept_until_restart(self.runtime.config, wanted)
        if config != self.runtime.config:
            made = await opened(config, self._process)
            anew = reset_endpoints(self._process.pool, made.endpoints)
            changes = [*differences(self.runtime.config, config), *anew, *changes]
            # From here to the end nothing is awaited: no call sees one half.
            earlier, self.runtime = self.runtime, Runtime(made, self._process)
            self._earlier[earlier] = asyncio.create_task(self._close_after_last_call(earlier))
            self.loaded.loaded_at = self._wall()
            self.loaded.reloads += 1
        self.loaded.error = self.loaded.error_at = None
        logger.warning("The config was read again: %s.", "; ".join(changes) or "nothing is new")
        return changes

    def _note_refusal(self, why: str) -> None:
        logger.error("The config cannot be used, the one before is still served:\n%s", why)
        self.loaded.failed_reloads += 1
        self.loaded.error, self.loaded.error_at = why, self._wall()

    async def _close_after_last_call(self, earlier: Runtime) -> None:
        await self._until(lambda: not earlier.calls)
        renewals = earlier.cache.in_background
        await self._until(lambda: all(task.done() for task in renewals))
        try:
            await earlier.close()
        finally:
            del self._earlier[earlier]
        if self.runtime.shared is not None:
            living = (self.runtime, *self._earlier)
            keys = {capacity.key for each in living for capacity in each.capacities}
            self.runtime.shared.keep_only(keys)

    async def _until(self, is_over: Callable[[], bool]) -> None:
        """Looked at now and then, so that no call does anything for it. Calls end by themselves:
        `timeouts.total_s`."""
        while not (is_over() or self._closing):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def open_live_config(
    config: Config,
    *,
    environ: Mapping[str, str],
    listener: Listener,
    file: ConfigFile | None = None,
    wall: Callable[[], float] = time,
) -> AsyncIterator[LiveConfig]:
    """Serves calls until the block ends; then everything is closed. `file`: where the config came
    from, and the next ones will. Raises ConfigError."""
    process = ProcessState(config.general_settings, environ=environ, listener=listener)
    live = LiveConfig(Runtime(await opened(config, process), process), process, file, wall)
    try:
        yield live
    finally:
        await live.close()


def _read(file: ConfigFile) -> tuple[str, ConfigError | None]:
    """What the file says, or why it cannot be read."""
    try:
        return file.text(), None
    except ConfigError as error:
        return "", error


def _nobody_to_tell() -> None:
    """There is one process."""

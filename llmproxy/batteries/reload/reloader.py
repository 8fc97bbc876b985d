"""Reads the config again, and serves it while calls go on.

A new config is served whole or not at all: a wrong one changes only the load status.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from time import monotonic, time
from typing import Protocol

import msgspec

from llmproxy.batteries.reload.carried_over import CarriedOver, reset_endpoints
from llmproxy.batteries.reload.changes import differences, kept_until_restart
from llmproxy.batteries.reload.retired import RetiredRuntimes
from llmproxy.batteries.reload.shared_resources import SharedResources
from llmproxy.batteries.settings import full
from llmproxy.config import Config
from llmproxy.errors import ConfigError
from llmproxy.runtime import LiveConfig, open_resources

# A SIGHUP this soon after the file was read is ignored, unless the text has changed.
JUST_READ_S = 1.0

logger = logging.getLogger("llmproxy")


class ConfigSource(Protocol):
    """The file that configs are read from.

    `served`: the text of the config that is being served. `seen`: what was read last, or why it
    could not be read; `seen_at`: when that was, of `time.monotonic`.
    """

    path: Path
    served: str
    seen: str
    seen_at: float

    def look(self) -> tuple[str, ConfigError | None]:
        """Return the text of the file, or why it cannot be read."""

    def note(self, seen: str) -> None:
        """Remember what `look` returned, and when."""

    def parsed(self, text: str) -> Config:
        """Parse and check a text of the file. Raises ConfigError with every problem."""


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


class LastReload(msgspec.Struct, frozen=True):
    """What the last reload did. `cause`: `request`, `file` (it changed) or `SIGHUP`.

    `error`: why the file was refused; None = it is served, with these changes.
    """

    cause: str
    changes: list[str]
    error: str | None = None


def _no_other_workers() -> None:
    """Do nothing: this process is the only one."""


class Reloader:
    """Serves the configs of a file, one after the other.

    `triggers`: opens what calls it; closed when `serve` ends. `on_reload`: called after a config
    was taken over or refused. `on_hangup`: awaited after a SIGHUP. `tell_others`: makes the other
    workers read the file, too. `shared`: the open resources that configs share.
    """

    def __init__(
        self,
        file: ConfigSource,
        triggers: Callable[[Reloader], AbstractAsyncContextManager[None]],
        *,
        tell_others: Callable[[], None] = _no_other_workers,
        wall: Callable[[], float] = time,
    ) -> None:
        self.file = file
        self.tell_others = tell_others
        self.loaded = LoadStatus(wall())
        self.last: LastReload | None = None
        self.on_reload: list[Callable[[], None]] = []
        self.on_hangup: list[Callable[[], Awaitable[None]]] = []
        self.shared = SharedResources()
        self._triggers = triggers
        self._wall = wall
        self._live: LiveConfig
        self._retired = RetiredRuntimes()
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def serve(self, live: LiveConfig) -> AsyncIterator[None]:
        """Replace a live config at each reload, until the block ends.

        No call may be under way when it ends.
        """
        self._live = live
        try:
            async with self._triggers(self):
                yield
        finally:
            async with self._one_at_a_time:
                await self._retired.close()

    @property
    def reload_on_change(self) -> bool:
        """Whether the file is to be watched."""
        return full(self._live.runtime.config.general_settings).reload_on_change

    @property
    def retired(self) -> int:
        """How many runtimes of earlier configs still have calls under way."""
        return len(self._retired)

    async def reload(self) -> list[str]:
        """Read the file and serve what it says; return what has changed, in words.

        Raises ConfigError with all problems; then everything stays as it was.
        """
        return await self._reload(lambda _seen: True, "request")

    async def reload_if_changed(self) -> None:
        """Reload if the file differs from what was last read. Raises nothing."""
        with suppress(ConfigError):  # it has been logged
            await self._reload(lambda seen: seen != self.file.seen, "file")

    async def reload_unless_just_done(self) -> None:
        """Reload unless the same text was read a moment ago. Raises nothing."""
        file = self.file
        with suppress(ConfigError):  # it has been logged
            await self._reload(
                lambda seen: seen != file.seen or monotonic() - file.seen_at > JUST_READ_S,
                "SIGHUP",
            )
        for callback in self.on_hangup:
            await callback()

    async def _reload(self, is_wanted: Callable[[str], bool], cause: str) -> list[str]:
        file = self.file
        async with self._one_at_a_time:
            seen, problem = await asyncio.to_thread(file.look)
            if not is_wanted(seen):
                return []
            file.note(seen)
            try:
                if problem is not None:
                    raise problem
                # In a thread: parsing a long file takes a while, and calls go on.
                changes = await self._replace(await asyncio.to_thread(file.parsed, seen))
                file.served = seen
                self.last = LastReload(cause, changes)
            except ConfigError as error:
                self._note_refusal(str(error))
                self.last = LastReload(cause, [], str(error))
                raise
            finally:
                for callback in self.on_reload:
                    callback()
        return changes

    async def _replace(self, wanted: Config) -> list[str]:
        """Serve a config as far as possible without a restart; return the changes, in words."""
        live, before = self._live, self._live.runtime
        config, changes = kept_until_restart(before.config, wanted)
        prices = full(config.general_settings).price_list
        if config != before.config or prices is not None:  # the file may have changed
            resources = await open_resources(config, live.process)
            endpoints = resources.endpoints
            reset = reset_endpoints(before.pool, endpoints)
            changes = [*differences(before.config, config), *reset, *changes]
            changes += [] if prices is None else [f"{prices} was read again"]
            states = CarriedOver(config.general_settings, before.pool, endpoints)
            self._retired.add(live.take_over(resources, states), live)
            self.loaded.loaded_at = self._wall()
            self.loaded.reloads += 1
        self.loaded.error = self.loaded.error_at = None
        logger.warning("Config reloaded: %s.", "; ".join(changes) or "no changes")
        return changes

    def _note_refusal(self, why: str) -> None:
        logger.error("Config not reloaded, the one before is still being served:\n%s", why)
        self.loaded.failed_reloads += 1
        self.loaded.error, self.loaded.error_at = why, self._wall()

"""Opens the registry of owners, with the store that the config or the environment names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from llmproxy.batteries.background import background
from llmproxy.batteries.owners.accounts import Owner
from llmproxy.batteries.owners.calls import StateOwners
from llmproxy.batteries.owners.lists import Cursors
from llmproxy.batteries.owners.registry import OwnerStore, Registry
from llmproxy.batteries.settings import FullSettings, full, server_settings, shares_state
from llmproxy.batteries.state_folder import state_folder
from llmproxy.config import GeneralSettings
from llmproxy.routing import Pool

FILE = "state.sqlite"
OFF = "off"
# Vendors keep responses for 30 days and files until they are deleted. What is forgotten here is
# found again by asking the accounts.
KEEP_S = 90 * 86400


class OwnerRegistries:
    """Opens the registry of each config. Owns what is in memory, which survives a reload."""

    def __init__(self) -> None:
        self._memory: dict[str, Owner] = {}

    def opened_with(self, settings: GeneralSettings) -> object:
        """Return the settings that a registry is opened with."""
        settings = full(settings)
        return settings.state_file, server_settings(settings)

    @asynccontextmanager
    async def open(
        self, settings: GeneralSettings, environ: Mapping[str, str]
    ) -> AsyncIterator[Callable[[Pool], StateOwners]]:
        """Open the registry of a config. A store that cannot be used is no reason not to start."""
        settings = full(settings)
        store = _server(settings) or _file(settings, environ) or _local_server(settings)
        registry = Registry(self._memory, store, shared=store is not None)
        async with AsyncExitStack() as stack:
            if store is not None:
                stack.push_async_callback(registry.close)
                await stack.enter_async_context(background(registry.keep_writing))
            yield partial(StateOwners, registry, Cursors())


def place_of_file(settings: FullSettings, environ: Mapping[str, str]) -> Path | None:
    """Return the path of the state file: as configured, else `state.sqlite` in the folder that
    systemd, XDG or the home folder give; None = there is none."""
    if settings.state_file is not None:
        return None if settings.state_file == OFF else Path(settings.state_file)
    folder = state_folder(environ)
    return None if folder is None else folder / FILE


def _server(settings: FullSettings) -> OwnerStore | None:
    """Return the store on the shared server. One at a unix socket is on this machine, where a file
    is shared as well; and that of the workers forgets everything when it ends."""
    if not shares_state(settings) or _is_at_unix_socket(settings):
        return None
    return _redis(settings)


def _local_server(settings: FullSettings) -> OwnerStore | None:
    return _redis(settings) if _is_at_unix_socket(settings) else None


def _is_at_unix_socket(settings: FullSettings) -> bool:
    url = settings.redis_url
    return url is not None and url.get_secret_value().startswith("unix:")


def _redis(settings: FullSettings) -> OwnerStore:
    # These import redis-py.
    from llmproxy.batteries.owners.redis_store import RedisOwners  # noqa: PLC0415
    from llmproxy.batteries.shared_state.address import client_of, secrets_of  # noqa: PLC0415

    return RedisOwners(
        client_of(settings),
        namespace=settings.redis_namespace,
        keep_s=KEEP_S,
        secrets=secrets_of(settings),
    )


def _file(settings: FullSettings, environ: Mapping[str, str]) -> OwnerStore | None:
    path = place_of_file(settings, environ)
    if path is None:
        return None
    from llmproxy.batteries.owners.sqlite_store import SqliteOwners  # noqa: PLC0415 - sqlite3

    return SqliteOwners(path, keep_s=KEEP_S)

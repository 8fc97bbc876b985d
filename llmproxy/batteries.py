"""The composition root: connects the installed batteries to the core.

A battery is an optional package, imported only here. If a deployment leaves one out, a config that
uses it is refused (`Batteries.check`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from llmproxy.config import FILE_NAMES, Config, default_file, parse_config
from llmproxy.runtime.config_file import ConfigFile
from llmproxy.serving import Batteries

if TYPE_CHECKING:
    from llmproxy.admin import WorkerSlot

DEFAULT_CONFIG = Path(FILE_NAMES[0])  # the name in messages if there is none
CONFIG_VARIABLE = "LLMPROXY_CONFIG"


def installed(*, log_to: int | None = None, slot: WorkerSlot | None = None) -> Batteries:
    """Return the batteries of one process. Each call makes new ones, with state of their own.

    `log_to`: the file descriptor of the access log; None = no log. `slot`: this worker's
    part of the memory in which workers add up their counters; None = there is one process.
    """
    callers = price_list = credentials = caches = connector = telemetry = open_admin = None
    if _has("callers"):
        from llmproxy.callers import ConfiguredCallers  # noqa: PLC0415 - may not be there

        callers = ConfiguredCallers()
    if _has("price_list"):
        from llmproxy.price_list import list_price  # noqa: PLC0415 - may not be there

        price_list = list_price
    if _has("entra"):
        from llmproxy.entra import EntraCredentials  # noqa: PLC0415 - may not be there

        credentials = EntraCredentials
    if _has("cache"):
        from llmproxy.cache import Caches  # noqa: PLC0415 - may not be there

        caches = Caches()
    if _has("shared_state"):
        from llmproxy.shared_state import Connector  # noqa: PLC0415 - may not be there

        connector = Connector()
    if _has("telemetry"):
        from llmproxy.telemetry import Exporters, write_lines_to, write_to  # noqa: PLC0415

        # Workers write to the same descriptor: their lines must not mix.
        writer = write_to if slot is None else write_lines_to
        telemetry = Exporters(None if log_to is None else writer(log_to))
    # The admin application reads the counters of these two, so it needs both.
    if _has("admin") and caches is not None and telemetry is not None:
        from llmproxy.admin import open_admin as opening  # noqa: PLC0415 - may not be there

        open_admin = partial(opening, slot=slot)
    return Batteries(
        caches=caches,
        connector=connector,
        callers=callers,
        price_list=price_list,
        credentials=credentials,
        telemetry=telemetry,
        open_admin=open_admin,
    )


def config_to_serve(
    path: Path | None, environ: Mapping[str, str]
) -> tuple[Config | None, ConfigFile | None]:
    """Return the config and the file that it comes from: `path`, else LLMPROXY_CONFIG, else
    llmproxy.yaml or llmproxy.yml in the current folder, else the keys in the environment (no file),
    else (None, None). Raises ConfigError, also if there is something that looks like a config or
    a key and is neither: the demo must not start by accident."""
    if path is None and environ.get(CONFIG_VARIABLE):
        path = Path(environ[CONFIG_VARIABLE])
    path = path or default_file()
    if path is not None:
        file = config_file(path, environ)
        return file.load(), file
    if not _has("config_help"):
        return None, None
    from llmproxy.config_help import (  # noqa: PLC0415 - may not be there
        config_from_environment,
        refuse_accidents,
    )

    config = config_from_environment(environ)
    if config is None:
        refuse_accidents(environ, Path())
    return config, None


def config_file(path: Path, environ: Mapping[str, str]) -> ConfigFile:
    """Return a config file that is checked against what is installed."""
    parse: Callable[..., Config] = parse_config
    if _has("config_help"):
        from llmproxy import config_help  # noqa: PLC0415 - may not be there

        parse = config_help.parse_config
    return ConfigFile(path, environ, parse=parse, check=installed().check)


def _has(package: str) -> bool:
    return find_spec(f"llmproxy.{package}") is not None

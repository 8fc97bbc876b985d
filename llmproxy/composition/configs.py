"""The config that is served, and what is said of it. Each asks the installed batteries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llmproxy.batteries.config_file import (
    FILE_NAMES,
    ConfigFile,
    config_from_environment,
    refuse_accidents,
    served_file,
)
from llmproxy.batteries.settings import FullConfig
from llmproxy.composition.batteries import installed
from llmproxy.composition.packages import has

if TYPE_CHECKING:
    from llmproxy.batteries.reload import Reloader

DEFAULT_CONFIG = Path(FILE_NAMES[0])  # the name in messages if there is none


def config_to_serve(
    path: Path | None, environ: Mapping[str, str]
) -> tuple[FullConfig | None, ConfigFile | None]:
    """Return the config and the file that it comes from: `path`, else LLMPROXY_CONFIG, else
    llmproxy.yaml or llmproxy.yml in the current folder, else the keys in the environment (no file),
    else (None, None). Raises ConfigError, also if there is something that looks like a config or
    a key and is neither: the demo must not start by accident."""
    path = served_file(path, environ)
    if path is not None:
        file = config_file(path, environ)
        return file.load(), file
    config = config_from_environment(environ)
    if config is None:
        refuse_accidents(environ, Path())
    return config, None


def config_file(path: Path, environ: Mapping[str, str]) -> ConfigFile:
    """Return a config file that is checked against what is installed."""
    return ConfigFile(path, environ, check=installed().check)


def start_token() -> str | None:
    """Return what opens `/admin` where no admin_key is configured; None = there is no `/admin`."""
    if not has("admin"):
        return None
    from llmproxy.batteries.admin import START_TOKEN  # noqa: PLC0415 - may not be there

    return START_TOKEN


def reloader_of(file: ConfigFile | None, *, signals: bool = True) -> Reloader | None:
    """Return what serves a file again when it changes; None if nothing does.

    `signals`: also at a SIGHUP, which this process must leave to it.
    """
    if file is None or not has("reload"):
        return None
    from llmproxy.batteries.reload import (  # noqa: PLC0415 - may not be there
        Reloader,
        on_file_change,
        on_signal_or_file_change,
    )

    return Reloader(file, on_signal_or_file_change if signals else on_file_change)

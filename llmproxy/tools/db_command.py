"""`llmproxy db`: upgrade, copy or prune the database that keeps calls and keys."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llmproxy.tools.command_parser import Commands, add_config

if TYPE_CHECKING:
    from llmproxy.batteries.settings import FullSettings

EXAMPLES = (
    "llmproxy db upgrade",
    "llmproxy db backup llmproxy-backup.sqlite",
    "llmproxy db prune --config /etc/llmproxy.yaml",
)


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return the parsers of its actions."""
    database = commands.add_parser(
        "db",
        help="upgrade, copy or prune the database of calls and keys",
        description="Upgrade, copy or prune the database that database_url of the config names.",
        examples=EXAMPLES,
    )
    actions = database.add_subparsers(metavar="ACTION", required=True, dest="action")
    upgrade = actions.add_parser(
        "upgrade",
        help="bring the tables to this program's version",
        description="Make the tables, or bring them to this program's version. An SQLite file is "
        "upgraded by itself; a PostgreSQL database is not, because other instances may use it.",
    )
    backup = actions.add_parser(
        "backup",
        help="copy the database into a file while the proxy runs",
        description="Copy the database into a new file while the proxy runs (PostgreSQL: with "
        "pg_dump, which must be installed).",
    )
    backup.add_argument("file", type=Path, metavar="FILE", help="the new file")
    prune = actions.add_parser(
        "prune",
        help="delete the rows of calls that are older than call_keep_s",
        description="Delete the rows of calls that are older than call_keep_s, as the proxy does "
        "every hour. The sums of what they cost stay.",
    )
    for action in (upgrade, backup, prune):
        add_config(action)
    return [upgrade, backup, prune]


def run(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Do it, say so, and return the exit status. Raises ConfigError."""
    import asyncio  # noqa: PLC0415 - other commands start faster without it

    from llmproxy.batteries.store import StoreUnavailable, address_of  # noqa: PLC0415
    from llmproxy.batteries.store.maintenance import (  # noqa: PLC0415
        back_up,
        prune_calls,
        upgrade_tables,
    )
    from llmproxy.tools.progress import progress  # noqa: PLC0415

    settings = _settings(options.config, environ)
    url = None if settings is None else settings.database_url
    address = address_of(None if url is None else url.get_secret_value(), environ)
    if address is None:
        print("There is no database: database_url is off.", file=sys.stderr)  # noqa: T201
        return 2
    match options.action:
        case "upgrade":
            what, work = "Upgrading the tables", upgrade_tables(address)
        case "backup":
            what, work = "Copying the database", back_up(address, options.file)
        case _:
            keep_s = 30 * 86400.0 if settings is None else settings.call_keep_s
            what, work = "Deleting old calls", prune_calls(address, keep_s=keep_s)
    try:
        with progress(what):
            done = asyncio.run(work)
        print(done)  # noqa: T201
    except StoreUnavailable as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _settings(path: Path | None, environ: Mapping[str, str]) -> FullSettings | None:
    """Return the settings of the file that `llmproxy serve` would use; None = there is none."""
    from llmproxy.batteries.config_file import load_config, served_file  # noqa: PLC0415

    path = served_file(path, environ)
    return None if path is None else load_config(path, environ).general_settings

"""What a person does with the database: upgrade its tables, copy it, delete old calls."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from llmproxy.batteries.store.address import Address
from llmproxy.batteries.store.database import Database
from llmproxy.batteries.store.errors import StoreUnavailable
from llmproxy.batteries.store.keeping import Pruner
from llmproxy.batteries.store.schema import HEAD


async def upgrade_tables(address: Address) -> str:
    """Make the tables, or bring them to this program's version. Raises StoreUnavailable."""
    database = Database(address, within_s=3600)
    try:
        await database.upgrade()
    finally:
        await database.close()
    return f"{address}: the tables are of version {HEAD}."


async def prune_calls(address: Address, *, keep_s: float) -> str:
    """Delete calls that are too old now. Raises StoreUnavailable."""
    database = Database(address, within_s=60)
    try:
        deleted = await Pruner(database, keep_s=keep_s).prune()
    finally:
        await database.close()
    return f"{address}: {deleted} calls deleted."


async def back_up(address: Address, file: Path) -> str:
    """Copy the database into a new file while calls go on. Raises StoreUnavailable."""
    if address.file is not None and not address.file.exists():
        raise StoreUnavailable(f"There is no file {address.file} yet.")
    try:
        file.touch(mode=0o600, exist_ok=False)  # noqa: ASYNC240 - nothing else is going on
    except OSError as error:
        raise StoreUnavailable(f"{file} cannot be made: {error.strerror}.") from error
    try:
        if address.file is not None:
            await asyncio.to_thread(_copy, address.file, file)
        else:
            await _dump(str(address.server), file)
    except BaseException:
        file.unlink(missing_ok=True)  # noqa: ASYNC240 - nobody is to take it for a backup
        raise
    if address.file is not None:
        return f"{address}: copied to {file}. To restore it, stop the proxy and put it in place."
    return (
        f"{address}: copied to {file}. To restore it: create a new database, run pg_restore -d "
        f"DATABASE {file}, and name that database as database_url."
    )


def _copy(source: Path, file: Path) -> None:
    try:
        with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(file)) as other:
            one.backup(other, pages=1000)
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"{source} cannot be copied to {file}: {error}.") from error


async def _dump(url: str, file: Path) -> None:
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    user = login.partition(":")[0]
    # Other processes see the arguments of a command, not its environment.
    shown = urlunsplit(parts._replace(netloc=f"{user}{at}{host}"))
    environ = dict(os.environ)
    if parts.password:
        environ["PGPASSWORD"] = unquote(parts.password)
    command = ("pg_dump", "--format=custom", f"--file={file}", f"--dbname={shown}")
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=environ, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()
    except OSError as error:
        raise StoreUnavailable(
            f"pg_dump cannot be run: {error}. Install PostgreSQL's client programs."
        ) from error
    if process.returncode:
        raise StoreUnavailable(f"pg_dump failed: {errors.decode(errors='replace').strip()}")

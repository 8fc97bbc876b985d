"""Why a database cannot be used, and what to do, by the error of its driver or server."""

from __future__ import annotations

import os
import sqlite3
from importlib.util import find_spec
from pathlib import Path

from llmproxy.batteries.store.address import Address

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_OF_SERVERS = {
    "25006": "database_url names a server that may only be read (a replica?): name the primary.",
    "28000": "Check the user in database_url, and the server's pg_hba.conf.",
    "28P01": "Check the user and the password in database_url.",
    "3D000": "Make that database (createdb), or name another one in database_url.",
    "42501": "Let the user of database_url make and change tables there.",
    "53100": "Free space on the server's disk.",
    "53300": "Raise max_connections of the server, or end other clients.",
    "57P01": "The server is stopping or starts again: wait, or start it.",
    "57P03": "The server is starting or stopping: wait, or start it.",
}
_OF_FILES = {  # https://sqlite.org/rescode.html
    sqlite3.SQLITE_BUSY: "Another program keeps it locked: end that program.",
    sqlite3.SQLITE_FULL: "Free space on its disk.",
    sqlite3.SQLITE_INTERRUPT: "The statement took too long: ask for a shorter time or for less.",
    sqlite3.SQLITE_IOERR: "Its disk fails, or has no space left: look at it.",
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def reason(error: BaseException) -> str:
    """Return what a driver or a server says, in one line."""
    return " ".join(str(_of_driver(error)).split()).rstrip(".")


def remedy(address: Address, error: BaseException | None = None) -> str:
    """Return what to do about it. `error`: None = the place cannot be used."""
    error = None if error is None else _of_driver(error)
    if (file := address.file) is None:
        usual = "Is the server up, and does database_url name it with the right login?"
        return _OF_SERVERS.get(str(getattr(error, "sqlstate", None)), usual)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary one
    if code in _DAMAGED:
        return (
            f"The file is damaged, and is left as it is. Stop the proxy, move {file}, {file}-wal "
            f"and {file}-shm away, put a backup in place of the first (or nothing: a new one is "
            "made), and start the proxy. `sqlite3 FILE .recover` prints what can still be read."
        )
    usual = (
        f"This process must be able to write to {file} and its folder; or name another file as "
        "database_url (`off`: none)."
    )
    return _OF_FILES.get(code, usual)


def doubt(address: Address) -> str | None:
    """Return what stands against a store that is not open, without connecting; None = nothing."""
    if address.file is None:
        return missing_driver(address)
    why = why_not_made(address.file)
    return f"{why} {remedy(address)}" if why else None


def missing_driver(address: Address) -> str | None:
    """Return what to do if the driver of the database is not installed; None = it is."""
    if address.server is None or find_spec("asyncpg") is not None:
        return None
    return (
        "database_url names a PostgreSQL server, and its driver is not installed. "
        "Run: pip install 'llmproxy-gateway[postgres]'"
    )


def why_not_made(file: Path) -> str | None:
    """Return why a file cannot be written, or cannot be made; None = it can."""
    try:
        if file.is_dir():
            return f"{file} is a folder, not a file."
        if file.exists():
            may = os.access(file, os.W_OK)
            return None if may else f"{file} may not be written by this process."
        folder = next(parent for parent in file.absolute().parents if parent.exists())
    except OSError as error:
        return f"{file} cannot be reached: {error.strerror}."
    if not folder.is_dir():
        return f"{file} cannot be made: {folder} is not a folder."
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{file} cannot be made: this process may not write to {folder}."
    return None


def _of_driver(error: BaseException) -> BaseException:
    """Return the error that SQLAlchemy has wrapped, or that a transaction could not end after."""
    error = getattr(error, "orig", None) or error
    before = error.__context__
    return before if type(error).__name__ == "InterfaceError" and before is not None else error

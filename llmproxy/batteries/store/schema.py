"""The version of the tables in a database, their making, and their upgrade by Alembic.

New tables are made by the statements of `new_tables`, which `make docs` writes from `tables.py`: to
import Alembic takes 11 MB, and SQLAlchemy twice as much.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llmproxy.batteries.store.errors import StoreUnavailable

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import Connection

HEAD = "0001"  # the version that this program reads and writes
KNOWN = ("none", "0001")  # and those before, oldest first; none: an upgrade was undone
_MAY_MAKE = "SELECT has_schema_privilege(current_schema(), 'CREATE')"
_MAY_WRITE = """
    SELECT bool_and(has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
    FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
        AND relname <> 'alembic_version'
"""
_HAS_VERSION = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
_VERSION = "SELECT version_num FROM alembic_version"
_FOLDER = Path(__file__).parent
UPGRADE_LOCK = 5_206_417_902_117  # a number that no other program locks


def version_in_file(connection: sqlite3.Connection) -> str | None:
    """Return the version of the tables in an SQLite file; None = there are none."""
    if connection.execute(_HAS_VERSION).fetchone() is None:
        return None
    found = connection.execute(_VERSION).fetchone()
    return "none" if found is None else str(found[0])


def make_in_file(connection: sqlite3.Connection) -> None:
    """Make the tables in an SQLite file, in a transaction, unless somebody has just made them."""
    if version_in_file(connection) is None:
        for statement in new_tables("sqlite"):
            connection.execute(statement)


def new_tables(dialect: str) -> Iterator[str]:
    """Yield the statements that make the tables of this version in a database without them."""
    text = (_FOLDER / f"new_tables.{dialect}.sql").read_text(encoding="utf-8")
    for statement in text.split(";\n"):
        if statement.strip():
            yield statement


def version_of(connection: Connection) -> str | None:
    """Return the version of the tables; None = there are none."""
    from sqlalchemy import inspect, text  # noqa: PLC0415

    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text(_VERSION)).scalar()
    return str(found or "none")


def prepare(connection: Connection, address: object) -> None:
    """Make the tables if there are none, and upgrade an SQLite file.

    Raises StoreUnavailable if a person must do something.
    """
    if connection.dialect.name == "postgresql":
        if version_of(connection) is None:  # nobody uses it yet
            upgrade(connection, address)
    elif version_of(connection) != HEAD:
        upgrade(connection, address)
    refuse_others(version_of(connection), address)


def look(connection: Connection, address: object) -> None:
    """Raise StoreUnavailable if this program could not use the tables, or not make them.

    It changes nothing.
    """
    from sqlalchemy import text  # noqa: PLC0415

    found = version_of(connection)
    if found is not None:
        refuse_others(found, address)
    if connection.dialect.name != "postgresql":
        return
    if connection.execute(text("SHOW transaction_read_only")).scalar() == "on":
        raise StoreUnavailable(f"{address} may only be read (a replica?): name the primary.")
    if not connection.execute(text(_MAY_MAKE if found is None else _MAY_WRITE)).scalar():
        what = "make tables in" if found is None else "read and write the tables in"
        raise StoreUnavailable(
            f"The login of database_url may not {what} {address}. Grant it that (GRANT), or use "
            "another login."
        )


def upgrade(connection: Connection, address: object) -> None:
    """Bring the tables to this program's version. Those of a newer program are refused."""
    from sqlalchemy import text  # noqa: PLC0415

    if connection.dialect.name == "postgresql":  # one instance at a time, until the commit
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
    found = version_of(connection)
    if found == HEAD:
        return
    if found is None:
        for statement in new_tables(connection.dialect.name):
            connection.exec_driver_sql(statement)
        return
    if found not in KNOWN:
        refuse_others(found, address)
    migrate(connection)


def migrate(connection: Connection) -> None:
    """Bring tables to this program's version with Alembic."""
    # Seldom wanted, and slow to import: `Database` does that in a thread.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def refuse_others(found: str | None, address: object) -> None:
    """Raise StoreUnavailable unless the tables have this program's version."""
    if found == HEAD:
        return
    if found in (None, *KNOWN):
        raise StoreUnavailable(
            f"The tables in {address} are of an earlier version ({found}; this program needs "
            f"{HEAD}). Run: llmproxy db upgrade"
        )
    raise StoreUnavailable(
        f"The tables in {address} are of a newer version ({found}; this program knows {HEAD}). "
        "Use the newer llmproxy, or another database."
    )

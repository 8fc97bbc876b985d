"""The version of the tables in a database, and their upgrade by Alembic."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from llmproxy.batteries.store.errors import StoreUnavailable

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
UPGRADE_LOCK = 5_206_417_902_117  # a number that no other program locks


def version_of(connection: Connection) -> str | None:
    """Return the version of the tables; None = there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
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
    if connection.dialect.name == "postgresql":  # one instance at a time, until the commit
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
    found = version_of(connection)
    if found == HEAD:
        return
    if found not in (None, *KNOWN):
        refuse_others(found, address)
    # Seldom wanted, and slow to import: `Database` does that in a thread.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
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

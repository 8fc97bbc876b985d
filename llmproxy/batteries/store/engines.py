"""Connections to the database: SQLite through aiosqlite, PostgreSQL through asyncpg."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from llmproxy.batteries.sqlite_wal import use_wal
from llmproxy.batteries.store.address import Address
from llmproxy.batteries.store.errors import StoreUnavailable
from llmproxy.batteries.store.remedies import missing_driver

LOCKED = 0.4  # so much of the time may another process have the file locked
POOL = 4  # connections of one process
READS = "llmproxy_reads"  # the option of a connection that writes nothing


def engine_of(address: Address, *, within_s: float) -> AsyncEngine:
    """Return an engine, which connects when it is used. An SQLite file is made then."""
    if why := missing_driver(address):
        raise StoreUnavailable(why)
    if address.server is not None:
        return _postgresql(address.server, within_s)
    return _sqlite(Path(str(address.file)), within_s * LOCKED)


def _postgresql(url: str, within_s: float) -> AsyncEngine:
    import asyncpg  # noqa: PLC0415 - an extra

    async def connect() -> Any:  # asyncpg reads the URL as psql does, with sslmode and the rest
        return await asyncpg.connect(
            url,
            timeout=within_s,
            command_timeout=within_s,
            server_settings={"application_name": "llmproxy"},
            statement_cache_size=0,  # PgBouncer keeps no prepared statements
        )

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=POOL,
        max_overflow=0,
        pool_timeout=within_s,
        pool_pre_ping=True,  # the server may have closed connections
        connect_args={"prepared_statement_cache_size": 0},
    )


def _sqlite(path: Path, locked_s: float) -> AsyncEngine:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path, timeout=locked_s)) as connection:  # the file remembers it
        use_wal(connection, within_s=locked_s)
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        pool_size=POOL,
        max_overflow=0,
        connect_args={"timeout": locked_s},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # we say ourselves where a transaction begins
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that only reads first and then writes would fail if another has written.
        reads = connection.get_execution_options().get(READS)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine

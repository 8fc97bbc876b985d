"""Connections to the database: SQLite through aiosqlite, PostgreSQL through asyncpg."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from llmproxy.batteries.store.address import Address

POOL = 4  # connections of one process
READS = "llmproxy_reads"  # the option of a connection that writes nothing


def engine_of(address: Address, *, within_s: float, locked_s: float) -> AsyncEngine:
    """Return an engine, which connects when it is used.

    `locked_s`: so long may another process have an SQLite file locked.
    """
    if address.server is not None:
        return _postgresql(address.server, within_s)
    return _sqlite(str(address.file), locked_s)


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


def _sqlite(path: str, locked_s: float) -> AsyncEngine:
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

"""The statements that write a batch of calls, in the words of each database.

A row reaches SQLite as bound values, a hundred rows at a time: the thread that writes then lets
the event loop go on. It reaches PostgreSQL as JSON, which the server takes apart. Sums are added up
by the database, from the rows of the batch, in the same transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from llmproxy.batteries.store.rows import COLUMNS, Row

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy.ext.asyncio import AsyncConnection

# Inserts what the batch's number does not say is there already. No row returned: it is.
CLAIM = (
    "INSERT INTO writers (writer, last_batch, at) VALUES ({0}, {1}, {2}) "
    "ON CONFLICT (writer) DO UPDATE SET last_batch = excluded.last_batch, at = excluded.at "
    "WHERE writers.last_batch < excluded.last_batch RETURNING last_batch"
)
# Sums are updated by many writers: one after the other, or they could wait for each other.
SUMS_LOCK = 5_206_417_902_118
AT_ONCE = (100, 10, 1)  # rows in one statement of SQLite
NUMBERS = {"status": "BIGINT", "attempts": "BIGINT", "ended_at": "DOUBLE PRECISION"}
NUMBERS |= {"first_byte_ms": "DOUBLE PRECISION", "total_ms": "DOUBLE PRECISION"}
NUMBERS |= {"stream": "BOOLEAN", "estimated": "BOOLEAN"}
NUMBERS |= dict.fromkeys(
    (name for name in COLUMNS if name.endswith(("_tokens", "nano_usd"))), "BIGINT"
)
# What a column holds that a statement does not name, unless that is NULL.
NOTHING = dict.fromkeys((name for name in COLUMNS if name.endswith(("_tokens", "nano_usd"))), 0)
SUMS = {
    "calls": "count(*)",
    "errors": "sum(CASE WHEN status >= 400 OR error IS NOT NULL THEN 1 ELSE 0 END)",
    "input_tokens": "sum(input_tokens)",
    "output_tokens": "sum(output_tokens)",
    "cached_tokens": "sum(cached_tokens)",
    "cache_write_tokens": "sum(cache_write_tokens)",
    "reasoning_tokens": "sum(reasoning_tokens)",
    "nano_usd": "sum(nano_usd)",
    "estimated_nano_usd": "sum(CASE WHEN basis = 'exact' THEN 0 ELSE nano_usd END)",
    "unknown_calls": "sum(CASE WHEN coalesce(basis, 'unknown') = 'unknown' THEN 1 ELSE 0 END)",
    "saved_nano_usd": "sum(saved_nano_usd)",
    "attempts": "sum(attempts)",
    "total_ms": "CAST(sum(total_ms) AS BIGINT)",
}
SPEND = {
    "caller": "coalesce(caller, '')",
    "team": "coalesce(team, '')",
    "key_id": "coalesce(key_id, '')",
    "model": "coalesce(model, '')",
    "group_name": "coalesce(fallback, group_name, '')",
    "endpoint": "coalesce(endpoint, '')",
}
PERIODS = {"hour": 3600, "day": 86400}
Claim = tuple[str, int, float]  # writer, number of the batch, time
_json = msgspec.json.Encoder().encode


def sums_of(rows: str, *, seconds: str, each_tag: str) -> Iterator[str]:
    """Yield the statements that add rows up. `rows`: FROM and WHERE; `seconds`: a call's end as a
    whole number; `each_tag`: joins a row's tags, as `tag.value`."""
    for period, length in PERIODS.items():
        start = f"{seconds} / {length} * {length}"
        key = {"period": f"'{period}'", "start": start}
        yield _added_up("spend", key | SPEND, rows.format(join=""))
        label = {"kind": "'end_user'", "label": "end_user", "team": SPEND["team"]}
        some = f"{rows.format(join='')} AND end_user IS NOT NULL"
        yield _added_up("spend_by_label", key | label, some)
        label |= {"kind": "'tag'", "label": "tag.value"}
        some = f"{rows.format(join=each_tag)} AND tags IS NOT NULL"
        yield _added_up("spend_by_label", key | label, some)


def _added_up(table: str, key: dict[str, str], rows: str) -> str:
    columns = ", ".join([*key, *SUMS])
    by = ", ".join(str(number) for number in range(1, len(key) + 1))
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in SUMS)
    return (
        f"INSERT INTO {table} ({columns}) SELECT {', '.join([*key.values(), *SUMS.values()])} "
        f"{rows} GROUP BY {by} ORDER BY {by} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {added}"
    )


@lru_cache(maxsize=100)
def _values(columns: tuple[str, ...], rows: int) -> str:
    marks = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO calls ({', '.join(columns)}) VALUES {', '.join([marks] * rows)}"  # noqa: S608


def _from_json() -> str:
    values = (
        f"CAST(r.value ->> {number} AS {NUMBERS.get(name, 'TEXT')})"
        for number, name in enumerate(COLUMNS)
    )
    return (
        f"INSERT INTO calls ({', '.join(COLUMNS)}) SELECT {', '.join(values)} "  # noqa: S608
        "FROM jsonb_array_elements(CAST($1 AS jsonb)) AS r(value) RETURNING *"
    )


SQLITE_CLAIM = CLAIM.format("?", "?", "?")
SQLITE_SUMS = tuple(
    sums_of(
        "FROM calls{join} WHERE seq > ?",
        seconds="CAST(ended_at AS INTEGER)",
        each_tag=", json_each(calls.tags) AS tag",
    )
)
POSTGRESQL_CLAIM = CLAIM.format("$1", "$2", "$3")
POSTGRESQL_WRITE = (
    f"WITH new AS ({_from_json()}), "  # noqa: S608
    + ", ".join(
        f"sum_{number} AS ({statement})"
        for number, statement in enumerate(
            sums_of(
                "FROM new{join} WHERE true",
                seconds="CAST(floor(ended_at) AS BIGINT)",
                each_tag=", jsonb_array_elements_text(CAST(new.tags AS jsonb)) AS tag(value)",
            )
        )
    )
    + " SELECT count(*) FROM new"
)
# A process that is stopped in the middle must not keep the lock.
POSTGRESQL_LOCK = (
    "SET LOCAL idle_in_transaction_session_timeout = '15s'; SET LOCAL statement_timeout = '15s'; "
    f"SELECT pg_advisory_xact_lock({SUMS_LOCK})"
)


async def write_batch(
    connection: AsyncConnection, writer: str, number: int, rows: list[Row], at: float
) -> bool:
    """Write a batch of calls and their sums; return False if it is there already."""
    claim = (writer, number, at)
    raw: Any = (await connection.get_raw_connection()).driver_connection
    if connection.dialect.name == "sqlite":
        # In one turn of aiosqlite's thread: each of ten statements would wait for one of its own.
        work = partial(_to_sqlite, raw._conn, claim, rows)
        written: bool = await raw._execute(work)
        return written
    # Past SQLAlchemy's own cursor, whose prepared statements PgBouncer would not keep.
    return await _to_postgresql(raw, claim, rows)


def _to_sqlite(raw: sqlite3.Connection, claim: Claim, rows: list[Row]) -> bool:
    if raw.execute(SQLITE_CLAIM, claim).fetchone() is None:
        return False
    last = raw.execute("SELECT coalesce(max(seq), 0) FROM calls").fetchone()
    for statement, values in _pieces(rows):
        raw.execute(statement, values)
    for statement in SQLITE_SUMS:
        raw.execute(statement, last)
    return True


async def _to_postgresql(raw: Any, claim: Claim, rows: list[Row]) -> bool:
    text = await _json_of(rows)
    try:
        async with raw.transaction():
            if await raw.fetchrow(POSTGRESQL_CLAIM, *claim) is None:
                return False
            await raw.execute(POSTGRESQL_LOCK)
            await raw.execute(POSTGRESQL_WRITE, text)
    except BaseException:  # in no state to be used again, perhaps with the lock held
        raw.terminate()
        raise
    return True


async def _json_of(rows: list[Row]) -> str:
    """Return rows as JSON, without a pause that calls would feel."""
    parts = []
    for at in range(0, len(rows), AT_ONCE[0]):
        part = _json(rows[at : at + AT_ONCE[0]])[1:-1]
        # JSON may say NUL, and PostgreSQL keeps none: the same length, so nothing else changes.
        parts.append(part.replace(b"\\u0000", b"\\ufffd"))
        await asyncio.sleep(0)
    return f"[{b','.join(parts).decode()}]"


def _pieces(rows: list[Row]) -> Iterable[tuple[str, tuple[object, ...]]]:
    """Yield the statements of SQLite that insert rows, each with its values.

    Columns in which no row says anything are left out: to bind a None costs more than to bind a
    text, and a row has some ten of them.
    """
    columns, filled = [], []
    for name, values in zip(COLUMNS, zip(*rows, strict=True), strict=True):
        nothing = NOTHING.get(name)
        if values[0] != nothing or values.count(nothing) < len(values):
            columns.append(name)
            filled.append(values)
    rows, names = list(zip(*filled, strict=True)), tuple(columns)
    at = 0
    for size in AT_ONCE:
        while len(rows) - at >= size:
            piece = rows[at : at + size]
            yield _values(names, size), tuple(chain.from_iterable(piece))
            at += size

"""The statements that write a batch of calls, in the words of each database.

A row reaches SQLite as bound values, a hundred rows at a time: the thread that writes then lets
the event loop go on. It reaches PostgreSQL as JSON, which the server takes apart. The sums of the
batch are written likewise, in the same transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from llmproxy.batteries.store.database import Database
from llmproxy.batteries.store.plain import FileTransaction, ServerTransaction, Transaction
from llmproxy.batteries.store.rows import COLUMNS, Row
from llmproxy.batteries.store.sums import FIGURES, LABEL_KEY, SPEND_KEY, sums_of

if TYPE_CHECKING:
    import sqlite3

# Inserts what the batch's number does not say is there already. No row returned: it is.
CLAIM = (
    "INSERT INTO writers (writer, last_batch, at) VALUES ({0}, {1}, {2}) "
    "ON CONFLICT (writer) DO UPDATE SET last_batch = excluded.last_batch, at = excluded.at "
    "WHERE writers.last_batch < excluded.last_batch RETURNING last_batch"
)
# Sums are updated by many writers: one after the other, or they could wait for each other.
SUMS_LOCK = 5_206_417_902_118
AT_ONCE = (100, 10, 1)  # rows in one statement of SQLite
# What a column holds that a statement does not name, unless that is NULL.
NOTHING = dict.fromkeys((name for name in COLUMNS if name.endswith(("_tokens", "nano_usd"))), 0)
NUMBERS = dict.fromkeys((*NOTHING, *FIGURES, "start", "status"), "BIGINT")
NUMBERS |= dict.fromkeys(("ended_at", "first_byte_ms", "total_ms"), "DOUBLE PRECISION")
NUMBERS |= dict.fromkeys(("stream", "estimated"), "BOOLEAN")
Claim = tuple[str, int, float]  # writer, number of the batch, time
Parts = Iterable[tuple["Insertion", list[Row]]]
_json = msgspec.json.Encoder().encode


class Insertion(msgspec.Struct, frozen=True):
    """How rows get into a table. `key`: of a table of sums, whose figures are added up."""

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()

    def statement(self, columns: Sequence[str], source: str) -> str:
        """Return the statement that inserts some columns from a source."""
        text = f"INSERT INTO {self.table} ({', '.join(columns)}) {source}"
        if not self.key:
            return text
        added = ", ".join(f"{name} = {self.table}.{name} + excluded.{name}" for name in FIGURES)
        return f"{text} ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {added}"


CALLS = Insertion("calls", COLUMNS)
SPEND = Insertion("spend", (*SPEND_KEY, *FIGURES), SPEND_KEY)
SPEND_BY_LABEL = Insertion("spend_by_label", (*LABEL_KEY, *FIGURES), LABEL_KEY)


@lru_cache(maxsize=100)
def _values(into: Insertion, columns: tuple[str, ...], rows: int) -> str:
    marks = f"({', '.join('?' * len(columns))})"
    return into.statement(columns, f"VALUES {', '.join([marks] * rows)}")


def _from_json(into: Insertion, parameter: int) -> str:
    values = (
        f"CAST(r.value ->> {number} AS {NUMBERS.get(name, 'TEXT')})"
        for number, name in enumerate(into.columns)
    )
    rows = f"jsonb_array_elements(CAST(${parameter} AS jsonb)) AS r(value)"
    # `WHERE true`: SQL would take ON CONFLICT for a part of a join
    return into.statement(into.columns, f"SELECT {', '.join(values)} FROM {rows} WHERE true")  # noqa: S608


SQLITE_CLAIM = CLAIM.format("?", "?", "?")
POSTGRESQL_CLAIM = CLAIM.format("$1", "$2", "$3")
POSTGRESQL_WRITE = (
    f"WITH one AS ({_from_json(CALLS, 1)}), two AS ({_from_json(SPEND, 2)}) "
    + _from_json(SPEND_BY_LABEL, 3)
)
# A process that is stopped in the middle must not keep the lock.
POSTGRESQL_LOCK = (
    "SET LOCAL idle_in_transaction_session_timeout = '15s'; SET LOCAL statement_timeout = '15s'; "
    f"SELECT pg_advisory_xact_lock({SUMS_LOCK})"
)


async def write_batch(
    database: Database,
    writer: str,
    number: int,
    rows: list[Row],
    at: float,
    *,
    within_s: float | None = None,
) -> bool:
    """Write a batch of calls and their sums; return False if it is there already.

    Raises as `Database.change_plain` does.
    """
    claim, sums = (writer, number, at), await sums_of(rows)
    parts = (CALLS, rows), (SPEND, sums.spend()), (SPEND_BY_LABEL, sums.spend_by_label())

    async def work(transaction: Transaction) -> bool:
        match transaction:
            case FileTransaction():
                # In one turn of a thread: each of ten statements would wait for one.
                return await transaction.in_thread(partial(_to_sqlite, claim=claim, parts=parts))
            case ServerTransaction():
                # Past SQLAlchemy's own cursor, whose prepared statements PgBouncer would not keep.
                return await _to_postgresql(await transaction.driver_connection(), claim, parts)
            case _:
                assert_never(transaction)

    return await database.change_plain(work, within_s=within_s)


def _to_sqlite(raw: sqlite3.Connection, claim: Claim, parts: Parts) -> bool:
    if raw.execute(SQLITE_CLAIM, claim).fetchone() is None:
        return False
    for into, rows in parts:
        for statement, values in _pieces(into, rows):
            raw.execute(statement, values)
    return True


async def _to_postgresql(raw: Any, claim: Claim, parts: Parts) -> bool:
    texts = [await _json_of(rows) for _, rows in parts]
    try:
        async with raw.transaction():
            if await raw.fetchrow(POSTGRESQL_CLAIM, *claim) is None:
                return False
            await raw.execute(POSTGRESQL_LOCK)
            await raw.execute(POSTGRESQL_WRITE, *texts)
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


def _pieces(into: Insertion, rows: list[Row]) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield the statements of SQLite that insert rows, each with its values.

    Columns in which no row says anything are left out: to bind a None costs more than to bind a
    text, and the row of a call has some ten of them.
    """
    filled = [
        (place, name)
        for place, name in enumerate(into.columns)
        if any(row[place] != NOTHING.get(name) for row in rows)
    ]
    if not filled:
        return
    places, names = zip(*filled, strict=True)
    values_of, at = itemgetter(*places), 0
    for size in AT_ONCE:
        while len(rows) - at >= size:
            values = map(values_of, rows[at : at + size])
            yield _values(into, names, size), tuple(chain.from_iterable(values))
            at += size

"""What a call costs behind it: microseconds of CPU a call for each step of writing it to SQLite.

`python bench/store.py [CALLERS] [BATCHES]`: the median over batches of 1,000 calls, in the thread
that does it, and the lowest. Vendors' ids are random, as they are.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from time import thread_time
from typing import TYPE_CHECKING, TypeVar

from llmproxy.batteries.store import Database, address_of
from llmproxy.batteries.store.rows import row_of
from llmproxy.batteries.store.statements import CALLS, SPEND, SPEND_BY_LABEL, _pieces
from llmproxy.batteries.store.sums import PIECE, BatchSums
from llmproxy.events import CallFinished
from llmproxy.operations import Usage
from llmproxy.record import AnswerSummary, Basis, CallRecord, Cost, RequestSummary
from llmproxy.steps import ANSWERED, Attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from llmproxy.batteries.store.rows import Row
    from llmproxy.batteries.store.statements import Insertion

T = TypeVar("T")
BATCH = 1000
draw = random.Random(1)
spent: dict[str, list[float]] = defaultdict(list)


def timed(step: str, work: Callable[[], T]) -> T:
    began = thread_time()
    done = work()
    spent[step].append((thread_time() - began) / BATCH * 1e6)
    return done


def call(number: int, callers: int) -> CallFinished:
    """Return a call with a team, a key, two tags, an end user and a price."""
    who, began = draw.randrange(callers), number / 1000
    request = RequestSummary(
        **{"line": "POST /v1/chat/completions", "client": "10.1.2.3", "received_at": began},
        **{"id": f"req_0123456789abcdef01234567{number:08x}", "operation": "chat/completions"},
        **{"caller": f"service-{who}", "team": f"team-{who % 10}", "key": f"key_{who:016d}"},
        **{"model": "gpt-4.1", "tags": ("nightly", "blue"), "end_user": f"user-{who}"},
    )
    vendor_id = b"req_%032x" % draw.getrandbits(128)
    answer = AnswerSummary(200, None, Usage(100, 20), vendor_id, began + 0.4)
    record = CallRecord(request, answer, "gpt-4.1", endpoint="gpt-4.1@api.openai.com", attempts=1)
    record.steps = [Attempt("gpt-4.1@api.openai.com", began + 0.001, 0.4, ANSWERED, 200)]
    record.cost = Cost(360_000, Basis.EXACT)
    return CallFinished(record, 1.8e9 + began, 0.5, 0.4, 0.0001)


def added_up(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    sums = BatchSums()
    for at in range(0, BATCH, PIECE):
        sums.add(rows[at : at + PIECE])
    return sums.spend(), sums.spend_by_label()


def insert(connection: sqlite3.Connection, into: Insertion, rows: list[Row]) -> None:
    for statement, values in _pieces(into, rows):
        connection.execute(statement, values)


def write(connection: sqlite3.Connection, calls: list[CallFinished]) -> None:
    rows = timed("the loop: rows", lambda: [row_of(call, "host-1") for call in calls])
    spend, by_label = timed("the loop: sums", lambda: added_up(rows))
    connection.execute("BEGIN IMMEDIATE")
    timed("SQLite: rows", lambda: insert(connection, CALLS, rows))
    timed("SQLite: sums", lambda: insert(connection, SPEND, spend))
    timed("SQLite: labels", lambda: insert(connection, SPEND_BY_LABEL, by_label))
    timed("SQLite: commit", lambda: connection.execute("COMMIT"))


async def main(callers: int, batches: int) -> None:
    """Print the time of each step."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        file = Path(folder) / "calls.sqlite"
        database = Database(address_of(str(file), {}))
        await database.upgrade()
        await database.close()
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("PRAGMA synchronous = NORMAL")
        for batch in range(batches):
            calls = [call(batch * BATCH + number, callers) for number in range(BATCH)]
            write(connection, calls)
        connection.close()
        size = file.stat().st_size / batches / BATCH
    for step, figures in spent.items():
        print(f"{step:<16} {median(figures):6.2f} us, lowest {min(figures):6.2f}")
    print(f"{size:.0f} bytes a call")


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    asyncio.run(main(*given, *(30, 100)[len(given) :]))

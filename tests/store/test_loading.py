"""What is slow to import is imported by a thread, so that calls go on."""

import sqlite3
import subprocess
import sys
from contextlib import closing

WATCHED = """
import asyncio, sys, threading

class Watch:
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package in ("sqlalchemy", "alembic", "aiosqlite"):
            by_a_thread = threading.current_thread() is not threading.main_thread()
            seen.setdefault(package, set()).add(by_a_thread)

seen = {}
sys.meta_path.insert(0, Watch())
from llmproxy.batteries.store import Database, address_of

async def write():
    database = Database(address_of(sys.argv[1], {}))
    await database.load()
    from sqlalchemy import text
    await database.execute(text("SELECT 1"))
    assert (await database.fetch(text("SELECT count(*) FROM calls")))[0][0] == 0
    await database.close()

asyncio.run(write())
print(sorted(package for package, by_a_thread in seen.items() if by_a_thread == {True}))
"""


def printed_by(script, file):
    run = [sys.executable, "-c", script, str(file)]
    return subprocess.run(run, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_event_loop_never_waits_for_the_import_of_a_driver(tmp_path):
    file = tmp_path / "store.sqlite"
    assert printed_by(WATCHED, file) == "['aiosqlite', 'sqlalchemy']\n"


def test_the_event_loop_never_waits_for_the_import_of_alembic(tmp_path):
    file = tmp_path / "undone.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    assert printed_by(WATCHED, file) == "['aiosqlite', 'alembic', 'sqlalchemy']\n"


BY_ITSELF = """
import asyncio, sys
from llmproxy.batteries.budgets import Budgets
from llmproxy.batteries.budgets.opening import StoredBudgets
from llmproxy.batteries.keys.known import KnownKeys
from llmproxy.batteries.keys.sync import KeySync
from llmproxy.batteries.store import Database, address_of
from llmproxy.batteries.store.keeping import Pruner
from llmproxy.batteries.store.rows import COLUMNS
from llmproxy.batteries.store.statements import write_batch

async def work():
    database, known = Database(address_of(sys.argv[1], {})), KnownKeys()
    values = {"ended_at": 1.0, "status": 200, "stream": False, "attempts": 1, "total_ms": 1.0,
              "estimated": False}
    row = [values.get(name, 0 if name.endswith(("_tokens", "nano_usd")) else None)
           for name in COLUMNS]
    await write_batch(database, "writer", 1, [row], 1.0)
    await StoredBudgets(Budgets(), database).read_changes()
    sync = KeySync(known, database, place=None)
    await sync.read_changes()
    known.used["key_1"] = 1.0
    await sync.note_use()
    print(known.used, await Pruner(database, keep_s=1.0).prune())
    await database.close()

asyncio.run(work())
print(sorted({"sqlalchemy", "alembic", "aiosqlite"} & set(sys.modules)))
"""


def test_what_a_process_does_with_a_file_by_itself_imports_no_sqlalchemy(tmp_path):
    for _ in range(2):  # a new file, and one that is there
        assert printed_by(BY_ITSELF, tmp_path / "store.sqlite") == "{} 1\n[]\n"

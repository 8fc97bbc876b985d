"""What is slow to import is imported by a thread, so that calls go on."""

import subprocess
import sys

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
    await database.close()

asyncio.run(write())
print(sorted(package for package, by_a_thread in seen.items() if by_a_thread == {True}))
"""


def test_the_event_loop_never_waits_for_the_import_of_a_driver(tmp_path):
    run = [sys.executable, "-c", WATCHED, str(tmp_path / "store.sqlite")]
    printed = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60).stdout
    assert printed == "['aiosqlite', 'alembic', 'sqlalchemy']\n"

"""An SQLite file that another process is writing."""

import sqlite3
from contextlib import closing, contextmanager


@contextmanager
def being_written(path):
    """Hold the lock of whoever writes first to a new file, until the block ends."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield

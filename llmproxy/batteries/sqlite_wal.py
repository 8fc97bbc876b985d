"""Switching a new file, which several processes open at once, to SQLite's write-ahead log."""

from __future__ import annotations

import sqlite3
from time import monotonic, sleep

PAUSE_S = 0.01


def use_wal(connection: sqlite3.Connection, *, within_s: float) -> None:
    """Switch the file to the write-ahead log. Raises sqlite3.OperationalError if it stays locked.

    SQLite itself does not wait for another process here, whatever the connection's timeout is: it
    has begun to read, and then "database is locked" is returned at once.
    """
    until = monotonic() + within_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > until:
                raise
        sleep(PAUSE_S)

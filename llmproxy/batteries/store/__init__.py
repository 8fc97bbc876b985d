"""The store: calls, sums of what they cost, keys and budgets, in SQLite or PostgreSQL.

The door is `Store`, one for each process. `tables` (which imports SQLAlchemy) has the tables.
"""

from llmproxy.batteries.store.address import address_of
from llmproxy.batteries.store.calls import CallFilter, Position, position
from llmproxy.batteries.store.database import Database
from llmproxy.batteries.store.errors import StoreEmptied, StoreUnavailable
from llmproxy.batteries.store.lookup import read_calls
from llmproxy.batteries.store.plain import Transaction
from llmproxy.batteries.store.remedies import doubt
from llmproxy.batteries.store.store import Store, StoreStatus

__all__ = [
    "CallFilter",
    "Database",
    "Position",
    "Store",
    "StoreEmptied",
    "StoreStatus",
    "StoreUnavailable",
    "Transaction",
    "address_of",
    "doubt",
    "position",
    "read_calls",
]

"""What goes wrong with the store."""

from __future__ import annotations


class StoreUnavailable(Exception):
    """The database cannot be used now, or not at all. The message says why, and the remedy."""


class StoreEmptied(StoreUnavailable):
    """The database has nothing any more of what is known here. `what`: keys, budgets."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The database has no {what}, though some are known: it is new, or is being restored "
            "from a backup. Restore it."
        )

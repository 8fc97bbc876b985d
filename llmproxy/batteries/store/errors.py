"""What goes wrong with the store."""

from __future__ import annotations


class StoreUnavailable(Exception):
    """The database cannot be used now, or not at all. The message says why, and the remedy."""

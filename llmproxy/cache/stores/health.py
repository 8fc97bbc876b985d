"""How a store fares: reading and writing apart, since one may fail without the other.

A full server refuses to write and goes on to answer. After some failures in a row a side is left
alone until it has succeeded once; that the store is lost, and that it is back, is told once each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

import msgspec

FAILS = 5  # in a row; then a side is left alone
NOT_YET = "not connected yet"

logger = logging.getLogger("llmproxy")


class StoreCounters(msgspec.Struct):
    """What has happened since the start. Only ever grows."""

    reads: int = 0  # gets that the store was asked for
    hits: int = 0  # gets that it had an answer for
    damaged: int = 0  # values that were no answers
    failures: int = 0  # operations that failed or were late
    dropped: int = 0  # answers that were not written


class OperationHealth:
    """Reading, or writing. `why` it is left alone; None: it is not."""

    __slots__ = ("_counters", "_fails", "_told", "why")

    def __init__(
        self, counters: StoreCounters, told: Callable[[], None], *, why: str | None
    ) -> None:
        self._counters = counters
        self._told = told
        self._fails = 0
        self.why = why

    @property
    def suspect(self) -> bool:
        """The last operation failed."""
        return self._fails > 0 or self.why is not None

    def failed(self, why: str) -> None:
        """An operation failed, or was late."""
        self._counters.failures += 1
        self._fails += 1
        if self._fails >= FAILS or self.why is not None:
            self.why = why
            self._told()

    def succeeded(self) -> None:
        """An operation did what it should, in time."""
        if self.suspect:
            self._fails = 0
            self.why = None
            self._told()


class StoreHealth:
    """Owns both sides. Until it is known whether the store can be read, it is left alone."""

    __slots__ = ("_lost_at", "reading", "writing")

    def __init__(self, counters: StoreCounters) -> None:
        self._lost_at: float | None = None
        self.reading = OperationHealth(counters, self._tell, why=NOT_YET)
        self.writing = OperationHealth(counters, self._tell, why=None)

    @property
    def why(self) -> str | None:
        """Why the store is not used as it should be; None: it is."""
        if self.reading.why is None and self.writing.why is not None:
            return f"nothing can be written: {self.writing.why}"
        return self.reading.why

    def _tell(self) -> None:
        why = self.why
        if why is not None and self._lost_at is None:
            self._lost_at = monotonic()
            logger.warning(
                "The second level of the answer cache is lost: %s. Until it is back, each process "
                "has what it remembers itself.",
                why.rstrip("."),
            )
        elif why is None and self._lost_at is not None:
            logger.warning(
                "The second level of the answer cache is back after %.1f s.",
                monotonic() - self._lost_at,
            )
            self._lost_at = None

"""The interface of a store of answers, and the health of a store.

A store outlives the process, and may be shared with other instances. It keeps bytes under a key;
cached_answer.py defines their format. l2.py decides what to do while a store fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Protocol

import msgspec

MAX_FAILURES = 5  # in a row; then an operation is suspended until a probe succeeds
NOT_YET = "not connected yet"

logger = logging.getLogger("llmproxy")


class StoreError(Exception):
    """A store operation failed. The message is for the operator, and contains no password."""


class StoreTotals(msgspec.Struct, frozen=True):
    """How much a store holds, approximately. `bytes`: the size of the values."""

    entries: int
    bytes: int


class StoreBackend(Protocol):
    """Keeps values by model group and key. Its methods raise StoreError and nothing else.

    An implementation neither retries nor sets timeouts: the caller cancels what takes too long.
    """

    async def read(self, wanted: list[tuple[str, bytes]]) -> list[bytes | None]:
        """Return the values of (group, key), in order; None for those that are absent or expired.

        The group is passed so that a store can put it into its own keys, and so find the answers of
        a group without reading their values.
        """

    async def write(self, values: list[tuple[str, bytes, bytes]]) -> None:
        """Store (group, key, value), in place of older values."""

    async def purge(self, group: str | None, stored_before: float | None) -> int:
        """Remove answers, and return how many.

        `group`: only of this model group; None = of all. `stored_before`: Unix seconds; None = all.
        May take long.
        """

    async def totals(self) -> StoreTotals:
        """Count what is stored. Slow, since it may visit every entry: not for every scrape."""

    async def close(self) -> None:
        """Close what the store has opened. May be called twice."""


class StoreCounters(msgspec.Struct):
    """Counts since the start of the process; they never decrease.

    Attributes:
        reads: Lookups in the store.
        hits: Lookups that found an answer.
        damaged: Values that could not be decoded.
        failures: Operations that failed or timed out.
        dropped: Answers that were not written: the queue was full, or the store failed.
    """

    reads: int = 0
    hits: int = 0
    damaged: int = 0
    failures: int = 0
    dropped: int = 0


class OperationHealth:
    """The health of reading or of writing. `why`: the reason for a suspension; None = in use."""

    __slots__ = ("_counters", "_failures", "_on_change", "why")

    def __init__(
        self, counters: StoreCounters, on_change: Callable[[], None], *, why: str | None
    ) -> None:
        self._counters = counters
        self._on_change = on_change
        self._failures = 0  # in a row
        self.why = why

    @property
    def suspect(self) -> bool:
        """Whether the last operation failed, or operations are suspended."""
        return self._failures > 0 or self.why is not None

    def failed(self, why: str) -> None:
        """Count an operation that failed or timed out."""
        self._counters.failures += 1
        self._failures += 1
        if self._failures >= MAX_FAILURES or self.why is not None:
            self.why = why
            self._on_change()

    def succeeded(self) -> None:
        """Note that an operation succeeded in time; this ends a suspension."""
        if self.suspect:
            self._failures = 0
            self.why = None
            self._on_change()


class StoreHealth:
    """The health of a store. Reading is suspended until a first probe succeeds.

    Reading and writing are judged separately, since one may fail without the other: a server that
    is out of memory refuses writes and still serves reads. When a store is lost, and when it is
    back, one line is logged.
    """

    __slots__ = ("_lost_at", "reading", "writing")

    def __init__(self, counters: StoreCounters) -> None:
        self._lost_at: float | None = None
        self.reading = OperationHealth(counters, self._log_change, why=NOT_YET)
        self.writing = OperationHealth(counters, self._log_change, why=None)

    @property
    def why(self) -> str | None:
        """Why the store cannot be used, or only in part; None = in full use."""
        if self.reading.why is None and self.writing.why is not None:
            return f"nothing can be written: {self.writing.why}"
        return self.reading.why

    def _log_change(self) -> None:
        why = self.why
        if why is not None and self._lost_at is None:
            self._lost_at = monotonic()
            logger.warning(
                "The store of the answer cache is lost: %s. Until it is back, each process serves "
                "the answers in its own memory.",
                why.rstrip("."),
            )
        elif why is None and self._lost_at is not None:
            logger.warning(
                "The store of the answer cache is back after %.1f s.", monotonic() - self._lost_at
            )
            self._lost_at = None

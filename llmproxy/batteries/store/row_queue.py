"""Rows of calls that wait in memory to be written."""

from __future__ import annotations

from collections import deque

from llmproxy.batteries.store.rows import Row
from llmproxy.batteries.store.spool import Batch

BATCH_ROWS = 1000  # written at once: each statement costs as much as ten rows
MAX_ROWS = 20_000  # some 30 MB


class RowQueue:
    """First in, first out, in batches. What has been tried once keeps its number and its rows."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()
        self._oldest: Batch | None = None
        self._number = 0

    @property
    def waiting(self) -> int:
        """How many rows wait."""
        return len(self._rows) + (0 if self._oldest is None else len(self._oldest.rows))

    @property
    def has_batch(self) -> bool:
        """Whether a whole batch waits."""
        return self.waiting >= BATCH_ROWS

    @property
    def room(self) -> int:
        """How many rows it still takes."""
        return MAX_ROWS - self.waiting

    def append(self, row: Row) -> None:
        """Add a row. The caller looks at `room` before."""
        self._rows.append(row)

    def oldest(self) -> Batch | None:
        """Return the oldest batch; None = nothing waits."""
        if self._oldest is None and self._rows:
            self._number += 1
            count = min(BATCH_ROWS, len(self._rows))
            self._oldest = Batch(self._number, [self._rows.popleft() for _ in range(count)])
        return self._oldest

    def drop_oldest(self) -> None:
        """Forget the oldest batch: it is written elsewhere."""
        self._oldest = None

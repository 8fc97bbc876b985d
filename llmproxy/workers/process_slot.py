"""A slot for one process, which is filled again when the process ends."""

from __future__ import annotations

import signal
from collections.abc import Callable
from math import inf
from typing import Protocol

STEADY_S = 30.0  # a process that ran this long did not fail at its start
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0


class Process(Protocol):
    """A child of this process."""

    @property
    def pid(self) -> int:
        """The process id."""

    def poll(self) -> int | None:
        """Return the exit status; None if the process runs."""

    def send_signal(self, sig: int, /) -> None:
        """Send a signal. Does nothing if the process has ended."""


class ProcessSlot:
    """Holds one process, and the time at which the next one is to start.

    That is at once if the process ran for `STEADY_S`, else after a pause that doubles. Times are
    seconds of `time.monotonic`.
    """

    def __init__(
        self, name: str, start: Callable[[], Process], *, process: Process | None = None
    ) -> None:
        self.name = name
        self.process = process
        self.is_accepting = process is not None
        self.start_at = inf
        self._start = start
        self._filled_at = -inf
        self._short_lives = 0

    def fill(self, now: float) -> None:
        """Start a process. Raises OSError if the system cannot, and schedules another try."""
        self._filled_at = now
        try:
            self.process = self._start()
        except OSError:
            self._schedule(now)
            raise
        self.start_at = inf

    def clear(self, now: float) -> int | None:
        """If the process has ended, free the slot and return the exit status. Else return None."""
        status = None if self.process is None else self.process.poll()
        if status is not None:
            self.process = None
            self.is_accepting = False
            self._schedule(now)
        return status

    def _schedule(self, now: float) -> None:
        pause_s = 0.0
        if now - self._filled_at < STEADY_S:
            pause_s = min(SHORTEST_PAUSE_S * 2**self._short_lives, LONGEST_PAUSE_S)
            self._short_lives += 1
        else:
            self._short_lives = 0
        self.start_at = now + pause_s


def how_it_ended(status: int) -> str:
    """Describe how a process ended."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-status}"

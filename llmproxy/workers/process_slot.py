"""A slot for one process, which is filled again when the process ends."""

from __future__ import annotations

import signal
from collections.abc import Callable
from math import inf
from typing import Protocol

STEADY_S = 30.0  # who has lived for so long did not fail at its start
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0


class Process(Protocol):
    """A child of this process."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Its exit status if it has ended."""

    def send_signal(self, sig: int, /) -> None:
        """Nothing happens if it has ended."""


class ProcessSlot:
    """Who is there, and when somebody new is wanted: at once after a long life, else after a pause
    that becomes longer. Owns its process. Moments are seconds of `time.monotonic`.
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
        """Start a process. Raises OSError if the system cannot; it is then wanted again later."""
        self._filled_at = now
        try:
            self.process = self._start()
        except OSError:
            self._schedule(now)
            raise
        self.start_at = inf

    def clear(self, now: float) -> int | None:
        """If the process has ended: its exit status, and the slot is free. Else None."""
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
    """How a process ended, in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-status}"

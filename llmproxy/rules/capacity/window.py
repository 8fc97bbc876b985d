"""What was dispatched in the last minute, counted in slots of half a second.

The window is 60.0 to 60.5 s long, depending on where in its slot a moment lies: it is never
shorter than a minute, so that no 60 s hold more than the limit.
"""

from __future__ import annotations

SLOT_S = 0.5
SLOTS = 121


class MinuteWindow:
    """Requests and tokens dispatched in the last 60 s. Mutable; its one owner is a Capacity."""

    __slots__ = (
        "_ends_at",
        "_newest",
        "_older_requests",
        "_older_tokens",
        "_requests",
        "_tokens",
        "requests",
        "tokens",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = 0
        # What the older slots hold, and their sums: the newest one's part is what these lack.
        self._requests = [0] * SLOTS
        self._tokens = [0] * SLOTS
        self._older_requests = 0
        self._older_tokens = 0
        self._newest = 0  # the number of the newest slot; slots are numbered since time 0
        self._ends_at = SLOT_S

    def add(self, tokens: int, now: float) -> int:
        """Count one request; returns the number of its slot, for `correct`."""
        if now >= self._ends_at:
            self.pass_time(now)
        self.requests += 1
        self.tokens += tokens
        return self._newest

    def correct(self, slot: int, now: float, requests: int, tokens: int) -> None:
        """Change what was counted in a slot, unless that is no longer in the window."""
        if now >= self._ends_at:
            self.pass_time(now)
        if slot != self._newest:
            if self._newest - slot >= SLOTS:
                return
            self._add_to_slot(slot % SLOTS, requests, tokens)
        self.requests += requests
        self.tokens += tokens

    def pass_time(self, now: float) -> None:
        """Forget the slots that have left the window."""
        if now < self._ends_at:
            return
        newest = int(now / SLOT_S)
        passed = newest - self._newest
        if passed <= 0:
            return
        self._close_newest()
        for number in range(self._newest + 1, self._newest + 1 + min(passed, SLOTS)):
            i = number % SLOTS
            requests, tokens = self._requests[i], self._tokens[i]
            if requests or tokens:
                self._add_to_slot(i, -requests, -tokens)
                self.requests -= requests
                self.tokens -= tokens
        self._newest = newest
        self._ends_at = (newest + 1) * SLOT_S

    def frees_in_s(self, requests: float, tokens: float, now: float) -> float:
        """Seconds until at most so many requests and tokens are left in the window."""
        self.pass_time(now)
        excess_requests, excess_tokens = self.requests - requests, self.tokens - tokens
        if excess_requests <= 0 and excess_tokens <= 0:
            return 0.0
        for number in range(self._newest - SLOTS + 1, self._newest):
            excess_requests -= self._requests[number % SLOTS]
            excess_tokens -= self._tokens[number % SLOTS]
            if excess_requests <= 0 and excess_tokens <= 0:
                return (number + SLOTS) * SLOT_S - now
        return (self._newest + SLOTS) * SLOT_S - now

    def _close_newest(self) -> None:
        requests = self.requests - self._older_requests
        tokens = self.tokens - self._older_tokens
        self._add_to_slot(self._newest % SLOTS, requests, tokens)

    def _add_to_slot(self, i: int, requests: int, tokens: int) -> None:
        self._requests[i] += requests
        self._tokens[i] += tokens
        self._older_requests += requests
        self._older_tokens += tokens

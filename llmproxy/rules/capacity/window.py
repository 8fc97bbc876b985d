"""The operator's limits: at most so many requests and tokens in any 60 s.

A `MinuteWindow` counts what was sent in slots of half a second. It is 60.0 to 60.5 s long,
depending on where in its slot a moment lies: never shorter than a minute, so that no 60 s hold more
than the limit. With `rpm: 3` and requests at 0, 10 and 20 s, the next may be sent at 60.5 s.
"""

from __future__ import annotations

from math import inf

SLOT_S = 0.5
SLOTS = 121


class MinuteWindow:
    """Requests and tokens sent in the last 60 s, and the gate that keeps them within limits.

    Mutable; owned by a Capacity. `rpm`, `tpm`: None = no limit. A call above the whole limit waits
    for an empty window; then the vendor may judge it.
    """

    __slots__ = (
        "_newest",
        "_newest_ends_at",
        "_older_requests",
        "_older_tokens",
        "_requests",
        "_tokens",
        "requests",
        "rpm",
        "tokens",
        "tpm",
    )

    def __init__(self, rpm: int | None = None, tpm: int | None = None) -> None:
        self.rpm = rpm
        self.tpm = tpm
        self.requests = 0
        self.tokens = 0
        # The closed slots in a ring, and their sums: the newest slot holds the rest.
        self._requests = [0] * SLOTS
        self._tokens = [0] * SLOTS
        self._older_requests = 0
        self._older_tokens = 0
        self._newest = 0  # slots are numbered from time 0 of the clock
        self._newest_ends_at = SLOT_S

    def wait_s(self, requests: int, tokens: int, now: float) -> float:
        """See `Gate`."""
        return self.wait_within_s(self.rpm, self.tpm, requests, tokens, now)

    def wait_within_s(
        self, rpm: float | None, tpm: float | None, requests: int, tokens: int, now: float
    ) -> float:
        """Return the seconds until the requests and tokens fit into these limits."""
        requests_before = inf if rpm is None else max(0.0, rpm - requests)
        tokens_before = inf if tpm is None else max(0.0, tpm - tokens)
        return self.falls_to_in_s(requests_before, tokens_before, now)

    def reserve(self, tokens: int, now: float) -> None:
        """See `CountingGate`."""
        if now >= self._newest_ends_at:
            self.advance(now)
        self.requests += 1
        self.tokens += tokens

    def correct(self, tokens: int, sent_at: float, now: float, requests: int = 0) -> None:
        """See `CountingGate`. What was counted at a time that has left the window stays."""
        if now >= self._newest_ends_at:
            self.advance(now)
        if sent_at < self._newest_ends_at - SLOT_S:
            slot = int(sent_at / SLOT_S)
            if self._newest - slot >= SLOTS:
                return
            self._add_to_closed(slot % SLOTS, requests, tokens)
        self.requests += requests
        self.tokens += tokens

    def give_back(self, tokens: int, sent_at: float, now: float) -> None:
        """See `CountingGate`."""
        self.correct(-tokens, sent_at, now, -1)

    def advance(self, now: float) -> None:
        """Forget the slots that have left the window."""
        if now < self._newest_ends_at:
            return
        newest = int(now / SLOT_S)
        passed = newest - self._newest
        if passed <= 0:
            return
        self._close_newest()
        for number in range(self._newest + 1, self._newest + 1 + min(passed, SLOTS)):
            index = number % SLOTS
            requests, tokens = self._requests[index], self._tokens[index]
            if requests or tokens:
                self._add_to_closed(index, -requests, -tokens)
                self.requests -= requests
                self.tokens -= tokens
        self._newest = newest
        self._newest_ends_at = (newest + 1) * SLOT_S

    def falls_to_in_s(self, requests: float, tokens: float, now: float) -> float:
        """Return the seconds until the window holds at most this many requests and tokens."""
        self.advance(now)
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
        self._add_to_closed(self._newest % SLOTS, requests, tokens)

    def _add_to_closed(self, index: int, requests: int, tokens: int) -> None:
        self._requests[index] += requests
        self._tokens[index] += tokens
        self._older_requests += requests
        self._older_tokens += tokens

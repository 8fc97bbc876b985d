"""What a vendor says is left of one of its limits, carried forward from its last word.

A response's headers tell how much was left when its request was admitted; what we have sent since
is subtracted, what has refilled since is added. How a limit refills differs: most vendors fill
continuously (`reset` is the time until full), Azure and others all at once when their window ends.
"""

from __future__ import annotations

from math import ceil

from llmproxy.calls import RateLimit

# The periods that vendors count in. A limit that fills continuously gives itself away: what is
# missing and the time until full stand in the proportion of the whole limit to its period.
PERIODS_S = (60.0, 1.0, 3600.0, 86400.0)
MINUTE_S = 60.0
TOLERANCE = 0.1  # of a period
ROUNDING_S = 1.0  # many resets are whole seconds
# A request is admitted when it arrives. Its way there differs from call to call, so what refills
# in this time after it was sent may already be in the vendor's word.
ON_THE_WAY_S = 0.1


class VendorLevel:
    """One dimension (requests or tokens) as one vendor keeps it. Mutable; owned by a Capacity.

    Not less than nothing is left, and not more than the limit refills. `fixed`: known to refill
    at once; otherwise every report is judged by its numbers. `spent`: what was sent since the
    last look (below 0: what was not sent after all); whoever sends adds to it.
    """

    __slots__ = (
        "_as_of",
        "_fixed",
        "_left",
        "_rate",
        "_refills_at",
        "limit",
        "reported_at",
        "spent",
    )

    def __init__(self, limit: float, now: float, *, fixed: bool) -> None:
        self.limit = limit
        self.spent = 0
        self.reported_at = -1.0
        self._fixed = fixed
        self._left = limit
        self._as_of = now
        self._rate = limit / MINUTE_S  # per second; 0: it refills at `_refills_at` only
        self._refills_at = 0.0

    def left(self, now: float) -> float:
        """What is left now, as far as we know. Below 0 when we have sent more than there was."""
        left, limit = self._left, self.limit
        if self._rate:
            if now > self._as_of:
                if left < limit:
                    left = min(limit, left + self._rate * (now - self._as_of))
                self._as_of = now
        elif now >= self._refills_at:
            self._refills_at += (int((now - self._refills_at) / MINUTE_S) + 1) * MINUTE_S
            left = limit
        left -= self.spent
        self._left, self.spent = left, 0
        return left

    def wait_s(self, amount: float, now: float, *, at_once: bool = True) -> float:
        """Seconds until so much is left; 0 = now. An amount above the limit waits for all of it.

        `at_once`: one call needs it. Otherwise a line of calls does, one after another.
        """
        left = self.left(now)
        if at_once and amount > self.limit:
            amount = self.limit
        if left >= amount:
            return 0.0
        if self._rate:
            return max(0.0, self._as_of - now) + (amount - left) / self._rate
        refills = ceil((amount - max(0.0, left)) / self.limit)
        return max(0.0, self._refills_at - now) + (refills - 1) * MINUTE_S

    def report(self, told: RateLimit, *, sent_at: float, spent: int) -> bool:
        """The vendor's word about the moment at which it admitted a request; returns whether the
        limit has changed.

        `sent_at`: when that request was sent; `spent`: what was sent after it. Older news than
        the last is ignored: answers overtake each other.
        """
        if sent_at < self.reported_at:
            return False
        changed = told.limit != self.limit
        self.reported_at = sent_at
        self._as_of = sent_at + ON_THE_WAY_S
        self.limit = told.limit
        self._left = told.remaining
        self.spent = spent
        self._rate, refills_in_s = self._refill(told.limit, told.remaining, told.reset_s)
        self._refills_at = self._as_of + refills_in_s
        return changed

    def _refill(self, limit: float, left: float, reset_s: float | None) -> tuple[float, float]:
        """How it refills: so much a second, or (0) all at once after so many seconds."""
        missing = limit - left
        if not reset_s:
            return limit / MINUTE_S, 0.0
        if self._fixed:
            return 0.0, reset_s
        if missing <= 0:
            return limit / MINUTE_S, 0.0
        for period_s in PERIODS_S:
            expected_s = missing / limit * period_s
            if abs(reset_s - expected_s) <= max(TOLERANCE * expected_s, _rounding_s(reset_s)):
                return limit / period_s, 0.0
        return 0.0, reset_s


def _rounding_s(reset_s: float) -> float:
    return ROUNDING_S if reset_s == int(reset_s) else 0.0

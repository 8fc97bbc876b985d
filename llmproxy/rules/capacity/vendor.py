"""The vendor's limits: what its headers say is left, carried forward to now.

A header is old when it arrives: it says what was left when its request was admitted, and an answer
may take a minute. So we subtract what was sent after that request and add what has refilled since.

Example: 600 requests a minute (10 a second). A request is sent at 10 s; its answer arrives at 40 s
and says `remaining: 60`. 50 requests were sent meanwhile, and 300 have refilled: 310 are left.

How a limit refills differs. Most vendors refill continuously, and `reset` is the time until full.
Azure and others refill at once when their window ends, and `reset` is that moment. A vendor that
refills continuously shows it: what is missing relates to the limit as `reset` relates to a period
of a second, a minute, an hour or a day.
"""

from __future__ import annotations

from math import ceil

import msgspec

from llmproxy.operations.rate_limits import RateLimit, RateLimits
from llmproxy.rules.capacity.gates import MINUTE_S, Sent

PERIODS_S = (MINUTE_S, 1.0, 3600.0, 86400.0)
TOLERANCE = 0.1  # of a period
ROUNDING_S = 1.0  # many resets are whole seconds
# A request is admitted when it arrives, and its way there differs from call to call. So what
# refills within this time after it was sent may already be counted in its answer.
ON_THE_WAY_S = 0.1


# What a report says of the rest holds for so long, whatever reset it names: a vendor has said 31
# years. Then the limit is taken to be whole again, and the next answer corrects that.
MAX_HOLD_S = 300.0


class Reservation(msgspec.Struct, gc=False):
    """Capacity set aside for one attempt. Settled or given back exactly once.

    `sent_requests`, `sent_tokens`: all that the capacity had ever reserved, this one included.
    """

    tokens: int
    sent_at: float
    sent_requests: int
    sent_tokens: int
    settled: bool = False


class VendorLevel:
    """What is left of one limit (requests or tokens) at its vendor. Mutable; of `VendorGate`.

    `fixed`: the provider is known to refill at once; otherwise each report is judged by its
    numbers. `spent`: sent since the last look, to be subtracted at the next; below 0 for requests
    that were counted and not sent.
    """

    __slots__ = (
        "_as_of",
        "_fixed",
        "_holds_until",
        "_left",
        "_per_s",
        "_refills_at",
        "_reported_at",
        "limit",
        "spent",
    )

    def __init__(self, limit: float, now: float, *, fixed: bool) -> None:
        self.limit = limit
        self.spent = 0
        self._fixed = fixed
        self._reported_at = -1.0
        self._left = limit
        self._as_of = now
        self._per_s = limit / MINUTE_S  # 0: it refills only at `_refills_at`, and then at once
        self._refills_at = 0.0
        self._holds_until = now + MAX_HOLD_S

    def left(self, now: float) -> float:
        """Return what is left now, as far as known. Below 0 if more was sent than there was."""
        left, limit = self._left, self.limit
        if now >= self._holds_until:
            left = max(left, limit, 1.0)
            self._as_of, self._holds_until = max(now, self._as_of), now + MAX_HOLD_S
        elif self._per_s:
            if now > self._as_of:
                if left < limit:  # a vendor may leave more than its limit, which does not grow
                    left = min(limit, left + self._per_s * (now - self._as_of))
                self._as_of = now
        elif now >= self._refills_at:
            self._refills_at += (int((now - self._refills_at) / MINUTE_S) + 1) * MINUTE_S
            left = limit
        left -= self.spent
        self._left, self.spent = left, 0
        return left

    def wait_s(self, amount: float, now: float, *, one_call: bool = True) -> float:
        """Return the seconds until this amount is left; 0 = now.

        `one_call`: a single call needs it, so an amount above the limit waits for all of the limit.
        Otherwise a line of calls needs it, one after the other, over several refills.
        """
        left = self.left(now)
        if one_call and amount > self.limit:
            amount = self.limit
        if left >= amount:
            return 0.0
        if self._per_s:
            wait_s = max(0.0, self._as_of - now) + (amount - left) / self._per_s
        else:
            refills = ceil((amount - max(0.0, left)) / self.limit)
            wait_s = max(0.0, self._refills_at - now) + (refills - 1) * MINUTE_S
        return min(wait_s, self._holds_until - now)

    def report(self, reported: RateLimit, *, sent_at: float, spent: int) -> bool:
        """Take over the vendor's report; returns whether the limit has changed.

        `sent_at`: when the request of the report was sent; `spent`: what was sent after it. Answers
        overtake each other: a report of an earlier request than the last one is ignored.
        """
        if sent_at < self._reported_at:
            return False
        changed = reported.limit != self.limit
        self._reported_at = sent_at
        self._as_of = sent_at + ON_THE_WAY_S
        self.limit = reported.limit
        self._left = reported.remaining
        self.spent = spent
        self._per_s, refills_in_s = self._refill(reported)
        self._refills_at = self._as_of + refills_in_s
        self._holds_until = self._as_of + MAX_HOLD_S
        return changed

    def _refill(self, reported: RateLimit) -> tuple[float, float]:
        """Return the refill per second, or 0 and the seconds until all of it refills at once."""
        limit, reset_s = reported.limit, reported.reset_s
        missing = limit - reported.remaining
        if not reset_s:
            return limit / MINUTE_S, 0.0
        if self._fixed:
            return 0.0, reset_s
        if missing <= 0:
            return limit / MINUTE_S, 0.0
        rounding_s = ROUNDING_S if reset_s == int(reset_s) else 0.0
        for period_s in PERIODS_S:
            expected_s = missing / limit * period_s
            if abs(reset_s - expected_s) <= max(TOLERANCE * expected_s, rounding_s):
                return limit / period_s, 0.0
        return 0.0, reset_s


class VendorGate:
    """The gate of the vendor's requests and tokens. A limit is None until a header reports it.

    `sent` counts everything for all gates; here it is compared with what the levels know of it.
    """

    __slots__ = (
        "_counted_requests",
        "_counted_tokens",
        "_sent",
        "fixed_windows",
        "requests",
        "tokens",
    )

    def __init__(self, sent: Sent, *, fixed_windows: bool) -> None:
        self.fixed_windows = fixed_windows
        self.requests: VendorLevel | None = None
        self.tokens: VendorLevel | None = None
        self._sent = sent
        self._counted_requests = 0
        self._counted_tokens = 0

    def wait_s(self, requests: int, tokens: int, now: float) -> float:
        """See `Gate`."""
        self._count()
        wait_s = 0.0
        if self.requests is not None:
            wait_s = self.requests.wait_s(requests, now, one_call=False)
        if self.tokens is not None:
            tokens_wait_s = self.tokens.wait_s(tokens, now, one_call=requests == 1)
            if tokens_wait_s > wait_s:
                return tokens_wait_s
        return wait_s

    def left(self, now: float) -> tuple[float | None, float | None]:
        """Return the requests and tokens that are left; None = no limit is known."""
        self._count()
        requests = None if self.requests is None else max(0.0, self.requests.left(now))
        tokens = None if self.tokens is None else max(0.0, self.tokens.left(now))
        return requests, tokens

    def give_back(self, tokens: int) -> None:
        """Uncount a request that was never sent."""
        if self.requests is not None:
            self.requests.spent -= 1
        if self.tokens is not None:
            self.tokens.spent -= tokens

    def learn(self, reservation: Reservation, reported: RateLimits) -> bool:
        """Take over the headers of a reservation's answer; returns whether a limit has changed."""
        sent_at, changed = reservation.sent_at, False
        self._count()
        if reported.requests is not None:
            if self.requests is None:
                self.requests = self._new_level(reported.requests, sent_at)
                changed = True
            spent = self._sent.requests - reservation.sent_requests
            changed |= self.requests.report(reported.requests, sent_at=sent_at, spent=spent)
        if reported.tokens is not None:
            if self.tokens is None:
                self.tokens = self._new_level(reported.tokens, sent_at)
                changed = True
            spent = self._sent.tokens - reservation.sent_tokens
            changed |= self.tokens.report(reported.tokens, sent_at=sent_at, spent=spent)
        return changed

    def _new_level(self, reported: RateLimit, sent_at: float) -> VendorLevel:
        return VendorLevel(reported.limit, sent_at, fixed=self.fixed_windows)

    def _count(self) -> None:
        """Charge the levels with what was sent since the last look."""
        sent = self._sent
        if self.requests is not None:
            self.requests.spent += sent.requests - self._counted_requests
        if self.tokens is not None:
            self.tokens.spent += sent.tokens - self._counted_tokens
        self._counted_requests, self._counted_tokens = sent.requests, sent.tokens

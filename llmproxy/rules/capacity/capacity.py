"""The capacity of one account for one model: what may be sent now, and when more may be.

Before an attempt a reservation is made, as the vendor will charge it on arrival: one request, and
the estimated input tokens with the output bound. What is not known neither blocks nor inflates.
`now` is seconds on the monotonic clock; tokens are whole numbers.
"""

from __future__ import annotations

from math import inf
from typing import Protocol

import msgspec

from llmproxy.calls import RateLimits
from llmproxy.rules.capacity.burst import BurstWindow
from llmproxy.rules.capacity.level import VendorLevel
from llmproxy.rules.capacity.window import MinuteWindow

# A place among `concurrent` calls frees when one of them ends; nobody knows when that is.
PERMIT_WAIT_S = 1.0
# A vendor that throttles without telling its limits is asked by one call first, then by two more
# for each that it answers, until so many were answered in a row: no herd at the refill.
RAMP_ANSWERS = 32
# With more than this part of its limits left, a vendor's word holds for so long.
FAR_FROM_LIMIT = 0.5
REPORT_S = 0.005
PLENTY_OF_CALLS = 1_000


class SharedQuota(Protocol):
    """What this instance may dispatch of a limit that it shares with others (rules/lease).

    `share`: None = ask the quota; a number = the view is lost, keep to this part of the limit.
    `instances`: how many share it, this one included.
    """

    share: float | None
    instances: int

    def set_limits(self, rpm: float | None, tpm: float | None) -> None:
        """The limits that all instances share; None = not known."""

    def wait_s(self, tokens: float, now: float) -> float:
        """Seconds until one request with so many tokens may be dispatched; 0.0 = now."""

    def take(self, tokens: float, now: float) -> None:
        """It is being dispatched."""

    def give_back(self, tokens: float, at: float) -> None:
        """What was taken at that time was never sent."""

    def correct(self, tokens: float, at: float) -> None:
        """What was taken at that time turned out to need so many tokens more; below 0: less."""

    def note_waiting(self, tokens: float) -> None:
        """A call waits for this much."""


class Reservation(msgspec.Struct, gc=False):
    """Capacity set aside for one attempt. Settled or given back exactly once."""

    tokens: int
    at: float
    slot: int
    sent_requests: int  # what had been sent in all, this one included
    sent_tokens: int
    settled: bool = False


class Capacity:
    """Mutable; one for each account and model, shared by the endpoints that are the same place.

    `key` names it on every instance. `rpm`, `tpm`, `concurrent`: the operator's limits, at most so
    many requests and tokens in any 60 s, and requests at a time; None = none. `fixed_windows`: the
    vendor judges by windows that end all at once, and requests by short ones (Azure).
    """

    __slots__ = (
        "_burst",
        "_charged_requests",
        "_charged_tokens",
        "_ramp",
        "_ramp_answers",
        "_report_at",
        "_requests",
        "_safe_requests",
        "_safe_tokens",
        "_sent_requests",
        "_sent_tokens",
        "_tokens",
        "_window",
        "bounded",
        "concurrent",
        "fixed_windows",
        "in_flight",
        "key",
        "quota",
        "rpm",
        "tpm",
    )

    def __init__(
        self,
        key: str = "",
        *,
        rpm: int | None = None,
        tpm: int | None = None,
        concurrent: int | None = None,
        fixed_windows: bool = False,
    ) -> None:
        self.key = key
        self.rpm = rpm
        self.tpm = tpm
        self.concurrent = concurrent
        self.in_flight = 0
        self.quota: SharedQuota | None = None
        self.bounded = bool(rpm or tpm or concurrent)  # something may have to wait
        self.fixed_windows = fixed_windows
        self._window = MinuteWindow() if rpm or tpm else None
        self._requests: VendorLevel | None = None
        self._tokens: VendorLevel | None = None
        self._burst = BurstWindow(rpm) if fixed_windows else None
        # All that was ever sent; what of it the levels know; and how far these sums may grow with
        # room for certain, as of the last look: with time it can only become more.
        self._sent_requests = self._sent_tokens = 0
        self._charged_requests = self._charged_tokens = 0
        self._safe_requests = self._safe_tokens = 0.0
        self._report_at = -inf  # headers of what was sent before that tell nothing new
        self._ramp: int | None = None  # calls that may go although the vendor has just throttled
        self._ramp_answers = 0

    def share(self, quota: SharedQuota | None) -> None:
        """From now on other instances dispatch to the same limits. None: no longer."""
        self.quota = quota
        self._safe_requests = self._safe_tokens = 0.0
        if quota is not None:
            self._window = self._window or MinuteWindow()
            quota.set_limits(*self.limits)

    def change_limits(
        self, key: str, *, rpm: int | None, tpm: int | None, concurrent: int | None
    ) -> None:
        """The operator has set other limits. What was sent and learned until now still counts."""
        self.key, self.rpm, self.tpm, self.concurrent = key, rpm, tpm, concurrent
        if rpm or tpm:
            self._window = self._window or MinuteWindow()
        elif self.quota is None:
            self._window = None
        self._adopt_limits()
        known = (rpm, tpm, concurrent, self._requests, self._tokens, self._ramp)
        self.bounded = any(each is not None for each in known)

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """Requests and tokens a minute, as they are now: the operator's or the vendor's, whichever
        is less; None = not known."""
        return _least(self.rpm, self._requests), _least(self.tpm, self._tokens)

    @property
    def vendor_limits(self) -> tuple[float | None, float | None]:
        """The same by what the vendor has told alone."""
        return _least(None, self._requests), _least(None, self._tokens)

    @property
    def permits(self) -> int | None:
        """This instance's part of the requests at a time; None = no limit. An even part, for nobody
        can lend a place for an unknown time; but never none."""
        if self.concurrent is None or self.quota is None:
            return self.concurrent
        return max(1, self.concurrent // self.quota.instances)

    @property
    def counts_tokens(self) -> bool:
        """Whether the tokens of a call matter here."""
        return self.tpm is not None or self._tokens is not None

    def left(self, now: float) -> tuple[float | None, float | None]:
        """Requests and tokens that may be sent now; None = no limit is known."""
        requests, tokens = self.vendor_left(now)
        sent_requests, sent_tokens = self.sent_in_last_minute(now)
        if self.rpm is not None:
            requests = _less(max(0, self.rpm - sent_requests), requests)
        if self.tpm is not None:
            tokens = _less(max(0, self.tpm - sent_tokens), tokens)
        return requests, tokens

    def vendor_left(self, now: float) -> tuple[float | None, float | None]:
        """The same by what the vendor has told alone, whoever sent what is no longer left."""
        self._charge_levels()
        requests = None if self._requests is None else max(0.0, self._requests.left(now))
        tokens = None if self._tokens is None else max(0.0, self._tokens.left(now))
        return requests, tokens

    def sent_in_last_minute(self, now: float) -> tuple[int, int]:
        """Requests and tokens of this process in the last minute; 0 where no limit has it count."""
        window = self._window
        if window is None:
            return 0, 0
        window.pass_time(now)
        return window.requests, window.tokens

    def has_room(self, tokens: int, now: float) -> bool:
        """May one request with so many tokens be sent now?"""
        if (
            self._sent_requests + 1 <= self._safe_requests
            and self._sent_tokens + tokens <= self._safe_tokens
        ):
            permits = self.permits
            return permits is None or self.in_flight < permits
        if self.wait_s(tokens, now) > 0.0:
            return False
        if self._burst is None and self.quota is None and self._ramp is None:
            requests_left, tokens_left = self.left(now)
            self._safe_requests = self._sent_requests + _or_no_limit(requests_left)
            self._safe_tokens = self._sent_tokens + _or_no_limit(tokens_left)
        return True

    def has_plenty(self, tokens: int) -> bool:
        """Is so much left for certain that the tokens of one such call do not matter?"""
        safe_tokens = self._safe_tokens - self._sent_tokens
        return not self.counts_tokens or safe_tokens > PLENTY_OF_CALLS * tokens

    def wait_s(self, tokens: int, now: float, requests: int = 1) -> float:
        """Seconds until so many requests with so many tokens in all may be sent; 0.0 = now."""
        wait_s = 0.0
        self._charge_levels()
        permits = self.permits
        if permits is not None and self.in_flight + requests > permits:
            wait_s = PERMIT_WAIT_S
        if self._requests is not None:
            wait_s = max(wait_s, self._requests.wait_s(requests, now, at_once=False))
        if self._tokens is not None:
            wait_s = max(wait_s, self._tokens.wait_s(tokens, now, at_once=requests == 1))
        if self._burst is not None:
            wait_s = max(wait_s, self._burst.wait_s(requests, now))
        if self._ramp is not None and self._ramp < requests and self.in_flight:
            wait_s = max(wait_s, PERMIT_WAIT_S)
        quota = self.quota
        if quota is not None and quota.share is None:
            return max(wait_s, quota.wait_s(tokens, now))
        if self._window is not None:
            wait_s = max(wait_s, self._window_wait_s(self._window, tokens, now, requests))
        return wait_s

    def reserve(self, tokens: int, now: float) -> Reservation:
        """Set capacity aside for one request, whether there is room or not."""
        self.in_flight += 1
        self._sent_requests += 1
        self._sent_tokens += tokens
        if self._burst is not None:
            self._burst.add(now)
        if self._ramp is not None:
            self._ramp -= 1
        if self.quota is not None:
            self.quota.take(tokens, now)
        slot = self._window.add(tokens, now) if self._window is not None else 0
        return Reservation(tokens, now, slot, self._sent_requests, self._sent_tokens)

    def needs_headers(self, reservation: Reservation) -> bool:
        """Whether the headers of a reservation's answer may tell anything new.

        Reading them is not free, so while much is left not every answer of a crowd is read.
        """
        return reservation.at >= self._report_at

    def learn(self, reservation: Reservation, told: RateLimits) -> None:
        """What the headers of a reservation's answer say of the vendor's limits."""
        at, changed = reservation.at, False
        self._charge_levels()
        if told.requests is not None:
            if self._requests is None:
                self._requests = VendorLevel(told.requests.limit, at, fixed=self.fixed_windows)
                changed = True
            spent = self._sent_requests - reservation.sent_requests
            changed |= self._requests.report(told.requests, sent_at=at, spent=spent)
            safe_requests = reservation.sent_requests + told.requests.remaining
            self._safe_requests = min(self._safe_requests, safe_requests)
        if told.tokens is not None:
            if self._tokens is None:
                self._tokens = VendorLevel(told.tokens.limit, at, fixed=self.fixed_windows)
                changed = True
            spent = self._sent_tokens - reservation.sent_tokens
            changed |= self._tokens.report(told.tokens, sent_at=at, spent=spent)
            safe_tokens = reservation.sent_tokens + told.tokens.remaining
            self._safe_tokens = min(self._safe_tokens, safe_tokens)
        if changed:
            self._adopt_limits()
        self._report_at = at + REPORT_S if self._is_far_from_limits() else -inf

    def note_waiting(self, tokens: int) -> None:
        """A call waits for this much: other instances may have it to spare."""
        if self.quota is not None:
            self.quota.note_waiting(tokens)

    def throttled(self) -> None:
        """The vendor has refused a call for its rate."""
        if self._requests is None:
            self._ramp, self._ramp_answers = 1, 0
            self._safe_requests = 0.0
            self.bounded = True

    def answered(self) -> None:
        """The vendor has answered a call."""
        if self._ramp is None:
            return
        self._ramp_answers += 1
        self._ramp = None if self._ramp_answers >= RAMP_ANSWERS else self._ramp + 2

    def settle(self, reservation: Reservation, used_tokens: int | None, now: float) -> None:
        """The attempt is over. `used_tokens`: input and output as counted by the vendor.

        Only the operator's own limit is corrected by it: a vendor's stays charged as it was on
        arrival, and its headers tell the rest.
        """
        if reservation.settled:
            return
        reservation.settled = True
        self.in_flight -= 1
        if used_tokens is None or self.tpm is None or used_tokens == reservation.tokens:
            return
        correction = used_tokens - reservation.tokens
        if correction > 0:
            self._safe_tokens -= correction
        if self._window is not None:
            self._window.correct(reservation.slot, now, 0, correction)
        if self.quota is not None:
            self.quota.correct(correction, reservation.at)

    def give_back(self, reservation: Reservation, now: float) -> None:
        """Nothing was sent, so nothing was charged.

        It stays among what was sent in all: those sent after it are numbered by that.
        """
        if reservation.settled:
            return
        reservation.settled = True
        tokens = reservation.tokens
        self.in_flight -= 1
        self._charged_requests += 1  # so the levels are charged one less
        self._charged_tokens += tokens
        if self.quota is not None:
            self.quota.give_back(tokens, reservation.at)
        if self._window is not None:
            self._window.correct(reservation.slot, now, -1, -tokens)

    def _charge_levels(self) -> None:
        """Tell the levels what was sent since the last look."""
        if self._requests is not None:
            self._requests.spent += self._sent_requests - self._charged_requests
        if self._tokens is not None:
            self._tokens.spent += self._sent_tokens - self._charged_tokens
        self._charged_requests, self._charged_tokens = self._sent_requests, self._sent_tokens

    def _is_far_from_limits(self) -> bool:
        """Whether so much is left that a vendor's word holds for a moment."""
        requests, tokens = self._requests, self._tokens
        if requests is None:
            return False
        far = self._safe_requests - self._sent_requests >= FAR_FROM_LIMIT * requests.limit
        if tokens is not None:
            far &= self._safe_tokens - self._sent_tokens >= FAR_FROM_LIMIT * tokens.limit
        return far

    def _window_wait_s(self, window: MinuteWindow, tokens: int, now: float, requests: int) -> float:
        rpm: float | None = self.rpm
        tpm: float | None = self.tpm
        share = 1.0
        if self.quota is not None and self.quota.share is not None:
            share = self.quota.share
            rpm, tpm = self.limits
        # A call that is bigger than the limit waits for an empty window; then its vendor may judge.
        requests_before = max(0.0, rpm * share - requests) if rpm is not None else inf
        tokens_before = max(0.0, tpm * share - tokens) if tpm is not None else inf
        return window.frees_in_s(requests_before, tokens_before, now)

    def _adopt_limits(self) -> None:
        """A limit is new, or has changed: the vendor may lower and raise it at any time."""
        rpm, tpm = self.limits
        self.bounded = True
        self._safe_requests = self._safe_tokens = 0.0
        if self.quota is not None:
            self.quota.set_limits(rpm, tpm)
        if self._burst is not None:
            self._burst = self._burst.resized(rpm)


def _least(configured: int | None, level: VendorLevel | None) -> float | None:
    if level is None:
        return configured
    return level.limit if configured is None else min(configured, level.limit)


def _or_no_limit(left: float | None) -> float:
    return inf if left is None else left


def _less(own: float, told: float | None) -> float:
    return own if told is None or own < told else told

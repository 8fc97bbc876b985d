"""The capacity of one account for one model: what may be sent now, and when more may be.

Every limit is a gate (gates.py lists them), and a call may be sent when no gate makes it wait:

    wait = max(gate.wait_s(requests, tokens, now) for gate in gates)

Before an attempt, `reserve` counts what the vendor will charge on arrival: one request, and the
estimated input tokens with the output bound. After it, `settle` corrects what was counted, or
`give_back` takes it back. An unknown limit has no gate: it neither blocks nor inflates.

To ask all gates costs 2 to 6 us. While much is left that is not necessary: `Headroom` remembers how
much could be sent with certainty at the last look, so the usual look is two comparisons.

`now` is seconds on the monotonic clock; tokens are whole numbers.
"""

from __future__ import annotations

from math import inf

from llmproxy.operations.rate_limits import FAR_FROM_LIMIT, RateLimits
from llmproxy.rules.capacity.gates import (
    BurstWindow,
    CountingGate,
    Gate,
    Permits,
    Ramp,
    Sent,
    SharedQuota,
)
from llmproxy.rules.capacity.vendor import Reservation, VendorGate, VendorLevel
from llmproxy.rules.capacity.window import MinuteWindow

REREAD_S = 0.005
PLENTY_OF_CALLS = 1_000


class Headroom:
    """The fast path: until all that was ever sent reaches these sums, only permits can be short.

    This stays true because time only adds capacity, and because whatever takes some away (a report,
    a correction, a changed limit) lowers the sums.
    """

    __slots__ = ("requests", "reread_at", "tokens")

    def __init__(self) -> None:
        self.requests = 0.0
        self.tokens = 0.0
        self.reread_at = -inf  # headers of requests that were sent before need not be read

    def clear(self) -> None:
        """Nothing is certain: ask the gates."""
        self.requests = self.tokens = 0.0


class Capacity:
    """Mutable; one for each account and model, shared by the endpoints that are the same place.

    `key` names it on every instance. `rpm`, `tpm`, `concurrent`: the operator's limits, at most so
    many requests and tokens in any 60 s, and requests at a time; None = no limit. `fixed_windows`:
    the vendor refills all at once and also judges short windows (Azure). `bounded`: whether a call
    may ever have to wait.
    """

    __slots__ = (
        "_burst",
        "_counting",
        "_gates",
        "_headroom",
        "_minute",
        "_permits",
        "_ramp",
        "_sent",
        "_vendor",
        "bounded",
        "key",
        "quota",
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
        self.quota: SharedQuota | None = None
        self._sent = Sent()
        self._headroom = Headroom()
        self._vendor = VendorGate(self._sent, fixed_windows=fixed_windows)
        self._permits = Permits(concurrent, self._sent)
        self._minute = MinuteWindow(rpm, tpm) if rpm or tpm else None
        self._burst = BurstWindow(rpm) if fixed_windows else None
        self._ramp: Ramp | None = None
        self._set_gates()

    @property
    def in_flight(self) -> int:
        """Reservations that are neither settled nor given back."""
        return self._sent.in_flight

    @property
    def rpm(self) -> int | None:
        """The operator's requests a minute; None = no limit."""
        return None if self._minute is None else self._minute.rpm

    @property
    def tpm(self) -> int | None:
        """The operator's tokens a minute; None = no limit."""
        return None if self._minute is None else self._minute.tpm

    @property
    def concurrent(self) -> int | None:
        """The operator's calls at a time, for all instances together; None = no limit."""
        return self._permits.limit

    @property
    def permits(self) -> int | None:
        """This instance's part of the calls at a time; None = no limit."""
        return self._permits.here

    @property
    def fixed_windows(self) -> bool:
        """Whether the vendor refills all at once and also judges short windows."""
        return self._vendor.fixed_windows

    @property
    def counts_tokens(self) -> bool:
        """Whether the tokens of a call matter here."""
        minute = self._minute
        return (minute is not None and minute.tpm is not None) or self._vendor.tokens is not None

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """Requests and tokens a minute in force, the operator's or the vendor's, whichever is less.

        None = not known.
        """
        vendor_rpm, vendor_tpm = self.vendor_limits
        return _lesser(self.rpm, vendor_rpm), _lesser(self.tpm, vendor_tpm)

    @property
    def vendor_limits(self) -> tuple[float | None, float | None]:
        """Requests and tokens a minute, as the vendor reports them; None = not reported."""
        return _limit_of(self._vendor.requests), _limit_of(self._vendor.tokens)

    def left(self, now: float) -> tuple[float | None, float | None]:
        """Return the requests and tokens that may be sent now; None = no limit is known."""
        requests, tokens = self.vendor_left(now)
        sent_requests, sent_tokens = self.sent_in_last_minute(now)
        if self.rpm is not None:
            requests = _lesser(max(0, self.rpm - sent_requests), requests)
        if self.tpm is not None:
            tokens = _lesser(max(0, self.tpm - sent_tokens), tokens)
        return requests, tokens

    def vendor_left(self, now: float) -> tuple[float | None, float | None]:
        """Return what is left by the vendor's reports, which include what other clients sent."""
        return self._vendor.left(now)

    def sent_in_last_minute(self, now: float) -> tuple[int, int]:
        """Return the last minute of this process: requests and tokens; 0 if nothing counts."""
        minute = self._minute
        if minute is None:
            return 0, 0
        minute.advance(now)
        return minute.requests, minute.tokens

    def has_room(self, tokens: int, now: float) -> bool:
        """Return whether one request with this many tokens may be sent now."""
        sent, headroom = self._sent, self._headroom
        if sent.requests + 1 <= headroom.requests and sent.tokens + tokens <= headroom.tokens:
            permits = self._permits
            limit = permits.limit if self.quota is None else permits.here
            return limit is None or sent.in_flight < limit
        if self.wait_s(tokens, now) > 0.0:
            return False
        if self._burst is None and self.quota is None and self._ramp is None:
            requests_left, tokens_left = self.left(now)
            headroom.requests = inf if requests_left is None else sent.requests + requests_left
            headroom.tokens = inf if tokens_left is None else sent.tokens + tokens_left
        return True

    def has_plenty(self, tokens: int) -> bool:
        """Return whether the tokens of one such call do not matter, so much is left for certain."""
        certain = self._headroom.tokens - self._sent.tokens
        return not self.counts_tokens or certain > PLENTY_OF_CALLS * tokens

    def wait_s(self, tokens: int, now: float, requests: int = 1) -> float:
        """Return the seconds until this many requests with this many tokens in all may be sent."""
        longest_s = 0.0
        for gate in self._gates:
            wait_s = gate.wait_s(requests, tokens, now)
            longest_s = max(longest_s, wait_s)
        return longest_s

    def reserve(self, tokens: int, now: float) -> Reservation:
        """Set capacity aside for one request, whether there is room or not."""
        sent = self._sent
        sent.in_flight += 1
        sent.requests += 1
        sent.tokens += tokens
        for gate in self._counting:
            gate.reserve(tokens, now)
        return Reservation(tokens, now, sent.requests, sent.tokens)

    def settle(self, reservation: Reservation, used_tokens: int | None, now: float) -> None:
        """End an attempt. `used_tokens`: input and output as the vendor counted them.

        They correct the operator's limit only: a vendor's stays charged as it was on arrival, and
        its next header reports the rest.
        """
        if reservation.settled:
            return
        reservation.settled = True
        self._sent.in_flight -= 1
        minute = self._minute
        if minute is None or minute.tpm is None or used_tokens is None:
            return
        more = used_tokens - reservation.tokens
        if not more:
            return
        if more > 0:
            self._headroom.tokens -= more
        for gate in self._counting:
            gate.correct(more, reservation.sent_at, now)

    def note_used(self, tokens: int, at: float, now: float) -> None:
        """Count tokens (below 0: fewer) of a call under way, which used them at a moment."""
        if self._minute is not None and self._minute.tpm is not None:
            self._headroom.tokens -= max(0, tokens)
            for gate in self._counting:
                gate.correct(tokens, at, now)

    def give_back(self, reservation: Reservation, now: float) -> None:
        """End an attempt of which nothing was sent, so the vendor charged nothing.

        It stays in the sums of all that was reserved, which number the later reservations.
        """
        if reservation.settled:
            return
        reservation.settled = True
        self._sent.in_flight -= 1
        self._vendor.give_back(reservation.tokens)
        for gate in self._counting:
            gate.give_back(reservation.tokens, reservation.sent_at, now)

    def needs_headers(self, reservation: Reservation) -> bool:
        """Return whether the headers of a reservation's answer should be read.

        Reading them costs time, so while much is left they are read once in 5 ms.
        """
        return reservation.sent_at >= self._headroom.reread_at

    def learn(self, reservation: Reservation, reported: RateLimits) -> None:
        """Take over what the headers of a reservation's answer say of the vendor's limits."""
        headroom = self._headroom
        if reported.requests is not None:
            certain = reservation.sent_requests + reported.requests.remaining
            headroom.requests = min(headroom.requests, certain)
        if reported.tokens is not None:
            certain = reservation.sent_tokens + reported.tokens.remaining
            headroom.tokens = min(headroom.tokens, certain)
        if self._vendor.learn(reservation, reported):
            self._limits_changed()
        far = self._is_far_from_limits()
        headroom.reread_at = reservation.sent_at + REREAD_S if far else -inf

    def throttled(self, *, careful: bool = False) -> None:
        """Return carefully, if the vendor has throttled a call without reporting limits.

        `careful`: also if it has: the time that it stated was not believed.
        """
        if careful or self._vendor.requests is None:
            self._ramp = Ramp(self._sent)
            self._headroom.clear()
            self._set_gates()

    def forget_learned(self) -> None:
        """Forget what the vendor's answers said of its limits."""
        self._vendor.requests = self._vendor.tokens = self._ramp = None
        self._headroom.reread_at = -inf
        self._limits_changed()

    def answered(self) -> None:
        """Note that the vendor has answered a call."""
        if self._ramp is None:
            return
        self._ramp.answered()
        if self._ramp.is_over:
            self._ramp = None
            self._set_gates()

    def share(self, quota: SharedQuota | None) -> None:
        """Share the limits with other instances from now on; None: no longer."""
        self.quota = self._permits.quota = quota
        self._headroom.clear()
        if quota is not None:
            self._minute = self._minute or MinuteWindow()
        self._set_gates()

    def change_limits(
        self, key: str, *, rpm: int | None, tpm: int | None, concurrent: int | None
    ) -> None:
        """Set other limits of the operator. What was sent and learned until now still counts."""
        self.key = key
        self._permits.limit = concurrent
        if rpm or tpm or self.quota is not None:
            self._minute = self._minute or MinuteWindow()
            self._minute.rpm, self._minute.tpm = rpm, tpm
        else:
            self._minute = None
        self._limits_changed()

    def _limits_changed(self) -> None:
        self._headroom.clear()
        if self._burst is not None:
            self._burst = self._burst.resized(self.limits[0])
        self._set_gates()

    def _set_gates(self) -> None:
        """List the gates that may make a call wait, and those that count what is sent."""
        rpm, tpm = self.limits
        minute: CountingGate | None = self._minute
        if self._minute is not None and self.quota is not None:
            minute = self.quota.gate(self._minute, rpm, tpm)
        counting: tuple[CountingGate | None, ...] = (minute, self._burst, self._ramp)
        known: tuple[tuple[Gate | None, object], ...] = (
            (self._vendor, self._vendor.requests or self._vendor.tokens),
            (self._permits, self._permits.limit),
            (self._burst, rpm),
            (self._ramp, self._ramp),
            (minute, rpm is not None or tpm is not None),
        )
        self._counting = tuple(gate for gate in counting if gate is not None)
        self._gates = tuple(gate for gate, limit in known if gate is not None and limit)
        self.bounded = bool(self._gates)

    def _is_far_from_limits(self) -> bool:
        requests, tokens = self._vendor.requests, self._vendor.tokens
        if requests is None:
            return False
        headroom, sent = self._headroom, self._sent
        far = headroom.requests - sent.requests >= FAR_FROM_LIMIT * requests.limit
        if tokens is not None:
            far &= headroom.tokens - sent.tokens >= FAR_FROM_LIMIT * tokens.limit
        return far


def _limit_of(level: VendorLevel | None) -> float | None:
    return None if level is None else level.limit


def _lesser(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)

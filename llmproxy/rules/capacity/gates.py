"""What makes a call wait: the interface of every limit, and the three small limits.

| gate | limit | file |
|---|---|---|
| `MinuteWindow` | the operator's requests and tokens a minute | window.py |
| `VendorGate` | what the vendor reports in its headers | vendor.py |
| `BurstWindow` | short windows (Azure): 600 a minute are 10 in any second | here |
| `Permits` | calls at a time | here |
| `Ramp` | a careful return after a 429 without limits | here |
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from llmproxy.rules.capacity.window import MinuteWindow

MINUTE_S = 60.0
# A permit among `concurrent` calls is free when one of them ends. When that is cannot be known.
PERMIT_WAIT_S = 1.0
# Azure judges requests over windows of 1 to 10 s (docs/project/upstreams.md).
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 1.0, 10.0
# Requests that leave evenly may arrive a little closer together.
MARGIN = 0.015
# Until the limit is known, this many send times are kept: they count as soon as it is.
KEPT_SEND_TIMES = 1_000
# A vendor that throttles without reporting limits gets one call first, then two more for each
# answered call, until this many were answered. Then the gate is open again.
RAMP_ANSWERS = 32


class Gate(Protocol):
    """One reason why a call may have to wait. `now` and `sent_at`: seconds, monotonic clock."""

    def wait_s(self, requests: int, tokens: int, now: float) -> float:
        """Return the seconds until this many requests with this many tokens in all fit; 0 = now."""


class CountingGate(Gate, Protocol):
    """A gate that counts for itself what is sent. The others compare with `Sent`."""

    def reserve(self, tokens: int, now: float) -> None:
        """Count one request that is about to be sent."""

    def correct(self, tokens: int, sent_at: float, now: float) -> None:
        """Count the tokens that a sent request used beyond its reservation (below 0: fewer)."""

    def give_back(self, tokens: int, sent_at: float, now: float) -> None:
        """Uncount a request that was never sent."""


class SharedQuota(CountingGate, Protocol):
    """A limit that several instances share: what this one may send of it (shared_state/quota).

    `share`: None = connected, so `wait_s` decides; a number = the view of the other instances is
    lost, so keep to this part of the limits. `instances`: how many share, this one included.
    """

    share: float | None
    instances: int

    def gate(self, window: MinuteWindow, rpm: float | None, tpm: float | None) -> CountingGate:
        """Set the limits that all instances share (None = not known), and return their gate.

        It counts in the window of this instance, too.
        """

    def note_waiting(self, tokens: float) -> None:
        """Ask the other instances for this much: a call waits for it."""


class Sent:
    """All that was ever reserved, never reduced, and the calls in flight. Owned by a Capacity."""

    __slots__ = ("in_flight", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = 0
        self.in_flight = 0


class Permits:
    """At most `limit` calls at a time; None = no limit.

    With a shared quota each instance has an even part, but at least one: 10 permits on 4 instances
    are 2 each. A permit is not leased like tokens, since a call needs it for an unknown time.
    """

    __slots__ = ("limit", "quota", "sent")

    def __init__(self, limit: int | None, sent: Sent) -> None:
        self.limit = limit
        self.sent = sent
        self.quota: SharedQuota | None = None

    @property
    def here(self) -> int | None:
        """The permits of this instance; None = no limit."""
        if self.limit is None or self.quota is None:
            return self.limit
        return max(1, self.limit // self.quota.instances)

    def wait_s(self, requests: int, tokens: int, now: float) -> float:
        """See `Gate`."""
        here = self.here
        return 0.0 if here is None or self.sent.in_flight + requests <= here else PERMIT_WAIT_S


class BurstWindow:
    """No window of 1 to 10 s, wherever it begins, holds more than its part of a minute's requests.

    For Azure, which judges short windows. Where they begin is unknown, so all are kept. Of 600
    requests a minute, 10 may be sent in any second; of 6 a minute, 1 in any 10 s.
    """

    __slots__ = ("_sent_at", "_window_s", "allowed", "rpm")

    def __init__(self, rpm: float | None) -> None:
        """`rpm`: None = not known yet. Nothing has to wait then."""
        self.rpm = rpm
        window_s = 0.0
        self.allowed = KEPT_SEND_TIMES
        if rpm:
            window_s = min(LONGEST_WINDOW_S, max(SHORTEST_WINDOW_S, MINUTE_S / rpm))
            self.allowed = max(1, int(rpm * window_s / MINUTE_S))
        self._window_s = window_s * (1.0 + MARGIN)
        self._sent_at: deque[float] = deque(maxlen=self.allowed)

    def resized(self, rpm: float | None) -> BurstWindow:
        """Return a window for another limit that remembers the same requests."""
        other = BurstWindow(rpm)
        other._sent_at.extend(self._sent_at)
        return other

    def wait_s(self, requests: int, tokens: int, now: float) -> float:
        """See `Gate`."""
        sent_at = self._sent_at
        rounds, position = divmod(requests - 1, self.allowed)
        full = position - (self.allowed - len(sent_at))
        if full >= 0:
            return max(0.0, sent_at[full] + self._window_s * (1 + rounds) - now)
        return self._window_s * rounds

    def reserve(self, tokens: int, now: float) -> None:
        """See `CountingGate`."""
        self._sent_at.append(now)

    def correct(self, tokens: int, sent_at: float, now: float) -> None:
        """Do nothing: only requests count."""

    def give_back(self, tokens: int, sent_at: float, now: float) -> None:
        """Do nothing: the request may count for the few seconds of the window."""


class Ramp:
    """A careful return after a vendor has throttled without reporting its limits.

    One call is allowed, and for each answered call two more, so that waiting calls do not rush in
    all at once. If no call is in flight, one is always allowed: a lost probe must not close it.
    """

    __slots__ = ("allowed", "answers", "sent")

    def __init__(self, sent: Sent) -> None:
        self.sent = sent
        self.allowed = 1
        self.answers = 0

    @property
    def is_over(self) -> bool:
        """Whether the vendor has answered often enough."""
        return self.answers >= RAMP_ANSWERS

    def answered(self) -> None:
        """Allow two more calls: the vendor has answered one."""
        self.answers += 1
        self.allowed += 2

    def wait_s(self, requests: int, tokens: int, now: float) -> float:
        """See `Gate`."""
        return PERMIT_WAIT_S if self.allowed < requests and self.sent.in_flight else 0.0

    def reserve(self, tokens: int, now: float) -> None:
        """See `CountingGate`."""
        self.allowed -= 1

    def correct(self, tokens: int, sent_at: float, now: float) -> None:
        """Do nothing: only requests count."""

    def give_back(self, tokens: int, sent_at: float, now: float) -> None:
        """Do nothing: a call that was not sent says nothing about the vendor."""

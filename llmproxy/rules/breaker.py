"""The circuit breaker: whether an endpoint that failed may be tried again.

Fed by an endpoint's failures only, never by a 429 or by a client's own mistakes. `now` is in
seconds on a monotonic clock, `draw` a random number in [0, 1).
"""

from __future__ import annotations

from enum import StrEnum

WINDOW_BUCKETS = 3
BUCKET_S = 10.0  # three of them make the window of 30 s
MIN_CALLS = 10  # below this many in the window its success rate says nothing
MIN_SUCCESS = 0.5
MAX_OPEN_S = 300.0  # the cap of a 429's cooldown, too: an endpoint is asked every five minutes
JITTER = 0.1  # +-10 %, so that instances do not probe in step
SLOW_START_S = 10.0
FIRST_SHARE = 0.1
# A probe that reports nothing for this long no longer keeps another from beginning.
PROBE_LEASE_S = 600.0
SHORTEST_S = 0.001  # of a probe that has just begun


# The states
#
#   CLOSED      Every attempt may begin. Too many failures open it.
#   OPEN        No attempt may begin, until its time is over.
#   HALF_OPEN   One attempt at a time may begin: the probe. Its success closes the breaker, its
#               failure opens it for longer.
#
# Nothing happens at the moment in which OPEN becomes HALF_OPEN: `state` asks the clock. After
# closing, the endpoint's share grows slowly.


class BreakerState(StrEnum):
    """What the breaker is now."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class SuccessWindow:
    """Successes and failures of about the last 30 seconds, in buckets of 10. Mutable."""

    __slots__ = ("bad", "ends_at", "failures_in_a_row", "good", "older")

    def __init__(self) -> None:
        self.reset(0.0)

    def reset(self, ends_at: float) -> None:
        """Forget everything. `ends_at`: the end of the current bucket."""
        self.failures_in_a_row = self.good = self.bad = 0
        self.older: list[tuple[int, int]] = []  # the buckets before the current one, newest first
        self.ends_at = ends_at

    def turn(self, now: float) -> None:
        """Begin a new bucket; the current one must be over."""
        passed = int((now - self.ends_at) // BUCKET_S) + 1
        if passed >= WINDOW_BUCKETS:
            self.older = []
            self.ends_at = now + BUCKET_S
        else:
            empty = [(0, 0)] * (passed - 1)
            self.older = [*empty, (self.good, self.bad), *self.older][: WINDOW_BUCKETS - 1]
            self.ends_at += passed * BUCKET_S
        self.good = self.bad = 0

    def fail(self, now: float) -> None:
        """Count a failure."""
        if now >= self.ends_at:
            self.turn(now)
        self.bad += 1
        self.failures_in_a_row += 1

    @property
    def mostly_fails(self) -> bool:
        """Whether there were enough calls, and less than half of them succeeded."""
        good = self.good + sum(good for good, _ in self.older)
        bad = self.bad + sum(bad for _, bad in self.older)
        return good + bad >= MIN_CALLS and good < MIN_SUCCESS * (good + bad)


class Breaker:
    """One endpoint's breaker. Mutable; owned by the endpoint's state.

    `begin` returns a ticket that `succeed`, `fail` or `forget` take. Each attempt reports once (and
    may report `fail` after `succeed`, when its stream broke later). A ticket from before the last
    change of state is stale, and its report changes nothing: 50 calls that were under way when an
    endpoint died report 50 failures; the first one opens the breaker, the others must neither
    lengthen that nor end it.
    """

    __slots__ = (
        "_closed_at",
        "_open_until",
        "_opened_for_s",
        "_probe_is_early",
        "_probe_until",
        "_ramp_from",
        "_ticket",
        "_window",
        "allowed_fails",
        "closed",
        "open_s",
        "reopenings",
    )

    def __init__(self, *, allowed_fails: int, open_s: float) -> None:
        """`allowed_fails`: consecutive failures that open it. `open_s`: for how long at first.

        `closed`: whether every attempt may begin. `reopenings`: how often it has opened since it
        last stayed closed for long.
        """
        self.allowed_fails = allowed_fails
        self.open_s = open_s
        self.closed = True
        self._ticket = 0  # the only one whose report counts
        self._window = SuccessWindow()
        self._open_until = 0.0
        self._opened_for_s = 0.0
        self._closed_at = 0.0
        self._probe_until: float | None = None  # None: no probe is under way
        self._probe_is_early = False
        self._ramp_from: float | None = None  # None: the share is full
        self.reopenings = 0

    def admits(self, now: float) -> bool:
        """Return whether an attempt may begin. Changes nothing."""
        return self.closed or (
            now >= self._open_until and (self._probe_until is None or now >= self._probe_until)
        )

    def begin(self, now: float) -> int:
        """Begin an attempt; returns its ticket.

        When not closed, it becomes the probe if no probe is under way, even before the time: with
        every endpoint out, one may be tried early. An attempt beside a probe gets a ticket whose
        report changes nothing.
        """
        if self.closed:
            return self._ticket
        if self._probe_until is not None and now < self._probe_until:
            return -1
        self._probe_until = now + PROBE_LEASE_S
        self._probe_is_early = now < self._open_until
        self._ticket += 1
        return self._ticket

    def succeed(self, now: float, ticket: int) -> bool:
        """Count a success; returns whether it closed the breaker.

        Only a probe's success does; the slow start begins with it.
        """
        if ticket != self._ticket:
            return False
        if self.closed:
            window = self._window
            window.failures_in_a_row = 0
            if now >= window.ends_at:
                window.turn(now)
            window.good += 1
            return False
        self._close(now)  # only the probe holds the current ticket
        return True

    def fail(self, now: float, ticket: int, draw: float) -> None:
        """Count a failure. It may open the breaker; a probe's failure opens it for longer.

        The failure of a probe that was sent before the time changes nothing.
        """
        if ticket != self._ticket:
            return
        if not self.closed:
            if self._probe_is_early:  # tried for want of another endpoint: nothing new is known
                self.forget(now, ticket)
            else:
                self._open(now, draw)
            return
        self._window.fail(now)
        if self._window.failures_in_a_row >= self.allowed_fails or self._window.mostly_fails:
            self._open(now, draw)

    def forget(self, now: float, ticket: int) -> None:  # noqa: ARG002 - as the other two
        """End an attempt that says nothing about the endpoint: the client left, a 400, a 429."""
        if ticket == self._ticket and not self.closed:
            self._probe_until = None
            self._ticket += 1  # a later report of this probe is stale

    def slow_down(self, now: float) -> None:
        """Let the share grow from the beginning again: the vendor says traffic grew too fast.

        `now` may lie ahead, at the end of a cooldown.
        """
        self._ramp_from = now

    def open_elsewhere(self, now: float, for_s: float) -> None:
        """Open because another instance found the endpoint failing, for as long as it does."""
        if self._open_until < now + for_s:
            self.closed = False
            self._open_until = now + for_s
            self._opened_for_s = for_s
            self._probe_until = None
            self._ticket += 1

    def close_elsewhere(self, now: float) -> None:
        """Close because another instance's probe succeeded."""
        if not self.closed:
            self._close(now)

    def close_on_trial(self, now: float) -> None:
        """Close because the endpoint is seen to answer: the first failed call opens it again."""
        if not self.closed:
            self._close(now)
            self._window.failures_in_a_row = self.allowed_fails - 1

    def share(self, now: float) -> float:
        """Return the part of its weight that the endpoint should get now, in (0, 1]."""
        if self._ramp_from is None:
            return 1.0
        grown = (now - self._ramp_from) / SLOW_START_S
        if grown >= 1.0:
            self._ramp_from = None
            return 1.0
        return max(FIRST_SHARE, FIRST_SHARE + (1.0 - FIRST_SHARE) * grown)

    def state(self, now: float) -> BreakerState:
        """Return closed, open or half-open. Changes nothing."""
        if self.closed:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def opens_until(self, now: float) -> float:
        """Return until when it is open; `now` if it is not."""
        return now if self.closed else max(now, self._open_until)

    def probed_for_s(self, now: float) -> float:
        """Return how long a probe has been under way; 0.0 if none is."""
        if self.closed or self._probe_until is None or now >= self._probe_until:
            return 0.0
        return max(SHORTEST_S, now - (self._probe_until - PROBE_LEASE_S))

    def _open(self, now: float, draw: float) -> None:
        """Open for twice as long as last time, unless it stayed closed for longer than that."""
        if self.closed and now - self._closed_at > self._opened_for_s:
            self.reopenings = 0
        longest_s = max(self.open_s, MAX_OPEN_S)
        wait_s = min(self.open_s * 2.0 ** min(self.reopenings, 30), longest_s)
        self._opened_for_s = wait_s * (1.0 - JITTER + 2.0 * JITTER * draw)
        self._open_until = now + self._opened_for_s
        self.reopenings += 1
        self.closed = False
        self._probe_until = None
        self._ticket += 1

    def _close(self, now: float) -> None:
        self.closed = True
        self._closed_at = now
        self._ramp_from = now
        self._probe_until = None
        self._ticket += 1
        self._window.reset(now + BUCKET_S)

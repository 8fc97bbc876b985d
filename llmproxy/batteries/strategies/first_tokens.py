"""The time that an endpoint takes to its first token, and the checkout that measures it.

The average is that of Finagle and Linkerd, "peak EWMA": a slow answer counts at once and in full;
faster ones bring the average down again with time.
"""

from __future__ import annotations

from math import exp, inf

from llmproxy.routing import Checkout, EndpointState
from llmproxy.rules.capacity import Reservation

DECAY_S = 10.0  # in this time an old average loses 63 % of its weight


class FirstTokens:
    """The moving average of the times to an endpoint's first token, in seconds. Mutable.

    It makes the endpoint's checkouts, and learns from them. `is_known`: it has answered.
    `average_s`: after its last answer, whenever that was. `_silent_since`: since when attempts
    wait and none of them has been answered.
    """

    __slots__ = ("_at", "_silent_since", "_waiting", "average_s", "is_known")

    def __init__(self) -> None:
        self.is_known = False
        self.average_s = 0.0
        self._at = -inf
        self._waiting = 0
        self._silent_since = 0.0

    def __call__(
        self, state: EndpointState, ticket: int, reservation: Reservation, now: float
    ) -> TimedCheckout:
        """Make a checkout for an attempt that begins now."""
        self.begin(now)
        return TimedCheckout(state, ticket, reservation, now, self)

    def begin(self, now: float) -> None:
        """Count an attempt that waits for its first token."""
        if not self._waiting:
            self._silent_since = now
        self._waiting += 1

    def answered(self, took_s: float, now: float) -> None:
        """Learn from the first token of an attempt."""
        self._waiting -= 1
        self._silent_since = now
        slower_s = max(0.0, self.average_s - took_s)  # 0 at a peak, which counts in full
        self.average_s = took_s + slower_s * self._weight(now)
        self._at = now
        self.is_known = True

    def gave_up(self, waited_s: float, now: float) -> None:
        """Learn from an attempt that ended without a token: it would have taken longer."""
        self._waiting -= 1
        if waited_s > self.average_s:
            self.average_s, self._at = waited_s, now

    def expected_s(self, now: float, best_s: float) -> float:
        """Return how long the next call may wait for its first token.

        An old average comes close to `best_s`, that of the fastest endpoint. While this one is
        silent, the next call waits at least as long as it has been.
        """
        slower_s = max(0.0, self.average_s - best_s)
        expected_s = best_s + slower_s * self._weight(now)
        return max(expected_s, now - self._silent_since) if self._waiting else expected_s

    def _weight(self, now: float) -> float:
        return exp((self._at - now) / DECAY_S)


class TimedCheckout(Checkout, eq=False):
    """A checkout that measures the time to the first token. `_waits_at`: None once it has."""

    _waits_at: FirstTokens | None

    def answered(self, now: float) -> bool:
        """Count an accepted attempt; returns whether the endpoint is back from a failure."""
        if self._waits_at is not None:
            self._waits_at.answered(now - self.began_at, now)
            self._waits_at = None
        return Checkout.answered(self, now)

    def end(self, now: float, *, used_tokens: int | None = None, sent: bool = True) -> None:
        """The attempt is over. `sent`: the endpoint may have charged it."""
        if self._waits_at is not None:
            self._waits_at.gave_up(now - self.began_at, now)
        Checkout.end(self, now, used_tokens=used_tokens, sent=sent)

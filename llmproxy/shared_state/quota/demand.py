"""Demand: how much to ask for, from what was dispatched lately and from the calls that wait."""

from __future__ import annotations

from math import ceil, inf

AHEAD_S = 0.1  # so much traffic is leased ahead
MEMORY_S = 0.25  # of the traffic's rate
# A unit leased ahead lives for half a second at most: below this rate many would be returned. It
# is also what a single call looks like, after which nothing is known of a next one.
SLOWEST_PER_S = 1.0 / MEMORY_S
PATIENCE_S = 0.3  # a call that waits says so again within this time, or has gone elsewhere
MEAN_WEIGHT = 0.3  # of the newest calls in the mean size of a call


class DemandForecast:
    """Mutable; owned by a Lease. `waiting_*` is what the calls that wait need, and `first_tokens`
    the tokens of the first of them."""

    __slots__ = (
        "_call_tokens",
        "_heard",
        "_heard_at",
        "_looked_for",
        "_measured_at",
        "_rate",
        "_requests",
        "_token_rate",
        "_tokens",
        "first_tokens",
        "waiting_requests",
        "waiting_tokens",
    )

    def __init__(self) -> None:
        self.waiting_requests = 0
        self.waiting_tokens = 0.0
        self.first_tokens = 0.0
        self._heard = False  # of a call that waits, since the last look
        self._heard_at = 0.0
        self._looked_for = inf  # the least that a call found missing; infinite: none did
        self._measured_at = 0.0
        self._requests = 0
        self._tokens = 0.0
        self._rate = 0.0  # per second
        self._token_rate = 0.0
        self._call_tokens = 0.0

    def look(self, tokens: float) -> bool:
        """A call found too little here and may have gone elsewhere; returns whether that is news.

        Without a unit of each endpoint in stock, all calls would go to where some are. The least
        counts: some look for a whole line at once.
        """
        first = self._looked_for == inf
        self._looked_for = min(self._looked_for, tokens)
        return first

    def miss(self, tokens: float) -> None:
        """A call waits for this. It is told at every look at the line, so what was told before the
        last ask does not count twice."""
        if not self._heard:
            self._heard = True
            self.waiting_requests, self.waiting_tokens = 0, 0.0
            self.first_tokens = tokens
        self.waiting_requests += 1
        self.waiting_tokens += tokens

    def measure(self, requests: int, tokens: float, now: float) -> None:
        """Before an ask. `requests`, `tokens`: all that was ever dispatched."""
        new_requests, new_tokens = requests - self._requests, tokens - self._tokens
        elapsed_s = now - self._measured_at
        self._requests, self._tokens, self._measured_at = requests, tokens, now
        self._rate += (new_requests - self._rate * elapsed_s) / (elapsed_s + MEMORY_S)
        self._token_rate += (new_tokens - self._token_rate * elapsed_s) / (elapsed_s + MEMORY_S)
        if new_requests:
            self._call_tokens += (new_tokens / new_requests - self._call_tokens) * MEAN_WEIGHT
        if self._heard:
            self._heard, self._heard_at = False, now
        elif now - self._heard_at > PATIENCE_S:
            self._nobody_waits()

    def met(self) -> None:
        """What was asked for has been granted."""
        if not self._heard:
            self._nobody_waits()

    @property
    def looked_for(self) -> bool:
        """A call found too little since the last ask."""
        return self._looked_for < inf

    @property
    def one_call(self) -> int:
        """The tokens of the call that found too little, or of one that is usual here."""
        return ceil(self._looked_for if self.looked_for else self._call_tokens)

    @property
    def ahead(self) -> tuple[int, int]:
        """Requests and tokens that will probably be needed before the next ask."""
        if self._rate < SLOWEST_PER_S:
            return (1, self.one_call) if self.looked_for else (0, 0)
        tokens = max(self.one_call, self._token_rate * AHEAD_S)
        return ceil(self._rate * AHEAD_S), ceil(tokens)

    def answer_looks(self) -> None:
        """What was looked for is there, or is being asked for."""
        self._looked_for = inf

    def _nobody_waits(self) -> None:
        self.waiting_requests, self.waiting_tokens, self.first_tokens = 0, 0.0, 0.0

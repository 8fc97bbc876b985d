"""How much to request: what recent traffic will need next, and what waiting calls need now.

Example: 500 calls a second of 40 tokens. A tenth of a second ahead is 50 requests and 2,000 tokens.
"""

from __future__ import annotations

from math import ceil, inf

AHEAD_S = 0.1  # the traffic of this time is requested ahead
MEMORY_S = 0.25  # time constant of the measured rate
# Below this rate nothing is requested ahead: what is granted expires within half a second, so most
# of it would be given back. A lone call has this rate, too, and says nothing of a next one.
SLOWEST_PER_S = 1.0 / MEMORY_S
WAITING_S = 0.3  # a call that still waits is noted again within this time
CALL_WEIGHT = 0.3  # of the newest calls in the mean size of a call


class DemandForecast:
    """Mutable; owned by a Lease.

    `waiting_*`: what all waiting calls need; `first_tokens`: the tokens of the first of them.
    """

    __slots__ = (
        "_call_tokens",
        "_measured_at",
        "_noted",
        "_noted_at",
        "_rate",
        "_requests",
        "_shortage",
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
        self._noted = False  # a waiting call was noted since the last measurement
        self._noted_at = 0.0
        self._shortage = inf  # the smallest call that found too little; infinite: none did
        self._measured_at = 0.0
        self._requests = 0
        self._tokens = 0.0
        self._rate = 0.0  # requests per second
        self._token_rate = 0.0
        self._call_tokens = 0.0

    def note_shortage(self, tokens: float) -> bool:
        """Note that a call found too little; returns whether it is the first since a request.

        The call may have gone to another endpoint. Without something granted for each endpoint, all
        calls would go to the few that have some. The smallest call counts, because some callers ask
        for a whole line of calls at once.
        """
        is_first = self._shortage == inf
        self._shortage = min(self._shortage, tokens)
        return is_first

    def note_waiting(self, tokens: float) -> None:
        """Note a call that waits.

        Each check of the wait queue notes all waiting calls again, so the first note after a
        measurement replaces the earlier ones.
        """
        if not self._noted:
            self._noted = True
            self.waiting_requests, self.waiting_tokens = 0, 0.0
            self.first_tokens = tokens
        self.waiting_requests += 1
        self.waiting_tokens += tokens

    def measure(self, requests: int, tokens: float, now: float) -> None:
        """Update the rates. `requests`, `tokens`: all that was ever dispatched."""
        new_requests, new_tokens = requests - self._requests, tokens - self._tokens
        elapsed_s = now - self._measured_at
        self._requests, self._tokens, self._measured_at = requests, tokens, now
        self._rate += (new_requests - self._rate * elapsed_s) / (elapsed_s + MEMORY_S)
        self._token_rate += (new_tokens - self._token_rate * elapsed_s) / (elapsed_s + MEMORY_S)
        if new_requests:
            self._call_tokens += (new_tokens / new_requests - self._call_tokens) * CALL_WEIGHT
        if self._noted:
            self._noted, self._noted_at = False, now
        elif now - self._noted_at > WAITING_S:
            self._forget_waiting()

    def granted(self) -> None:
        """Forget the waiting calls, unless some were noted after the request."""
        if not self._noted:
            self._forget_waiting()

    @property
    def has_shortage(self) -> bool:
        """Whether a call found too little since the last request."""
        return self._shortage < inf

    @property
    def call_tokens(self) -> int:
        """The tokens of the call that found too little, or of a usual call."""
        return ceil(self._shortage if self.has_shortage else self._call_tokens)

    @property
    def ahead(self) -> tuple[int, int]:
        """Requests and tokens that will probably be needed before the next request."""
        if self._rate < SLOWEST_PER_S:
            return (1, self.call_tokens) if self.has_shortage else (0, 0)
        tokens = max(self.call_tokens, self._token_rate * AHEAD_S)
        return ceil(self._rate * AHEAD_S), ceil(tokens)

    def end_shortage(self) -> None:
        """Forget the shortage: enough is there, or is being requested."""
        self._shortage = inf

    def _forget_waiting(self) -> None:
        self.waiting_requests, self.waiting_tokens, self.first_tokens = 0, 0.0, 0.0

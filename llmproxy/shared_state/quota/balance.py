"""Units: what was granted and is not dispatched yet. It is young for a slot, then old for one."""

from __future__ import annotations

from math import inf


class Balance:
    """Mutable; owned by a Lease. A dimension without a limit has an infinite stock.

    The old ones are dispatched first, so what is older is what exceeds the young ones.
    """

    __slots__ = ("_young_requests", "_young_tokens", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = inf
        self.tokens = inf
        self._young_requests = 0
        self._young_tokens = 0

    def count(self, *, requests: bool, tokens: bool) -> None:
        """Which dimensions have a limit. One that gets its first starts with nothing."""
        if requests != (self.requests < inf):
            self.requests, self._young_requests = (0.0 if requests else inf), 0
        if tokens != (self.tokens < inf):
            self.tokens, self._young_tokens = (0.0 if tokens else inf), 0

    def add(self, requests: int, tokens: int, *, young: bool) -> None:
        """They were granted."""
        self.requests += requests
        self.tokens += tokens
        if young:
            self._young_requests += requests
            self._young_tokens += tokens

    def grow_older(self) -> tuple[int, int]:
        """A slot is over: the young become old; returns the old ones, which nobody may use now."""
        requests = _above(self.requests, self._young_requests)
        tokens = _above(self.tokens, self._young_tokens)
        self.requests -= requests
        self.tokens -= tokens
        self._young_requests = self._young_tokens = 0
        return requests, tokens

    def clear(self) -> None:
        """Whoever granted them knows them no more."""
        self.count(requests=False, tokens=False)

    @property
    def left_over(self) -> bool:
        """There is something that must be returned if nobody uses it."""
        return 0 < self.requests < inf or 0 < self.tokens < inf


def _above(units: float, young: int) -> int:
    return 0 if units == inf else max(0, int(units) - young)

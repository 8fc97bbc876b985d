"""What a lease holds: the limits that are shared, and what was granted of them and is unused."""

from __future__ import annotations

from math import ceil, inf

from llmproxy.batteries.shared_state.quota.messages import SLOT_S, BurstLimit

# An instance may dispatch this part of the limit before it is granted; all instances together.
OVERDRAFT = 0.02
MINUTE_S = 60.0
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 1.0, 10.0  # of the windows by which Azure judges requests


class SharedLimits:
    """The limits that all instances share, and this instance's part of the overdraft.

    `rpm`, `tpm`: None = not known. `smooth`: the vendor also judges short windows (Azure).
    Example: 2 % of 600 requests are 12 on credit for all; with 4 instances, 3 for each.
    """

    __slots__ = ("overdraft_requests", "overdraft_tokens", "rpm", "smooth", "tpm")

    def __init__(self, *, smooth: bool) -> None:
        self.smooth = smooth
        self.rpm: int | None = None
        self.tpm: int | None = None
        self.overdraft_requests = 0
        self.overdraft_tokens = 0

    def set(self, rpm: float | None, tpm: float | None, instances: int) -> None:
        """Set the limits and the number of instances."""
        self.rpm = None if rpm is None else int(rpm)
        self.tpm = None if tpm is None else int(tpm)
        part = OVERDRAFT / instances
        self.overdraft_requests = 0 if self.rpm is None else int(self.rpm * part)
        self.overdraft_tokens = 0 if self.tpm is None else int(self.tpm * part)

    @property
    def known(self) -> bool:
        """Whether there is any limit."""
        return self.rpm is not None or self.tpm is not None

    def burst(self) -> BurstLimit | None:
        """Return the limit of short windows: 600 requests a minute are 12 in 1.25 s."""
        if not self.smooth or not self.rpm:
            return None
        window_s = min(LONGEST_WINDOW_S, max(SHORTEST_WINDOW_S, MINUTE_S / self.rpm))
        slots = ceil(window_s / SLOT_S) + 1
        return BurstLimit(max(1, int(self.rpm * slots * SLOT_S / MINUTE_S)), slots)


class Balance:
    """What was granted and is not dispatched yet. A dimension without a limit is infinite.

    What was requested in the current slot is new; what was requested in the slot before is old,
    and is dispatched first. When a slot ends, the old is given up and the new becomes old.
    """

    __slots__ = ("_new_requests", "_new_tokens", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = inf
        self.tokens = inf
        self._new_requests = 0
        self._new_tokens = 0

    def set_limited(self, *, requests: bool, tokens: bool) -> None:
        """Say which dimensions have a limit. One that gets its first limit starts with nothing."""
        if requests != (self.requests < inf):
            self.requests, self._new_requests = (0.0 if requests else inf), 0
        if tokens != (self.tokens < inf):
            self.tokens, self._new_tokens = (0.0 if tokens else inf), 0

    def add(self, requests: int, tokens: int, *, is_new: bool) -> None:
        """Add what was granted."""
        self.requests += requests
        self.tokens += tokens
        if is_new:
            self._new_requests += requests
            self._new_tokens += tokens

    def end_slot(self) -> tuple[int, int]:
        """Make the new old; returns the requests and tokens that expire."""
        requests = _above(self.requests, self._new_requests)
        tokens = _above(self.tokens, self._new_tokens)
        self.requests -= requests
        self.tokens -= tokens
        self._new_requests = self._new_tokens = 0
        return requests, tokens

    def clear(self) -> None:
        """Drop everything: the window that granted it is gone."""
        self.set_limited(requests=False, tokens=False)

    @property
    def has_unused(self) -> bool:
        """Whether something must be given back if it is not dispatched."""
        return 0 < self.requests < inf or 0 < self.tokens < inf


def _above(amount: float, new: int) -> int:
    return 0 if amount == inf else max(0, int(amount) - new)

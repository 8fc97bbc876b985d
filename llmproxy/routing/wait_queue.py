"""The queue in front of a group whose endpoints are all full: which calls wait, in which order.

First come, first served within a priority; a higher priority comes before a lower one.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

from llmproxy.routing.tier import CallDemand


class WaitQueue:
    """Mutable; owned by the group.

    `waiters`: in the order in which they are served, for reading only. `tokens`: what all of them
    need. `restricted`: how many of them exclude an endpoint.
    """

    __slots__ = ("restricted", "tokens", "waiters")

    def __init__(self) -> None:
        self.waiters: list[CallDemand] = []
        self.tokens = 0
        self.restricted = 0

    def __len__(self) -> int:
        return len(self.waiters)

    def __iter__(self) -> Iterator[CallDemand]:
        """Iterate over a copy: the queue may change meanwhile."""
        return iter(self.waiters[:])

    @property
    def first(self) -> CallDemand:
        """The waiter that is served next; the queue must not be empty."""
        return self.waiters[0]

    def join(self, waiter: CallDemand) -> None:
        """Add a waiter behind all of the same priority or a higher one."""
        insort(self.waiters, waiter, key=_order)
        self.tokens += waiter.tokens
        self.restricted += waiter.restricted

    def leave(self, waiter: CallDemand) -> None:
        """Remove a waiter that was served or timed out."""
        self.waiters.remove(waiter)
        self.tokens -= waiter.tokens
        self.restricted -= waiter.restricted

    def position(self, priority: int) -> tuple[int, int]:
        """Return how many waiters a newcomer would be behind, and the tokens that they need."""
        if not self.waiters or self.waiters[-1].priority >= priority:
            return len(self.waiters), self.tokens
        ahead = [waiter for waiter in self.waiters if waiter.priority >= priority]
        return len(ahead), sum(waiter.tokens for waiter in ahead)


def _order(waiter: CallDemand) -> int:
    return -waiter.priority

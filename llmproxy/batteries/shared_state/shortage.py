"""Reports what waiting calls need, in case other instances can spare it."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from llmproxy.routing import Group

# At most this many waiting calls are reported: the other instances grant in small lots.
MAX_REPORTED = 100


class Shortages:
    """Reports what the waiting calls of each group need, each time that its queue is checked.

    Each call's need is reported for one endpoint at a time, and for the next one at the next check:
    capacity that is granted twice and used once is lost to all instances.
    """

    def __init__(self) -> None:
        self._looks: Counter[str] = Counter()

    def report(self, group: Group, now: float) -> None:
        """Report it for the cheapest tier that shares limits and has a healthy endpoint."""
        for tier in group.tiers:
            sharing = [
                (state, quota)
                for state in tier.states
                if (quota := state.capacity.quota) is not None and state.available(now)
            ]
            if not sharing:
                continue
            self._looks[group.name] = looks = self._looks[group.name] + 1
            for number, demand in enumerate(islice(group.queue, MAX_REPORTED), looks):
                state, quota = sharing[number % len(sharing)]
                quota.note_waiting(demand.tokens_at(state))
            return

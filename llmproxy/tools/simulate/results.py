"""What came of a simulation, counted while it runs. Decides nothing."""

from __future__ import annotations

from array import array
from collections import Counter

import msgspec

from llmproxy.config import Price
from llmproxy.operations import Usage
from llmproxy.rules.prices import cost_usd
from llmproxy.tools.simulate.traffic import Arrival
from llmproxy.tools.simulate.vendors import SLOT_S, Account

BINS = 160  # of the timeline
MINUTE_SLOTS = int(60 / SLOT_S)


class EndpointCount(msgspec.Struct):
    """One endpoint's. `tier` counts from 0, as the group orders them. `served_at`: by bins."""

    group: str
    name: str
    tier: int
    account: Account
    price: Price | None
    served: int = 0
    refused: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    served_at: list[int] = []

    @property
    def cost_usd(self) -> float | None:
        """What its answers cost; None if its price is not known."""
        if self.price is None:
            return None
        return cost_usd(self.price, Usage(self.input_tokens, self.output_tokens, 0))


class SharedWork(msgspec.Struct):
    """What a shared view had to do."""

    instances: int = 1
    round_trips: int = 0
    asks: int = 0
    grants: int = 0


class Results:
    """Mutable; owned by one simulation. `seconds`: for how long calls arrived. `waits_s`: of the
    calls that waited, in line and between attempts."""

    __slots__ = (
        "bin_s",
        "calls",
        "client_errors",
        "endpoints",
        "notes",
        "refused_at",
        "seconds",
        "shared",
        "waits_s",
        "worst_wait_at",
    )

    def __init__(self, seconds: float, notes: tuple[str, ...] = ()) -> None:
        self.seconds = seconds
        self.bin_s = max(seconds, 1e-9) / BINS
        self.notes = notes
        self.calls = 0
        self.endpoints: list[EndpointCount] = []
        self.client_errors: Counter[int] = Counter()  # by status
        self.waits_s = array("d")
        self.refused_at = [0] * BINS
        self.worst_wait_at = [0.0] * BINS
        self.shared = SharedWork()

    @property
    def served(self) -> int:
        """Calls that got their answer."""
        return sum(each.served for each in self.endpoints)

    @property
    def client_429(self) -> int:
        """Calls that were told to come back later."""
        return self.client_errors[429]

    @property
    def client_5xx(self) -> int:
        """Calls that failed otherwise."""
        return sum(count for status, count in self.client_errors.items() if status >= 500)

    @property
    def upstream_429(self) -> int:
        """Attempts that a vendor refused for their rate."""
        return sum(each.refused for each in self.endpoints)

    def bin_of(self, at_s: float) -> int:
        """Where a moment stands in the timeline; what happens after the last arrival is in the
        last bin."""
        return min(BINS - 1, int(at_s / self.bin_s))

    def answered(
        self, count: EndpointCount, arrival: Arrival, waited_s: float, at_s: float
    ) -> None:
        """A call was served. `at_s`: when its accepted attempt began."""
        count.served += 1
        count.input_tokens += arrival.input_tokens
        count.output_tokens += arrival.output_tokens
        count.served_at[self.bin_of(at_s)] += 1
        self._waited(arrival, waited_s)

    def failed(self, status: int, arrival: Arrival, waited_s: float, at_s: float) -> None:
        """A call ended in an error."""
        self.client_errors[status] += 1
        self.refused_at[self.bin_of(at_s)] += 1
        self._waited(arrival, waited_s)

    def _waited(self, arrival: Arrival, waited_s: float) -> None:
        if waited_s > 0:
            self.waits_s.append(waited_s)
            place = self.bin_of(arrival.at_s)
            self.worst_wait_at[place] = max(self.worst_wait_at[place], waited_s)


def busiest_minute(counts: list[int]) -> int:
    """The most that was counted in any 60 s, to a quarter of a second."""
    running = most = 0
    for i, count in enumerate(counts):
        running += count
        if i >= MINUTE_SLOTS:
            running -= counts[i - MINUTE_SLOTS]
        most = max(most, running)
    return most

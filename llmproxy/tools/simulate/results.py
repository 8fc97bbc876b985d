"""The results of a simulation, counted while it runs."""

from __future__ import annotations

from array import array
from collections import Counter

import msgspec

from llmproxy.batteries.spend.charging import cost_usd
from llmproxy.config import Price
from llmproxy.operations import Usage
from llmproxy.tools.simulate.traffic import Arrival
from llmproxy.tools.simulate.vendors import SLOT_S, Account

BINS = 160  # the timeline of every run is divided into this many
MINUTE_SLOTS = int(60 / SLOT_S)


class TokenCount(msgspec.Struct):
    """The tokens of answered calls; `cached`: of the input, by the vendor."""

    input: int = 0
    output: int = 0
    cached: int = 0


class EndpointCount(msgspec.Struct):
    """The counters of one endpoint. `tier` is its position among the group's tiers, from 0.
    `changes`: what it may change of a call's parameters, in words. `served_at`: answered calls by
    bin, without those after the last arrival."""

    group: str
    name: str
    tier: int
    account: Account
    price: Price | None
    changes: str | None = None
    served: int = 0
    refused: int = 0
    failed: int = 0
    tokens: TokenCount = msgspec.field(default_factory=TokenCount)
    served_at: list[int] = []

    @property
    def cost_usd(self) -> float | None:
        """Cost of its answers in dollars; None if its price is unknown."""
        if self.price is None:
            return None
        return cost_usd(
            self.price, Usage(self.tokens.input, self.tokens.output, self.tokens.cached)
        )


class SharedWork(msgspec.Struct):
    """The work of the shared view: round trips to Redis, lease requests in them, and grants."""

    instances: int = 1
    round_trips: int = 0
    asks: int = 0
    grants: int = 0


class HedgeCount(msgspec.Struct):
    """Second attempts beside silent ones; `won`: those that answered first."""

    begun: int = 0
    won: int = 0


class Results:
    """The counters of one simulation.

    `seconds`: how long calls arrive. `waits_s`: how long each waiting call waited in the queue and
    between attempts. `took_s`: from the arrival of each answered call to its answer.
    `refused_at`, `worst_wait_at`: by bin. `cached_without_affinity`: the `cached_share` of the same
    calls without affinity, if that was tried.
    """

    __slots__ = (
        "cached_without_affinity",
        "calls",
        "client_errors",
        "endpoints",
        "hedges",
        "notes",
        "refused_at",
        "seconds",
        "shared",
        "took_s",
        "waits_s",
        "worst_wait_at",
    )

    def __init__(self, seconds: float, notes: tuple[str, ...] = ()) -> None:
        self.seconds = seconds
        self.notes = notes
        self.calls = 0
        self.cached_without_affinity: float | None = None
        self.endpoints: list[EndpointCount] = []
        self.client_errors: Counter[int] = Counter()  # by status
        self.waits_s = array("d")
        self.took_s = array("d")
        self.hedges = HedgeCount()
        self.refused_at = [0] * BINS
        self.worst_wait_at = [0.0] * BINS
        self.shared = SharedWork()

    @property
    def served(self) -> int:
        """Number of calls that were answered."""
        return sum(endpoint.served for endpoint in self.endpoints)

    @property
    def bin_s(self) -> float:
        """The length of a bin, in seconds."""
        return max(self.seconds, 1e-9) / BINS

    @property
    def cached_share(self) -> float:
        """The part of the input tokens that vendors had in their prompt caches."""
        tokens = sum(endpoint.tokens.input for endpoint in self.endpoints)
        cached = sum(endpoint.tokens.cached for endpoint in self.endpoints)
        return cached / tokens if tokens else 0.0

    @property
    def client_429(self) -> int:
        """Number of calls that ended with status 429."""
        return self.client_errors[429]

    @property
    def client_5xx(self) -> int:
        """Number of calls that ended with status 500 or above."""
        return sum(count for status, count in self.client_errors.items() if status >= 500)

    @property
    def upstream_429(self) -> int:
        """Number of attempts that a vendor refused with 429."""
        return sum(endpoint.refused for endpoint in self.endpoints)

    def bin_of(self, at_s: float) -> int:
        """Return the bin of a time. Everything after the last arrival is in the last bin."""
        return min(BINS - 1, int(at_s / self.bin_s))

    def answered(
        self, count: EndpointCount, arrival: Arrival, waited_s: float, at_s: float
    ) -> None:
        """Count an answered call. `at_s`: when its successful attempt started."""
        count.served += 1
        count.tokens.input += arrival.input_tokens
        count.tokens.output += arrival.output_tokens
        # Calls that waited at the end would make a peak in the picture.
        if at_s <= self.seconds:
            count.served_at[self.bin_of(at_s)] += 1
        self._waited(arrival, waited_s)

    def failed(self, status: int, arrival: Arrival, waited_s: float, at_s: float) -> None:
        """Count a call that ended with an error."""
        self.client_errors[status] += 1
        self.refused_at[self.bin_of(at_s)] += 1
        self._waited(arrival, waited_s)

    def _waited(self, arrival: Arrival, waited_s: float) -> None:
        if waited_s > 0:
            self.waits_s.append(waited_s)
            index = self.bin_of(arrival.at_s)
            self.worst_wait_at[index] = max(self.worst_wait_at[index], waited_s)


def busiest_minute(counts: list[int]) -> int:
    """Return the highest count in any 60 s. `counts` are those of quarter seconds."""
    running = most = 0
    for i, count in enumerate(counts):
        running += count
        if i >= MINUTE_SLOTS:
            running -= counts[i - MINUTE_SLOTS]
        most = max(most, running)
    return most

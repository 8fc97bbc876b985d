"""What is counted: calls by group and caller, attempts by endpoint, spend by team and caller.

Structs whose numbers only grow. Those of several workers are added number by number, and the
difference between two moments is what happened in between. MetricsRecorder increments them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import inf
from typing import Any, TypeVar

import msgspec

from llmproxy.events import EndpointChange, HealthCheckResult
from llmproxy.operations import Usage
from llmproxy.record import Basis, Cost

# Upper bounds in seconds. An endpoint's answer takes milliseconds to minutes, the proxy's own part
# of a call some tens of microseconds.
SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0),
    *(7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0),
)
OVERHEAD_SECONDS = (
    *(0.00005, 0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 1.0),
)

# Callers of one process that have counters of their own; so many of their groups have, too.
MAX_NAMED = 1_000
OTHER = "(other)"

T = TypeVar("T", bound=msgspec.Struct)


class Histogram(msgspec.Struct):
    """How many values fell into each bucket (the last is above every bound), and their sum."""

    counts: list[int]
    sum: float = 0.0

    def add(self, value: float, bounds: Sequence[float]) -> None:
        """Count one value. A value equal to a bound belongs below it, as in Prometheus."""
        self.counts[bisect_left(bounds, value)] += 1
        self.sum += value


def histogram(bounds: Sequence[float] = SECONDS) -> Histogram:
    """Return an empty histogram."""
    return Histogram([0] * (len(bounds) + 1))


def overhead_histogram() -> Histogram:
    """Return an empty histogram for the proxy's own part of a call."""
    return histogram(OVERHEAD_SECONDS)


class PromptCacheCounters(msgspec.Struct):
    """Input tokens that vendors had cached, and how many nano-dollars less they cost for it."""

    tokens: int = 0
    saved_nano_usd: int = 0


class EndpointCounters(msgspec.Struct):
    """Attempts at one endpoint of a group, and what came of them.

    Attributes:
        failed: Failed attempts by reason.
        retried: Those after which the same endpoint was tried again, by reason.
        moved: Those after which another endpoint was tried, by reason.
        interrupted: Answers that broke off after the commit point.
        prompt_cache: What the endpoint had cached of the input tokens.
        nano_usd: Their cost, in nano-dollars, if the endpoint has a price.
        changes: Changes of the endpoint's state.
        first_byte: Seconds up to the commit point, of answered attempts.
    """

    answered: int = 0
    abandoned: int = 0
    failed: dict[str, int] = {}
    retried: dict[str, int] = {}
    moved: dict[str, int] = {}
    interrupted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    prompt_cache: PromptCacheCounters = msgspec.field(default_factory=PromptCacheCounters)
    nano_usd: int = 0
    changes: dict[EndpointChange, int] = {}
    first_byte: Histogram = msgspec.field(default_factory=histogram)


class HedgeCounters(msgspec.Struct):
    """Second attempts beside silent ones, and what came of them.

    Attributes:
        won: Those that were accepted first.
        lost: Those that were outrun by the attempt that they began beside.
        failed: Those that failed.
        abandoned: Those that were under way when the client left.
        input_tokens: Input tokens of calls that two endpoints have worked on, as the one that
            answered counted them: roughly what the other one has charged.
        nano_usd: What these cost at the other endpoint, in nano-dollars.
    """

    won: int = 0
    lost: int = 0
    failed: int = 0
    abandoned: int = 0
    input_tokens: int = 0
    nano_usd: int = 0


NO_ERRORS = {"caller_limit": 0, "client": 0, "upstream": 0, "proxy": 0}


class GroupCounters(msgspec.Struct):
    """Calls for one model group.

    Attributes:
        calls: By endpoint (the one that answered or was tried last; "" = none) and status class.
        errors: Calls that failed through no fault of the client or its limits.
        errors_by_source: Calls that failed, by whose trouble it was.
        fallbacks: Calls that went on in another group.
        first_byte: Seconds from the call's arrival to the first byte of its answer.
        total: Seconds from the call's arrival to its end.
        overhead: Seconds of the time to the first byte that the proxy itself spent.
        endpoints: Attempts by endpoint.
        hedges: Second attempts beside silent ones.
        health_checks: Checks of endpoints without calls, by endpoint and result.
        unknown_costs: Calls whose cost is not known, by the endpoint that answered.
    """

    calls: dict[str, dict[str, int]] = {}
    errors: int = 0
    errors_by_source: dict[str, int] = msgspec.field(default_factory=lambda: dict(NO_ERRORS))
    fallbacks: int = 0
    first_byte: Histogram = msgspec.field(default_factory=histogram)
    total: Histogram = msgspec.field(default_factory=histogram)
    overhead: Histogram = msgspec.field(default_factory=overhead_histogram)
    endpoints: dict[str, EndpointCounters] = {}
    hedges: HedgeCounters = msgspec.field(default_factory=HedgeCounters)
    health_checks: dict[str, dict[HealthCheckResult, int]] = {}
    unknown_costs: dict[str, int] = {}


class CallerCounters(msgspec.Struct):
    """Calls of one configured caller; `calls` by status class."""

    calls: dict[str, int] = {}
    input_tokens: int = 0
    output_tokens: int = 0


class SpendCounters(msgspec.Struct):
    """What calls have cost.

    Attributes:
        calls: By how far their cost is known.
        nano_usd: Likewise; of an unknown cost, the part that is known.
    """

    calls: dict[Basis, int] = {}
    nano_usd: dict[Basis, int] = {}
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def add(self, cost: Cost, usage: Usage | None) -> None:
        """Count one call."""
        basis = cost.basis
        self.calls[basis] = self.calls.get(basis, 0) + 1
        if cost.nano_usd:
            self.nano_usd[basis] = self.nano_usd.get(basis, 0) + cost.nano_usd
        if usage is not None:
            self.input_tokens += usage.input_tokens
            self.output_tokens += usage.output_tokens
            self.cached_tokens += usage.cached_tokens


class CallCounters(msgspec.Struct):
    """Everything that is counted.

    Names are those of groups, endpoints, callers and teams, never a client's text. There may be any
    number of keys made at run time: beyond a bound, callers and teams are `(other)`. The group ""
    stands for requests that no group was found for.

    Attributes:
        callers: By name.
        spend: By team, caller and the group that answered; "" = none.
        lost: Calls that are missing in the access log or in the call file.
    """

    groups: dict[str, GroupCounters] = {}
    callers: dict[str, CallerCounters] = {}
    spend: dict[tuple[str, str, str], SpendCounters] = {}
    lost: dict[str, int] = {}

    def caller(self, name: str) -> CallerCounters:
        """Return the counters of a caller."""
        found = self.callers.get(name)
        if found is None and len(self.callers) >= MAX_NAMED:
            name = OTHER
            found = self.callers.get(name)
        if found is None:
            found = self.callers[name] = CallerCounters()
        return found

    def spend_of(self, team: str, caller: str, group: str) -> SpendCounters:
        """Return the counters of what a team's caller spends on a group."""
        names = (team, caller, group)
        found = self.spend.get(names)
        if found is None and len(self.spend) >= MAX_NAMED:
            names = (team, OTHER, group)
            found = self.spend.get(names)
        if found is None and len(self.spend) >= 2 * MAX_NAMED:
            names = (OTHER, OTHER, group)  # groups are those of the config
            found = self.spend.get(names)
        if found is None:
            found = self.spend[names] = SpendCounters()
        return found


def status_class(status: int) -> str:
    """Return `2xx` to `5xx`, or `499` for a client that left first. A WebSocket was served."""
    if status == 499:
        return "499"
    if status == 101:
        return "2xx"
    return f"{status // 100}xx" if 200 <= status < 600 else "5xx"


def plus(one: T, other: T) -> T:
    """Return the sum of two structs of one type, number by number."""
    added: T = _combined(one, other, 1)
    return added


def minus(one: T, other: T) -> T:
    """Return what has been counted since `other`, an earlier state of `one`.

    Groups, endpoints, callers and spend of which nothing was counted are left out.
    """
    difference: T = _combined(one, other, -1)
    return difference


def _combined(one: Any, other: Any, sign: int) -> Any:
    if one is None or other is None:
        return other if one is None else one
    match one:
        case msgspec.Struct():
            names = one.__struct_fields__
            pairs = [(getattr(one, name), getattr(other, name)) for name in names]
            return type(one)(*(_combined(mine, others, sign) for mine, others in pairs))
        case dict():
            combined = {
                key: _combined(value, other[key], sign) if key in other else value
                for key, value in one.items()
                if sign > 0 or not _is_unchanged(value, other.get(key))
            }
            # Counters do not disappear, so an earlier state has no other keys.
            return combined if sign < 0 else {**other, **combined}
        case list():
            return [mine + sign * others for mine, others in zip(one, other, strict=True)]
        case _:
            return one + sign * other


def _is_unchanged(value: Any, earlier: Any) -> bool:
    return isinstance(value, msgspec.Struct) and value == earlier


def quantile(counts: Sequence[int], q: float, bounds: Sequence[float] = SECONDS) -> float | None:
    """Return the value below which a share `q` of all values lies; None without values.

    As Prometheus' histogram_quantile: interpolated within a bucket, and the last bound above it.
    """
    total = sum(counts)
    if not total:
        return None
    rank, below = q * total, 0
    for number, upper, lower in zip(counts, (*bounds, inf), (0.0, *bounds), strict=True):
        if number and below + number >= rank:
            if upper == inf:
                return lower
            return lower + (upper - lower) * (rank - below) / number
        below += number
    return bounds[-1]

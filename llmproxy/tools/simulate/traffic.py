"""The calls of a simulation: when each arrives, for which group, and how big it is."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One call. `at_s`: seconds since the beginning. `bound_tokens`: input and output bound, as a
    vendor charges them on arrival."""

    at_s: float
    group: str
    input_tokens: int
    output_tokens: int
    bound_tokens: int


class RateStep(msgspec.Struct, frozen=True):
    """So many calls a second, for so many seconds."""

    rate: float
    seconds: float


class Traffic(msgspec.Struct, frozen=True):
    """Calls in the order of their times. `seconds`: how long they arrive. `notes`: what a reader of
    the results should know of them."""

    arrivals: list[Arrival]
    seconds: float
    notes: tuple[str, ...] = ()


def steady(
    steps: Sequence[RateStep], groups: Sequence[str], tokens: tuple[int, int], chance: Random
) -> Traffic:
    """Calls at random moments (a Poisson process), one step after the other, spread evenly over
    groups. `tokens`: input and output of each."""
    arrivals: list[Arrival] = []
    begins_s = 0.0
    for step in steps:
        ends_s = begins_s + step.seconds
        at_s = begins_s
        while step.rate > 0:
            at_s += chance.expovariate(step.rate)
            if at_s >= ends_s:
                break
            group = groups[len(arrivals) % len(groups)]
            arrivals.append(Arrival(at_s, group, *tokens, sum(tokens)))
        begins_s = ends_s
    return Traffic(arrivals, begins_s)

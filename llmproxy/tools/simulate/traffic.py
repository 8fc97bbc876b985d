"""The calls of a simulation: when they arrive, for which model group, and how big they are."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

BETWEEN_TURNS_S = 20.0


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One call. `at_s`: seconds since the start of the run. `bound_tokens`: the input plus the
    bound of the output, which vendors charge when a request arrives. `conversation`: whose turn it
    is; "" = none. `turn` counts from 0."""

    at_s: float
    group: str
    input_tokens: int
    output_tokens: int
    bound_tokens: int
    conversation: str = ""
    turn: int = 0


class RateStep(msgspec.Struct, frozen=True):
    """A constant rate, in calls per second, for some seconds."""

    rate: float
    seconds: float


class Traffic(msgspec.Struct, frozen=True):
    """Calls, sorted by time. `seconds`: how long they arrive. `notes`: remarks for the report."""

    arrivals: list[Arrival]
    seconds: float
    notes: tuple[str, ...] = ()


def in_conversations(calls: Traffic, turns: int, random: Random) -> Traffic:
    """Return the same number of calls as turns of conversations, which begin at random times.

    Each turn repeats the prompts and answers before it, and adds a prompt and an answer of the
    same size. Turns are 20 s apart, on average; those after the end are left out.
    """
    arrivals = []
    for number, first in enumerate(calls.arrivals[::turns]):
        at_s, growth = first.at_s, first.input_tokens + first.output_tokens
        for turn in range(turns):
            more = turn * growth
            arrivals.append(
                msgspec.structs.replace(
                    first,
                    at_s=at_s,
                    input_tokens=first.input_tokens + more,
                    bound_tokens=first.bound_tokens + more,
                    conversation=f"{first.group} {number}",
                    turn=turn,
                )
            )
            at_s += random.expovariate(1 / BETWEEN_TURNS_S)
    arrivals = [arrival for arrival in arrivals if arrival.at_s < calls.seconds]
    arrivals.sort(key=lambda arrival: arrival.at_s)
    return Traffic(arrivals, calls.seconds, calls.notes)


def steady(
    steps: Sequence[RateStep], groups: Sequence[str], tokens: tuple[int, int], random: Random
) -> Traffic:
    """Return calls at random times (a Poisson process), one step after the other.

    The groups take turns. `tokens`: input and output tokens of each call.
    """
    arrivals: list[Arrival] = []
    begins_s = 0.0
    for step in steps:
        ends_s = begins_s + step.seconds
        at_s = begins_s
        while step.rate > 0:
            at_s += random.expovariate(step.rate)
            if at_s >= ends_s:
                break
            group = groups[len(arrivals) % len(groups)]
            arrivals.append(Arrival(at_s, group, *tokens, sum(tokens)))
        begins_s = ends_s
    return Traffic(arrivals, begins_s)

"""What a step of the charts costs does not grow with the endpoints that had no calls."""

import sys

import pytest

from llmproxy.batteries.admin.stats.collector import Counters
from llmproxy.batteries.admin.stats.slowness import Slowness
from llmproxy.batteries.telemetry.counters import EndpointCounters, GroupCounters, minus


def counted(endpoints, *, answered=0):
    """Return the counters of a group; the first of its endpoints has answered so often more."""
    counters = Counters()
    found = {f"e{n}": EndpointCounters(answered=5) for n in range(endpoints)}
    found["e0"].answered += answered
    found["e0"].first_byte.counts[0] += answered
    counters.calls.groups = {"m": GroupCounters(endpoints=found)}
    return counters


def functions_called(work):
    """Return how many functions of Python `work` calls, itself and comprehensions left out."""
    calls = []

    def note(frame, event, _argument):
        if event == "call" and not frame.f_code.co_name.startswith("<"):
            calls.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("endpoints", [10, 1_000])
def test_a_step_combines_only_the_endpoints_that_had_calls(endpoints):
    before, after = counted(endpoints), counted(endpoints, answered=2)
    calls = functions_called(lambda: minus(after, before))
    one = functions_called(lambda: minus(counted(1, answered=2), counted(1)))
    combined = one.count("_combined")
    assert calls.count("_combined") == combined > 0
    step = minus(after, before).calls.groups["m"].endpoints
    assert {name: of.answered for name, of in step.items()} == {"e0": 2}


@pytest.mark.parametrize("endpoints", [10, 1_000])
def test_only_an_endpoint_that_answered_in_the_last_minute_may_be_slow(endpoints):
    before, after = counted(endpoints), counted(endpoints, answered=2)
    slowness = Slowness(before)
    calls = functions_called(lambda: slowness.update(before, after, 1_000.0))
    assert calls.count("slow_medians") == 1

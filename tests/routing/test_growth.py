"""What a choice costs does not grow with the endpoints: questions to them are counted."""

from types import SimpleNamespace

import pytest

from llmproxy.routing import CallDemand, Tier
from llmproxy.routing.strategies import Strategy
from llmproxy.rules.breaker import Breaker


class AskedState:
    """An endpoint that counts how often it was asked whether it takes a call."""

    def __init__(self, weight=1):
        self.endpoint = SimpleNamespace(weight=weight)
        self.breaker = Breaker(allowed_fails=1, open_s=1)
        self.is_well, self.asked = True, 0

    def takes(self, tokens, now):
        self.asked += 1
        return self.is_well


def asked(states):
    return sum(state.asked for state in states)


def chosen(tier, calls):
    return [tier.choose(CallDemand(), 0.0) for _ in range(calls)]


@pytest.mark.parametrize("places", [2, 10, 1_000])
def test_a_call_asks_one_endpoint_however_many_there_are(places):
    states = [AskedState() for _ in range(places)]
    tier = Tier(states, Strategy())
    chosen(tier, 1)  # the first call asks all
    before = asked(states)
    assert set(chosen(tier, places)) == set(states)
    assert asked(states) - before == places


def test_beside_it_a_call_asks_those_that_did_not_take_the_last_one():
    states = [AskedState() for _ in range(1_000)]
    tier = Tier(states, Strategy())
    for state in states[:3]:
        state.is_well = False
    chosen(tier, 1)
    before = asked(states)
    demand = CallDemand()
    assert tier.choose(demand, 0.0) not in states[:3]
    assert asked(states) - before == 4
    assert demand.passed_over == states[:3], "the trace names them all the same"


def test_one_that_stops_taking_calls_gets_none_and_one_that_is_back_gets_its_share():
    states = [AskedState(weight) for weight in (1, 2, 3)]
    tier = Tier(states, Strategy())
    chosen(tier, 6)
    states[2].is_well = False
    while_out = chosen(tier, 30)
    assert [while_out.count(state) for state in states] == [10, 20, 0]
    states[2].is_well = True
    back = chosen(tier, 60)
    counts = [back.count(state) for state in states]
    assert all(abs(count - due) <= 2 for count, due in zip(counts, (10, 20, 30), strict=True))

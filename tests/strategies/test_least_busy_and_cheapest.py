"""How an endpoint is chosen within a tier, and that `explain` says the same."""

from types import SimpleNamespace
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.admin.api.explain import explained
from llmproxy.batteries.strategies import ALL_STRATEGIES
from llmproxy.batteries.strategies.cheapest import blended
from llmproxy.config import Price
from llmproxy.config.base import STRATEGY_HELP, Strategy
from llmproxy.routing import CallDemand
from llmproxy.routing.strategies import WEIGHTED
from tests.routing.pools import by_name, group, served


def shares(group):
    explanation = explained("g", group, 0, 0.0, max_wait_s=10.0)
    return explanation.would, {
        e.endpoint: e.share for tier in explanation.tiers for e in tier.endpoints
    }


def test_config_and_registries_know_the_same_strategies():
    assert set(WEIGHTED) == {"weighted"}
    assert set(ALL_STRATEGIES) == {*WEIGHTED, "least_busy", "cheapest", "latency"}
    assert set(get_args(Strategy)) == set(ALL_STRATEGIES)
    assert set(STRATEGY_HELP) == set(ALL_STRATEGIES)


def test_explain_names_the_endpoint_that_least_busy_takes():
    two = group(("one", 1, 0), ("two", 1, 0), strategy="least_busy")
    by_name(two)["one"].begin(0, 0.0)
    assert shares(two) == ("go to two", {"one": 0.0, "two": 1.0})
    assert served(two) == "two"


def test_explain_counts_the_slow_start_for_least_busy_too():
    two = group(("one", 1, 0), ("two", 1, 0), strategy="least_busy")
    by_name(two)["one"].breaker.slow_down(0.0)  # its share begins at a tenth
    for state in two.states:
        state.begin(0, 0.0)
    assert shares(two) == ("go to two", {"one": 0.0, "two": 1.0})
    assert served(two) == "two"


def test_least_busy_shares_by_weight_while_nothing_is_under_way():
    two = group(("one", 3, 0), ("two", 1, 0), strategy="least_busy")
    assert shares(two) == ("go to one or two", {"one": 0.75, "two": 0.25})


def test_weighted_shares_by_weight_whatever_is_under_way():
    two = group(("one", 3, 0), ("two", 1, 0))
    by_name(two)["one"].begin(0, 0.0)
    assert shares(two) == ("go to one or two", {"one": 0.75, "two": 0.25})


def test_an_endpoint_that_least_busy_passes_by_still_takes_calls():
    two = group(("one", 1, 0), ("two", 1, 0), strategy="least_busy")
    by_name(two)["one"].begin(0, 0.0)
    one, _ = explained("g", two, 0, 0.0, max_wait_s=10.0).tiers[0].endpoints
    assert (one.takes, one.why) == (True, None)


def test_explaining_changes_nothing():
    two = group(("one", 1, 0), ("two", 1, 0))
    for _ in range(3):
        shares(two)
    assert [served(two, CallDemand()) for _ in range(4)] == ["one", "two", "one", "two"]


def least_busy(in_flight, shares):
    states = [SimpleNamespace(in_flight=calls) for calls in in_flight]
    return ALL_STRATEGIES["least_busy"].shares(states, shares, 0.0)


def test_the_least_busy_for_its_share_is_left():
    assert least_busy([4, 1, 2], [4.0, 1.0, 1.0]) == [4.0, 1.0, 0.0]
    assert least_busy([0, 0, 0], [4.0, 0.0, 1.0]) == [4.0, 0.0, 1.0]


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.0, 0.5, 1.0, 3.0])), min_size=1))
def test_least_busy_leaves_only_eligible_places_and_none_is_less_busy(places):
    in_flight, shares = [calls for calls, _ in places], [share for _, share in places]
    left = least_busy(in_flight, shares)
    assert any(left) == any(shares)
    for i, share in enumerate(left):
        if share:
            assert share == shares[i]
            assert all(
                in_flight[i] / share <= in_flight[j] / other
                for j, other in enumerate(shares)
                if other
            )


def test_the_order_of_prices_is_that_of_a_call_with_three_times_as_much_input_as_output():
    both = Price(input=2.0, output=8.0)
    assert blended(both) == 3.5
    expensive_output = Price(input=1.0, output=12.0)
    assert blended(both) < blended(expensive_output)
    expensive_input = Price(input=2.5, output=4.0)
    assert blended(expensive_input) < blended(both)


def test_cheapest_warns_of_endpoints_without_a_price(caplog):
    two = group(("unknown", 1, 0), ("other", 1, 0), strategy="cheapest")
    assert [[state.endpoint.name for state in tier.states] for tier in two.tiers] == [
        ["unknown", "other"]
    ]
    assert caplog.text.count("No price is known for the endpoint") == 2
    assert "endpoint unknown in the group g: " in caplog.text

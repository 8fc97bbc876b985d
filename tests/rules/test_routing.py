"""The round robin is as even as whole calls can be, after every prefix and every change."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmproxy.rules.routing import WeightedRoundRobin
from tests.support.examples import examples

whole_weights = st.integers(1, 1000).map(float)
any_weights = st.one_of(whole_weights, st.floats(0.01, 50.0))


def taken(turns: WeightedRoundRobin, shares: list[float], calls: int) -> Counter[int]:
    return Counter(turns.take(shares) for _ in range(calls))


def test_600_calls_at_weights_3_2_1_are_300_200_100():
    assert taken(WeightedRoundRobin(3), [3.0, 2.0, 1.0], 600) == {0: 300, 1: 200, 2: 100}


def test_the_turns_of_one_endpoint_are_spread_out():
    turns = WeightedRoundRobin(2)
    order = [turns.take([5.0, 1.0]) for _ in range(12)]
    first, second = (i for i, place in enumerate(order) if place == 1)
    assert second - first == 6


@examples(60)
@given(st.lists(any_weights, min_size=1, max_size=20), st.integers(1, 250))
def test_no_endpoint_is_a_whole_turn_off_its_share_after_any_prefix(weights, calls):
    turns, served, total = WeightedRoundRobin(len(weights)), Counter(), sum(weights)
    for turn in range(1, calls + 1):
        served[turns.take(weights)] += 1
        for place, weight in enumerate(weights):
            assert abs(served[place] - turn * weight / total) < 1


@examples(60)
@example([1, 10, 10], 30)  # here a floor of another height breaks the bound
@example([1, 10], 30)
@given(st.lists(st.integers(1, 100), min_size=2, max_size=8), st.integers(1, 250))
def test_no_place_is_further_from_its_share_than_tijdeman_s_theorem_allows(weights, calls):
    """R. Tijdeman, 1980: with n places the distance is at most 1 - 1/(2n - 2) calls."""
    places, total = len(weights), sum(weights)
    bound = 1 - Fraction(1, 2 * places - 2)
    turns, served, shares = WeightedRoundRobin(places), Counter(), list(map(float, weights))
    for turn in range(1, calls + 1):
        served[turns.take(shares)] += 1
        for place, weight in enumerate(weights):
            assert abs(served[place] - Fraction(turn * weight, total)) <= bound


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.lists(st.integers(0, 6)))
def test_the_unit_of_the_shares_does_not_matter_even_while_it_changes(weights, exponents):
    steady, changing = WeightedRoundRobin(len(weights)), WeightedRoundRobin(len(weights))
    for exponent in exponents:
        scaled = [float(weight * 2**exponent) for weight in weights]
        assert changing.take(scaled) == steady.take([float(weight) for weight in weights])


@examples(30)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=8))
def test_whole_weights_come_out_exactly_once_per_round_however_long_it_runs(weights):
    turns, shares = WeightedRoundRobin(len(weights)), [float(weight) for weight in weights]
    for _ in range(5):
        counts = taken(turns, shares, sum(weights))
        assert [counts[place] for place in range(len(weights))] == weights


def test_a_place_with_no_share_gets_no_turn():
    assert taken(WeightedRoundRobin(3), [3.0, 0.0, 1.0], 400) == {0: 300, 2: 100}


@examples(60)
@given(
    st.lists(whole_weights, min_size=2, max_size=8),
    st.integers(0, 60),
    st.integers(1, 60),
    st.integers(1, 100),
)
def test_an_endpoint_that_comes_back_gets_its_share_without_a_burst(weights, before, away, after):
    turns, total = WeightedRoundRobin(len(weights)), sum(weights)
    taken(turns, weights, before)
    taken(turns, [0.0, *weights[1:]], away)
    served = Counter()
    for turn in range(1, after + 1):
        served[turns.take(weights)] += 1
        for place, weight in enumerate(weights):
            assert abs(served[place] - turn * weight / total) < 2


@examples(60)
@given(st.data(), st.integers(2, 10))
def test_changing_shares_never_leave_anybody_far_from_its_due(data, places):
    shares_at = st.lists(
        st.one_of(st.just(0.0), st.floats(0.05, 10.0)), min_size=places, max_size=places
    ).filter(any)
    turns = WeightedRoundRobin(places)
    for shares in data.draw(st.lists(shares_at, max_size=12)):
        assert shares[turns.take(shares)] > 0
    steady, total = [1.0] * places, float(places)
    served = Counter()
    for turn in range(1, 40):
        served[turns.take(steady)] += 1
        assert all(abs(served[place] - turn / total) < 2.5 for place in range(places))


def test_a_retry_that_leaves_out_one_endpoint_does_not_cost_the_others_their_share():
    turns, served = WeightedRoundRobin(3), Counter()
    for call in range(600):
        first = turns.take([3.0, 2.0, 1.0])
        served[first] += 1
        if call % 7 == 0:  # a failed attempt: once more, without the endpoint that failed
            turns.take([0.0 if place == first else 3.0 - place for place in range(3)])
    assert served[0] == pytest.approx(300, abs=60)
    assert served[2] == pytest.approx(100, abs=40)


def test_after_many_changes_of_shares_a_place_owes_no_more_than_one_turn():
    turns = WeightedRoundRobin(5)
    for shares in (
        [1.0, 0.0, 0.0, 10.0, 0.0],
        [10.0, 0.0, 0.0, 10.0, 10.0],
        [0.0, 10.0, 0.0, 1.0, 1.0],
        [0.0, 0.1, 0.0, 1.0, 1.0],
        [1.0, 1.0, 10.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 1.0, 10.0],
    ):
        turns.take(shares)
    order = [turns.take([1.0] * 5) for _ in range(6)]
    assert order == [3, 4, 2, 3, 0, 1], "place 4 would wait for the sixth turn if it owed more"


def test_a_growing_share_is_followed():
    turns = WeightedRoundRobin(2)
    served = Counter(turns.take([1.0, 0.1 + 0.9 * step / 1000]) for step in range(1000))
    assert served[1] == pytest.approx(340, abs=30)  # the mean of s / (1 + s) over [0.1, 1]


def test_nothing_drifts_in_a_long_run_of_broken_shares():
    turns, shares = WeightedRoundRobin(3), [0.1, 0.2, 0.7]
    counts = taken(turns, shares, 200_000)
    assert all(abs(counts[place] - 200_000 * shares[place]) < 1.5 for place in range(3))


@pytest.mark.parametrize("shares", [[0.0, 0.0], [1.0]])
def test_shares_that_cannot_be_served_are_refused(shares):
    with pytest.raises(ValueError, match="expected"):
        WeightedRoundRobin(2).take(shares)

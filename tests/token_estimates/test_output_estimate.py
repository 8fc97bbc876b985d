"""How much of its output bound a call usually writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.token_estimates.output import OutputEstimates


@pytest.mark.parametrize(("bound", "usual"), [(10, 10), (999, 999), (32_000, 1_000), (1, 1)])
def test_before_anything_is_known_most_answers_are_taken_to_be_short(bound, usual):
    estimates = OutputEstimates()
    assert estimates.usual(bound) == usual
    assert estimates.unwritten(bound) == bound - usual


def test_it_learns_what_calls_with_such_a_bound_write():
    estimates = OutputEstimates()
    for _ in range(100):
        estimates.learn(32_000, 8_000)
    assert 8_000 <= estimates.usual(30_000) <= 8_100
    assert estimates.usual(100) == 100, "calls with another bound are others"
    assert estimates.usual(2_000) == 1_000


def test_answers_that_differ_are_reserved_for_the_long_ones():
    estimates = OutputEstimates()
    for number in range(200):
        estimates.learn(4_096, 100 if number % 4 else 900)
    assert 700 <= estimates.usual(4_096) <= 1_200


@given(st.lists(st.tuples(st.integers(1, 10**18), st.integers(-5, 10**18)), max_size=30))
def test_it_is_never_below_1_nor_above_the_bound(calls):
    estimates = OutputEstimates()
    for bound, written in calls:
        estimates.learn(bound, written)
        assert 1 <= estimates.usual(bound) <= bound
        assert 0 <= estimates.unwritten(bound) < bound

"""How an endpoint's time to the first token is learned and forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.strategies.first_tokens import FirstTokens

BEST_S = 0.5


def after(*answers):
    """The measurement after answers, each given as (when, how long it took)."""
    tokens = FirstTokens()
    for at, took_s in answers:
        tokens.begin(at - took_s)
        tokens.answered(took_s, at)
    return tokens


def test_a_slow_answer_counts_at_once_and_in_full():
    assert after((10, 1.0), (20, 1.0), (30, 8.0)).expected_s(30, BEST_S) == 8.0


def test_faster_answers_bring_the_average_down_with_time_not_with_their_number():
    at_once = after((0, 8.0), *((0.001 * i, 1.0) for i in range(1, 50)))
    assert at_once.expected_s(0.05, BEST_S) > 7.5
    later = after((0, 8.0), (5, 1.0), (10, 1.0), (15, 1.0), (20, 1.0), (60, 1.0))
    assert later.expected_s(60, BEST_S) == pytest.approx(1.0, abs=0.05)


def test_an_old_average_says_no_more_than_that_of_the_fastest_endpoint():
    tokens = after((0, 60.0))
    assert tokens.expected_s(0, BEST_S) == 60.0
    assert tokens.expected_s(10, BEST_S) < 30
    assert tokens.expected_s(100, BEST_S) == pytest.approx(BEST_S, abs=0.01)


def test_without_an_answer_an_endpoint_counts_as_fast_as_the_fastest():
    assert FirstTokens().expected_s(5, BEST_S) == BEST_S


def test_while_it_is_silent_it_is_as_slow_as_it_has_been_silent():
    tokens = after((0, 1.0))
    tokens.begin(10)
    tokens.begin(39)
    assert tokens.expected_s(40, BEST_S) == 30
    tokens.answered(1.0, 40)  # the second one: it answers
    assert tokens.expected_s(40.5, BEST_S) < 2


def test_an_attempt_that_was_given_up_would_have_taken_longer():
    tokens = after((0, 1.0))
    tokens.begin(10)
    tokens.gave_up(20.0, 30)
    assert tokens.expected_s(30, BEST_S) == 20


def test_a_fast_failure_makes_no_endpoint_fast():
    tokens = after((0, 2.0))
    for _ in range(9):
        tokens.begin(0)
        tokens.gave_up(0.01, 0)
    assert tokens.expected_s(0, BEST_S) == 2.0
    unknown = FirstTokens()
    unknown.begin(0)
    unknown.gave_up(0.01, 0.01)
    assert (unknown.is_known, unknown.expected_s(0.01, BEST_S)) == (False, BEST_S)


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0.01, 100)), min_size=1))
def test_the_average_lies_between_the_last_answer_and_the_slowest(answers):
    at, tokens, slowest_s, took_s = 0.0, FirstTokens(), 0.0, 0.0
    for pause_s, took_s in answers:
        at += pause_s
        tokens.begin(at)
        tokens.answered(took_s, at)
        slowest_s = max(slowest_s, took_s)
    assert took_s <= tokens.average_s <= slowest_s

"""The minute of the operator's limits, and the short windows of a vendor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.rules.capacity.gates import BurstWindow
from llmproxy.rules.capacity.window import MinuteWindow


def test_a_minute_counts_what_was_sent_in_it_and_forgets_what_was_before():
    window = MinuteWindow()
    window.reserve(10, 0.2)
    window.reserve(20, 30.0)
    window.advance(60.2)
    assert (window.requests, window.tokens) == (2, 30)
    window.advance(60.6)
    assert (window.requests, window.tokens) == (1, 20)
    window.advance(1e6)
    assert (window.requests, window.tokens) == (0, 0)


def test_what_turns_out_smaller_or_was_not_sent_is_corrected_while_it_counts():
    window = MinuteWindow()
    window.reserve(10, 5.0)
    window.correct(-4, 5.0, 20.0)
    assert (window.requests, window.tokens) == (1, 6)
    window.give_back(6, 5.0, 30.0)
    assert (window.requests, window.tokens) == (0, 0)
    window.correct(-4, 5.0, 66.0)  # too late: it has left the window
    assert window.tokens == 0


def test_the_wait_ends_when_enough_has_left_the_window():
    window = MinuteWindow()
    for second in range(10):
        window.reserve(100, second + 0.25)
    assert window.falls_to_in_s(10, 1_000, 20.0) == 0
    assert window.falls_to_in_s(9, 1_000, 20.0) == pytest.approx(40.5)
    assert window.falls_to_in_s(10, 750, 20.0) == pytest.approx(42.5)
    assert window.falls_to_in_s(0, 0, 20.0) == pytest.approx(49.5)


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 50)), max_size=60), st.integers(0, 60))
def test_the_wait_is_never_too_short_and_at_most_a_slot_too_long(sent, requests):
    window, now, at = MinuteWindow(), 0.0, []
    for pause_s, tokens in sent:
        now += pause_s
        window.reserve(tokens, now)
        at.append(now)
    free_at = now + window.falls_to_in_s(requests, 10_000, now)
    still = [moment for moment in at if moment > free_at - 60.0]
    assert len(still) <= requests
    half_a_second_before = [moment for moment in at if moment > free_at - 60.0 - 0.5 - 1e-6]
    assert free_at == now or len(half_a_second_before) > requests


def test_no_second_holds_more_than_its_share_wherever_it_begins():
    burst = BurstWindow(600)
    assert burst.allowed == 10
    for number in range(10):
        assert burst.wait_s(1, 0, number * 0.01) == 0
        burst.reserve(0, number * 0.01)
    assert burst.wait_s(1, 0, 0.5) == pytest.approx(0.515)
    assert burst.wait_s(2, 0, 0.5) == pytest.approx(0.525)


@pytest.mark.parametrize(
    ("rpm", "allowed", "window_s"), [(600, 10, 1), (60, 1, 1), (20, 1, 3), (6, 1, 10), (1, 1, 10)]
)
def test_small_limits_are_judged_over_longer_windows(rpm, allowed, window_s):
    burst = BurstWindow(rpm)
    assert burst.allowed == allowed
    for _ in range(allowed):
        burst.reserve(0, 0.0)
    assert burst.wait_s(1, 0, 0.0) == pytest.approx(window_s * 1.015)


def test_several_requests_wait_for_as_many_windows_as_they_fill():
    burst = BurstWindow(120)  # 2 a second
    assert burst.wait_s(2, 0, 0.0) == 0
    assert burst.wait_s(3, 0, 0.0) == pytest.approx(1.015)
    burst.reserve(0, 0.0)
    burst.reserve(0, 0.4)
    assert burst.wait_s(1, 0, 0.5) == pytest.approx(0.515)
    assert burst.wait_s(2, 0, 0.5) == pytest.approx(0.915)
    assert burst.wait_s(3, 0, 0.5) == pytest.approx(0.515 + 1.015)


def test_what_was_sent_before_the_limit_was_known_counts_once_it_is():
    burst = BurstWindow(None)
    for _ in range(500):
        burst.reserve(0, 1.0)
    assert burst.wait_s(1, 0, 1.0) == 0
    known = burst.resized(600)
    assert known.wait_s(1, 0, 1.2) == pytest.approx(0.815)


@given(st.lists(st.floats(0, 0.5), min_size=30, max_size=120))
def test_requests_that_wait_as_asked_keep_every_second_within_its_limit(pauses):
    burst, now, sent = BurstWindow(600), 0.0, []
    for pause_s in pauses:
        now += pause_s
        now += burst.wait_s(1, 0, now)
        burst.reserve(0, now)
        sent.append(now)
    for first, eleventh in zip(sent, sent[10:], strict=False):
        assert eleventh - first >= 1.0

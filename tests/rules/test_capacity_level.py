"""What a vendor reports of a limit, carried forward as the vendor refills it."""

import pytest

from llmproxy.operations.rate_limits import RateLimit
from llmproxy.rules.capacity.vendor import VendorLevel

# What refills in the first tenth of a second after a request was sent may be in its answer already.
ON_THE_WAY_S = 0.1


def level(remaining, reset_s, *, limit=600.0, fixed=False, at=0.0, spent=0):
    """A level with a report of a request that the vendor admitted at that time."""
    made = VendorLevel(limit, at, fixed=fixed)
    report(made, remaining, reset_s, limit=limit, at=at, spent=spent)
    return made


def report(level, remaining, reset_s, *, limit=600.0, at=0.0, spent=0):
    sent_at = at - ON_THE_WAY_S
    return level.report(RateLimit(limit, remaining, reset_s), sent_at=sent_at, spent=spent)


def test_a_request_takes_time_to_get_there_so_what_refills_meanwhile_is_not_counted_twice():
    openai = VendorLevel(600.0, 0.0, fixed=False)
    openai.report(RateLimit(600, 0, 60.0), sent_at=5.0, spent=0)
    assert openai.left(5.0 + ON_THE_WAY_S) == 0
    assert openai.wait_s(10, 5.0) == pytest.approx(1 + ON_THE_WAY_S)
    assert openai.left(6.0 + ON_THE_WAY_S) == pytest.approx(10)


def test_a_limit_that_fills_continuously_is_recognised_by_its_reset():
    openai = level(0, 60.0)
    assert openai.left(0) == 0
    assert openai.left(6) == pytest.approx(60)
    assert openai.left(100) == 600


def test_a_limit_of_a_day_fills_by_the_day():
    a_day = level(9_999, 8.64, limit=10_000.0)
    assert a_day.left(4.32) == pytest.approx(9_999.5)
    used_up = level(0, 86_400.0, limit=10_000.0)
    assert used_up.wait_s(1, 0) == pytest.approx(8.64)


def test_a_limit_of_a_second_fills_by_the_second():
    a_second = level(5, 0.5, limit=10.0)
    assert a_second.wait_s(10, 0) == pytest.approx(0.5)


@pytest.mark.parametrize("fixed", [True, False], ids=["known to", "seen to"])
def test_a_limit_that_ends_all_at_once_does(fixed):
    azure = level(60, 23.0, fixed=fixed)
    assert azure.left(22.9) == 60
    assert azure.wait_s(61, 3) == pytest.approx(20)
    assert azure.left(23) == 600


def test_a_window_that_ended_is_followed_by_one_of_a_minute():
    azure = level(0, 10.0, fixed=True)
    assert azure.left(11) == 600
    azure.spent += 600
    assert azure.left(12) == 0
    assert azure.wait_s(1, 12) == pytest.approx(58)
    assert azure.left(70) == 600


def test_windows_without_calls_are_skipped():
    azure = level(0, 10.0, fixed=True)
    assert azure.left(10 + 3 * 60 + 5) == 600
    azure.spent += 600
    assert azure.wait_s(1, 10 + 3 * 60 + 5) == pytest.approx(55)


def test_an_instant_in_the_future_is_when_an_unknown_manner_refills():
    assert level(0, 37.5, limit=50.0).wait_s(1, 0) == pytest.approx(37.5)


@pytest.mark.parametrize("fixed", [True, False])
def test_without_a_reset_it_fills_by_the_minute(fixed):
    assert level(300, None, fixed=fixed).wait_s(301, 0) == pytest.approx(0.1)


def test_more_may_be_left_than_the_limit_but_it_does_not_grow():
    generous = level(900, 1.0)
    assert generous.left(0) == 900
    assert generous.left(50) == 900
    generous.spent += 400
    assert generous.left(50) == 500
    assert generous.left(51) == 510


def test_what_was_sent_meanwhile_is_subtracted_and_what_has_refilled_is_added():
    slow = level(100, 50.0, at=10.0, spent=40)  # reported when 40 were spent, for the moment 10
    assert slow.left(10) == 60
    assert slow.left(40) == pytest.approx(60 + 30 * 10)


def test_answers_that_overtake_each_other_are_sorted_by_when_they_were_sent():
    sorted_out = level(100, 50.0, at=20.0)
    assert not report(sorted_out, 500, 10.0, at=19.0)
    assert sorted_out.left(20) == 100


def test_a_limit_that_is_lowered_or_raised_is_followed():
    followed = level(550, 5.0)
    assert report(followed, 250, 10.0, limit=300, at=1.0)
    assert (followed.limit, followed.left(1)) == (300, 250)
    assert followed.left(100) == 300
    assert report(followed, 0, 60.0, limit=1200, at=101.0)
    assert followed.wait_s(1200, 101) == pytest.approx(60)
    assert not report(followed, 5, 60.0, limit=1200, at=102.0)


def test_a_call_that_is_bigger_than_the_limit_waits_for_all_of_it_and_no_longer():
    assert level(600, None).wait_s(5_000, 0) == 0
    assert level(0, 60.0).wait_s(5_000, 0) == pytest.approx(60)


def test_a_line_that_needs_more_than_the_limit_waits_for_as_many_refills():
    azure = level(100, 5.0, fixed=True)
    assert azure.wait_s(700, 0, one_call=False) == pytest.approx(5)
    assert azure.wait_s(701, 0, one_call=False) == pytest.approx(65)
    assert azure.wait_s(1_400, 0, one_call=False) == pytest.approx(125)
    assert level(0, 60.0).wait_s(900, 0, one_call=False) == pytest.approx(90)


def test_below_nothing_is_made_good_before_anything_is_left():
    overdrawn = level(0, 60.0, spent=60)
    assert overdrawn.left(0) == -60
    assert overdrawn.wait_s(10, 0) == pytest.approx(7)


def test_time_that_runs_backwards_changes_nothing():
    still = level(100, 50.0, at=10.0)
    assert still.left(9) == 100


@pytest.mark.parametrize(
    ("reset_s", "refills_continuously"),
    [(30.0, True), (32.9, True), (27.1, True), (33.6, False), (26.4, False)],
)
def test_a_reset_may_be_off_by_a_tenth_from_that_of_a_continuous_refill(
    reset_s, refills_continuously
):
    """Half of 600 a minute is missing: full in 30 s, if it refills continuously."""
    half = level(300, reset_s)
    assert (half.left(6.0) > 300) is refills_continuously


def test_of_two_reports_about_the_same_time_the_later_one_counts():
    same_time = level(100, 50.0, at=20.0)
    report(same_time, 90, 51.0, at=20.0)
    assert same_time.left(20) == 90


@pytest.mark.parametrize("limit", [1.0, 0.001, 100.0])
@pytest.mark.parametrize("reset_s", [999_999_999.0, 86_400.0, 3_601.0, 400.0])
@pytest.mark.parametrize("fixed", [True, False])
def test_no_report_shuts_anything_for_longer_than_300_s(limit, reset_s, fixed):
    level = VendorLevel(limit, 0.0, fixed=fixed)
    level.report(RateLimit(limit, 0.0, reset_s), sent_at=10.0, spent=0)

    assert 0 < level.wait_s(1.0, 10.0, one_call=False) <= 300.2
    assert level.wait_s(1.0, 310.2, one_call=False) == 0.0
    level.spent += 1
    if limit <= 1:
        assert 0 < level.wait_s(1.0, 310.2, one_call=False) <= 300.01

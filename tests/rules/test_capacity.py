"""Capacity: unknown limits block nothing, known limits are kept."""

import pytest

from llmproxy.batteries.shared_state.quota.shared_minute import SharedMinute
from llmproxy.operations.rate_limits import RateLimit, RateLimits
from llmproxy.rules.capacity import Capacity

ON_THE_WAY_S = 0.1


def limits_of(requests=None, tokens=None):
    """(limit, remaining, reset_s) of each dimension."""
    return RateLimits(
        RateLimit(*requests) if requests else None, RateLimit(*tokens) if tokens else None
    )


def knowing(requests=None, tokens=None, *, now=0.0, **settings):
    """A capacity that has learned this from an answer."""
    capacity = Capacity(**settings)
    reservation = capacity.reserve(0, now)
    capacity.learn(reservation, limits_of(requests, tokens))
    capacity.settle(reservation, None, now)
    return capacity


def test_unknown_limits_neither_block_nor_inflate():
    capacity = Capacity()
    for _ in range(1_000):
        capacity.reserve(10**6, 0.0)
    assert capacity.has_room(10**9, 0.0)
    assert capacity.wait_s(10**9, 0.0) == 0
    assert capacity.left(0.0) == (None, None)
    assert capacity.limits == (None, None)
    assert not capacity.bounded


def test_a_limit_of_requests_does_not_limit_tokens_nor_the_reverse():
    capacity = knowing(requests=(600, 100, None))
    assert capacity.left(0.0) == (100, None)
    assert capacity.has_room(10**9, 0.0)
    capacity = knowing(tokens=(1_000, 100, None))
    assert capacity.left(0.0) == (None, 100)
    assert not capacity.has_room(101, 0.0)


def test_no_60_seconds_hold_more_than_the_operator_allows():
    capacity = Capacity(rpm=3)
    for second in (0, 10, 20):
        assert capacity.has_room(0, second)
        capacity.reserve(0, second)
    assert not capacity.has_room(0, 21)
    assert 39 <= capacity.wait_s(0, 21) <= 39.5
    assert not capacity.has_room(0, 59.9)
    assert capacity.has_room(0, 60.5)
    capacity.reserve(0, 60.5)
    assert not capacity.has_room(0, 60.6)


def test_the_operators_limit_caps_the_vendors_and_the_other_way_round():
    capacity = knowing(requests=(600, 600, None), rpm=10)
    assert capacity.limits == (10, None)
    assert capacity.left(0.0) == (9, None)
    capacity = knowing(requests=(5, 5, None), rpm=10)
    assert capacity.limits == (5, None)
    assert capacity.left(0.0) == (5, None)


def test_the_operators_tokens_are_corrected_by_what_was_used_and_the_vendors_are_not():
    own, vendors = Capacity(tpm=1_000), knowing(tokens=(1_000, 1_000, None))
    for capacity, left in ((own, 900), (vendors, 200)):
        reservation = capacity.reserve(800, 0.0)
        capacity.settle(reservation, 100, 0.0)
        assert capacity.left(0.0)[1] == left


def test_a_call_that_used_more_than_was_reserved_is_charged_for_it():
    capacity = Capacity(tpm=1_000)
    assert capacity.has_room(400, 0.0)
    reservation = capacity.reserve(400, 0.0)
    capacity.settle(reservation, 950, 0.0)
    assert capacity.left(0.0)[1] == 50
    assert not capacity.has_room(100, 0.0)


def test_what_was_never_sent_costs_nothing():
    capacity = knowing(requests=(600, 10, None), tokens=(1_000, 500, None), rpm=20, tpm=700)
    before = capacity.left(0.0)
    reservation = capacity.reserve(300, 0.0)
    assert capacity.left(0.0) != before
    capacity.give_back(reservation, 0.0)
    assert capacity.left(0.0) == before
    assert capacity.in_flight == 0


def test_what_was_never_sent_does_not_hide_what_was_sent_later():
    capacity = knowing(requests=(600, 600, None))
    unsent, early = capacity.reserve(0, 1.0), capacity.reserve(0, 1.0)
    capacity.give_back(unsent, 1.0)
    capacity.reserve(0, 1.0)
    capacity.learn(early, limits_of((600, 10, 59.0)))
    assert capacity.left(1.0)[0] == 10 - 1


def test_a_reservation_ends_once_however_often_it_is_settled():
    capacity = Capacity(tpm=1_000)
    reservation = capacity.reserve(500, 0.0)
    capacity.settle(reservation, 200, 0.0)
    capacity.settle(reservation, 100, 0.0)
    capacity.give_back(reservation, 0.0)
    assert capacity.left(0.0)[1] == 800
    assert capacity.in_flight == 0


def test_only_so_many_calls_run_at_a_time():
    capacity = Capacity(concurrent=2)
    first = capacity.reserve(0, 0.0)
    assert capacity.has_room(0, 0.0)
    capacity.reserve(0, 0.0)
    assert not capacity.has_room(0, 0.0)
    assert capacity.wait_s(0, 0.0) == 1.0
    capacity.settle(first, None, 1.0)
    assert capacity.has_room(0, 1.0)


def test_a_late_answer_counts_what_was_sent_after_its_request():
    capacity = knowing(requests=(600, 600, None), tokens=(10_000, 10_000, None))
    slow = capacity.reserve(100, 10.0)
    for _ in range(50):
        capacity.settle(capacity.reserve(100, 20.0), None, 20.0)
    # Half a minute later it reports the moment of 10 s: nearly nothing was left.
    capacity.learn(slow, limits_of((600, 60, 54.0), (10_000, 5_100, 29.4)))
    requests, tokens = capacity.left(10.0)
    assert requests == pytest.approx(60 - 50)
    assert tokens == pytest.approx(5_100 - 5_000)
    assert capacity.left(40.0 + ON_THE_WAY_S)[0] == pytest.approx(60 - 50 + 30 * 10)


def test_an_answer_that_was_overtaken_changes_nothing():
    capacity = Capacity()
    early, late = capacity.reserve(0, 1.0), capacity.reserve(0, 2.0)
    capacity.learn(late, limits_of((600, 5, 59.5)))
    capacity.learn(early, limits_of((600, 300, 30.0)))
    assert capacity.left(2.0)[0] == pytest.approx(5)


def test_a_report_of_less_takes_capacity_away():
    capacity = knowing(requests=(600, 600, None))
    assert capacity.has_room(0, 0.0)
    capacity.learn(capacity.reserve(0, 1.0), limits_of((600, 0, 60.0)))
    assert not capacity.has_room(0, 1.0)


def test_a_limit_that_is_lowered_or_raised_is_followed():
    capacity = knowing(requests=(600, 600, None))
    assert capacity.has_room(0, 0.0)
    capacity.learn(capacity.reserve(0, 1.0), limits_of((60, 0, 60.0)))
    assert capacity.limits == (60, None)
    assert capacity.wait_s(0, 1.0 + ON_THE_WAY_S) == pytest.approx(1.0)
    capacity.learn(capacity.reserve(0, 2.0), limits_of((6_000, 5_000, None)))
    assert capacity.limits == (6_000, None)
    assert capacity.left(2.0)[0] == 5_000


def test_azures_seconds_are_kept_from_the_first_answer_on():
    capacity = Capacity(fixed_windows=True)
    first = capacity.reserve(0, 0.0)
    for _ in range(8):
        capacity.reserve(0, 0.1)  # nothing is known yet
    capacity.learn(first, limits_of((600, 599, 60.0)))
    assert capacity.has_room(0, 0.2)
    capacity.reserve(0, 0.2)
    assert not capacity.has_room(0, 0.2)
    assert capacity.wait_s(0, 0.2) == pytest.approx(0.815)


def test_a_call_above_the_whole_limit_waits_for_all_of_it_and_goes():
    capacity = Capacity(tpm=100)
    assert capacity.has_room(500, 0.0)
    capacity.reserve(500, 0.0)
    assert not capacity.has_room(1, 1.0)
    assert not capacity.has_room(500, 59.0)
    assert capacity.has_room(500, 61.0)


def test_the_wait_of_several_calls_is_that_of_the_last():
    capacity = knowing(requests=(60, 0, 60.0), tokens=(60_000, 0, 60.0))
    assert capacity.wait_s(0, ON_THE_WAY_S, requests=10) == pytest.approx(10)
    assert capacity.wait_s(90_000, ON_THE_WAY_S, requests=10) == pytest.approx(90)


def test_after_a_429_without_limits_one_call_goes_then_two_for_each_answered():
    capacity = Capacity()
    capacity.throttled()
    first = capacity.reserve(0, 5.0)
    assert not capacity.has_room(0, 5.0)
    capacity.answered()
    capacity.settle(first, None, 5.1)
    for _ in range(2):
        assert capacity.has_room(0, 5.1)
        capacity.reserve(0, 5.1)
    assert not capacity.has_room(0, 5.1)
    for _ in range(32):
        capacity.answered()
    for _ in range(500):
        capacity.reserve(0, 6.0)
    assert capacity.has_room(0, 6.0)


def test_one_call_may_always_probe_a_vendor_that_throttled():
    capacity = Capacity()
    refused = [capacity.reserve(0, 0.0) for _ in range(5)]
    capacity.throttled()
    for reservation in refused:
        capacity.settle(reservation, None, 1.0)
    assert capacity.has_room(0, 1.0)
    lost = capacity.reserve(0, 1.0)
    assert not capacity.has_room(0, 1.0)
    capacity.settle(lost, None, 2.0)  # it failed for another reason, without an answer
    assert capacity.has_room(0, 2.0)


def test_a_vendor_that_reports_limits_is_not_probed():
    capacity = knowing(requests=(600, 500, None))
    capacity.throttled()
    for _ in range(10):
        assert capacity.has_room(0, 0.0)
        capacity.reserve(0, 0.0)


def test_headers_are_read_rarely_while_much_is_left():
    def knowing_twice(left):
        capacity = knowing(requests=(600, left, None), now=0.99)
        assert capacity.has_room(0, 1.0)
        capacity.learn(capacity.reserve(0, 1.0), limits_of((600, left, None)))
        return capacity

    capacity = knowing_twice(590)
    assert not capacity.needs_headers(capacity.reserve(0, 1.001))
    assert capacity.needs_headers(capacity.reserve(0, 1.02))
    nearly_full = knowing_twice(100)
    assert nearly_full.needs_headers(nearly_full.reserve(0, 1.001))
    assert Capacity().needs_headers(Capacity().reserve(0, 1.0))


def test_headers_are_read_while_few_tokens_are_left_although_many_requests_are():
    def needs_headers(tokens_left):
        limits = {"requests": (600, 590, None), "tokens": (60_000, tokens_left, None)}
        capacity = knowing(**limits, now=0.99)
        assert capacity.has_room(0, 1.0)
        capacity.learn(capacity.reserve(0, 1.0), limits_of(**limits))
        return capacity.needs_headers(capacity.reserve(0, 1.001))

    assert not needs_headers(59_000)
    assert needs_headers(10_000)


def test_what_was_just_reserved_is_no_longer_left_by_the_vendor_s_account():
    capacity = knowing(requests=(60, 50, 10.0), tokens=(6_000, 5_000, 10.0), fixed_windows=True)
    capacity.reserve(70, 1.0)
    assert capacity.vendor_left(1.0) == (49, 4_930)


class PlentifulQuota:
    """A quota that always has enough, shared by this many instances."""

    def __init__(self, instances):
        self.share = None
        self.instances = instances

    def gate(self, window, rpm, tpm):
        return SharedMinute(self, window, rpm, tpm)

    def wait_s(self, requests, tokens, now):
        return 0.0

    def reserve(self, tokens, now):
        pass


def test_what_was_sent_and_the_operator_s_limits_are_kept_when_they_are_shared():
    capacity = Capacity(rpm=5, tpm=900)
    capacity.reserve(70, 1.0)
    capacity.share(PlentifulQuota(2))
    assert (capacity.rpm, capacity.tpm) == (5, 900)
    assert capacity.sent_in_last_minute(2.0) == (1, 70)


def test_what_was_sent_counts_under_other_limits_of_the_operator():
    capacity = Capacity(rpm=5)
    capacity.reserve(70, 1.0)
    capacity.change_limits("here", rpm=6, tpm=None, concurrent=None)
    assert capacity.left(2.0) == (5, None)
    capacity.change_limits("here", rpm=None, tpm=None, concurrent=2)
    assert (capacity.left(2.0), capacity.concurrent) == ((None, None), 2)


def test_without_limits_of_its_own_a_shared_capacity_still_counts_what_it_sends():
    capacity = Capacity()
    capacity.share(PlentifulQuota(2))
    capacity.reserve(70, 1.0)
    assert capacity.sent_in_last_minute(2.0) == (1, 70)


@pytest.mark.parametrize(("instances", "permits"), [(1, 5), (2, 2), (5, 1), (100, 1)])
def test_each_of_several_instances_has_an_even_part_of_the_requests_at_a_time(instances, permits):
    capacity = Capacity(concurrent=5)
    capacity.share(PlentifulQuota(instances))

    taken = 0
    while capacity.has_room(0, 0.0):
        capacity.reserve(0, 0.0)
        taken += 1
    assert taken == permits

"""A lease dispatches what was granted, and requests a little ahead of need."""

import pytest

from tests.shared_state.leasing import START, grant, shared, supply

SLOT_S = 0.25

# What may be dispatched


def test_without_limits_everything_may_be_dispatched_and_nothing_is_requested():
    lease = shared(None, None)
    lease.reserve(10**9, START)
    assert lease.covers(10**9, START)
    assert lease.wait_s(1, 10**9, START) == 0.0
    assert lease.next_request(START) is None


def test_with_a_limit_nothing_may_be_dispatched_before_a_grant():
    assert not shared().covers(1, START)


def test_what_was_granted_may_be_dispatched_once():
    lease = shared()
    supply(lease, 2, 100, START)
    assert lease.covers(100, START)
    assert not lease.covers(101, START)
    lease.reserve(60, START)
    assert lease.covers(40, START)
    lease.reserve(40, START)
    assert not lease.covers(0, START)


def test_only_the_dimension_that_has_a_limit_counts():
    lease = shared(tpm=None)
    supply(lease, 1, 0, START)
    assert lease.covers(10**9, START)
    lease.reserve(10**9, START)
    assert not lease.covers(0, START)


def test_a_call_above_the_limit_needs_all_of_it():
    lease = shared(tpm=1000)
    lease.note_waiting(5000)
    assert lease.next_request(START).need_tokens == 1000
    lease.receive(grant(1, 1000), START)
    assert lease.covers(5000, START)


@pytest.mark.parametrize("later_s", [2 * SLOT_S, 3 * SLOT_S, 10.0])
def test_what_expires_is_given_back(later_s):
    lease = shared()
    supply(lease, 3, 300, START)
    lease.reserve(100, START)
    assert lease.covers(100, START + 2 * SLOT_S - 0.001)
    assert not lease.covers(100, START + later_s)
    (returned,) = [
        report for report in lease.next_request(START + later_s).reports if report.tokens < 0
    ]
    assert (returned.requests, returned.tokens) == (-2, -200)


def test_what_expires_is_given_back_to_a_slot_not_later_than_its_grant():
    lease = shared()
    supply(lease, 3, 300, START)
    (returned,) = lease.next_request(START + 2 * SLOT_S).reports
    # One slot more because the window's slots begin elsewhere, and one for the way there.
    assert returned.age_slots == 4


def test_a_slow_grant_expires_sooner():
    lease = shared()
    lease.note_waiting(100)
    lease.next_request(START)
    lease.receive(grant(1, 100), START + SLOT_S)
    assert lease.covers(100, START + 2 * SLOT_S - 0.001)
    assert not lease.covers(100, START + 2 * SLOT_S)


def test_a_grant_that_comes_too_late_is_returned_at_once():
    lease = shared()
    lease.note_waiting(100)
    lease.next_request(START)
    lease.receive(grant(1, 100), START + 2 * SLOT_S)
    assert not lease.covers(100, START + 2 * SLOT_S)
    assert lease.next_request(START + 2 * SLOT_S).reports[0].requests == -1


# What is requested


def test_a_call_that_waits_asks_for_what_it_needs():
    lease = shared()
    lease.note_waiting(500)
    ask = lease.next_request(START)
    assert (ask.rpm, ask.tpm, ask.waiting) == (600, 100_000, True)
    assert (ask.need_requests, ask.need_tokens) == (1, 500)
    assert (ask.want_requests, ask.want_tokens) == (1, 500)


def test_the_first_of_several_must_be_served_and_the_others_may():
    lease = shared()
    for tokens in (500, 300, 200):
        lease.note_waiting(tokens)
    ask = lease.next_request(START)
    assert (ask.need_requests, ask.need_tokens) == (1, 500)
    assert (ask.want_requests, ask.want_tokens) == (3, 1000)


def test_only_what_is_missing_is_requested():
    lease = shared()
    supply(lease, 1, 200, START)
    lease.note_waiting(500)
    ask = lease.next_request(START + 0.1)
    assert (ask.want_requests, ask.want_tokens) == (0, 300)


def test_a_waiting_call_that_is_noted_again_is_counted_once():
    lease = shared()
    lease.note_waiting(500)
    lease.next_request(START)
    lease.receive(grant(wait_s=5.0), START)
    lease.note_waiting(500)
    assert lease.next_request(START + 0.15).want_requests == 1


def test_a_call_that_went_elsewhere_makes_the_lease_request_for_the_next():
    lease, woken = shared(), []
    lease.on_work = lambda: woken.append(True)
    assert lease.wait_s(1, 700, START) > 0
    assert not lease.covers(500, START)
    assert woken
    ask = lease.next_request(START)
    assert (ask.waiting, ask.want_requests, ask.want_tokens) == (False, 1, 500)
    assert (ask.need_requests, ask.need_tokens) == (1, 500)


def test_repeated_shortages_wake_the_sender_once():
    lease, woken = shared(), []
    lease.on_work = lambda: woken.append(True)
    for _ in range(100):
        lease.covers(500, START)
    assert len(woken) == 1


def test_a_balance_too_small_for_a_call_is_filled_up():
    lease = shared()
    supply(lease, 1, 300, START)
    assert not lease.covers(500, START)
    ask = lease.next_request(START + 0.02)
    assert (ask.want_requests, ask.want_tokens) == (0, 200)


def test_it_has_no_work_when_a_shortage_is_over():
    lease = shared()
    lease.covers(500, START)
    lease.next_request(START)
    lease.covers(500, START)  # once more, before the answer
    lease.receive(grant(1, 500), START)
    lease.next_request(START + 0.02)
    lease.reserve(500, START + 0.02)
    assert lease.next_request(START + 0.04) is None
    assert not lease.has_work


def test_a_call_noted_while_the_reply_is_on_its_way_is_still_waiting_after_it():
    lease = shared()
    lease.note_waiting(500)
    lease.next_request(START)
    lease.note_waiting(300)
    lease.receive(grant(1, 500), START)
    lease.reserve(500, START)
    request = lease.next_request(START + 0.02)
    assert (request.waiting, request.want_requests, request.want_tokens) == (True, 1, 300)


def test_a_call_that_was_granted_everything_waits_no_longer():
    lease = shared()
    lease.note_waiting(500)
    lease.next_request(START)
    lease.receive(grant(1, 500), START)
    lease.reserve(500, START)
    assert lease.next_request(START + 0.02) is None


def test_one_request_is_under_way_at_a_time():
    lease = shared()
    lease.note_waiting(500)
    assert lease.next_request(START) is not None
    lease.note_waiting(500)
    assert lease.next_request(START + 0.02) is None


def test_after_a_refusal_it_requests_again_when_there_may_be_room():
    lease = shared()
    lease.note_waiting(500)
    lease.next_request(START)
    lease.receive(grant(wait_s=0.05), START)
    assert lease.next_request(START + 0.04) is None
    assert lease.has_work
    assert lease.next_request(START + 0.06) is not None


def test_the_wait_is_what_the_shared_window_replied():
    lease = shared()
    lease.note_waiting(500)
    lease.next_request(START)
    lease.receive(grant(wait_s=7.5), START)
    assert lease.wait_s(1, 500, START + 0.5) == pytest.approx(7.0)


def test_a_call_that_waits_no_longer_is_forgotten():
    lease = shared()
    lease.note_waiting(500)
    lease.next_request(START)
    lease.receive(grant(wait_s=5.0), START)
    assert lease.next_request(START + 0.5) is None
    assert not lease.has_work


def test_under_steady_traffic_a_tenth_of_a_second_is_leased_ahead():
    lease = shared(60_000, 10**9)
    now = START
    for _ in range(100):  # 500 calls a second of 40 tokens
        for _ in range(10):
            lease.reserve(40, now)
        now += 0.02
        if (ask := lease.next_request(now)) is not None:
            lease.receive(grant(ask.want_requests, ask.want_tokens), now)
    covered = 0
    while lease.covers(40, now) and covered < 1000:
        lease.reserve(40, now)
        covered += 1
    assert 25 <= covered <= 55  # it is refilled when half is gone


def test_rare_calls_request_nothing_ahead():
    lease = shared()
    supply(lease, 1, 100, START)
    lease.reserve(100, START)
    lease.next_request(START + 5.0)
    lease.reserve(100, START + 5.0)
    ask = lease.next_request(START + 10.0)
    assert (ask.want_requests, ask.want_tokens) == (0, 0)


def test_it_has_no_work_when_all_is_reported_and_wakes_the_sender():
    lease, woken = shared(), []
    lease.on_work = lambda: woken.append(True)
    supply(lease, 1, 100, START)
    lease.reserve(100, START)
    woken.clear()
    assert lease.next_request(START + 0.02) is None
    assert not lease.has_work
    lease.reserve(100, START + 0.03)
    assert lease.has_work
    assert woken


def test_azure_has_a_limit_of_short_windows():
    lease = shared(600, None, smooth=True)
    lease.note_waiting(1)
    burst = lease.next_request(START).burst
    assert burst.slots * SLOT_S == pytest.approx(1.25)
    assert burst.requests == 12  # 600 a minute are 12 in 1.25 s


@pytest.mark.parametrize("rpm", [1, 6, 60, 600, 6000])
def test_a_short_window_never_allows_less_than_the_limit(rpm):
    lease = shared(rpm, None, smooth=True)
    lease.note_waiting(1)
    burst = lease.next_request(START).burst
    assert burst.requests >= 1
    assert burst.requests >= rpm * burst.slots * SLOT_S / 60 - 1

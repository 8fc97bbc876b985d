"""A lease reports what was dispatched without a grant, by slot and once, and goes on when the
server is away or comes back empty."""

import pytest

from llmproxy.batteries.shared_state.quota import Lease
from tests.shared_state.leasing import START, grant, shared, supply

LIFE_SLOTS = 2
SLOT_S = 0.25
WINDOW_SLOTS = 243

# Overdrafts


def test_what_is_dispatched_without_a_grant_is_reported():
    lease = shared()
    lease.reserve(500, START)
    (report,) = lease.next_request(START).reports
    assert (report.age_slots, report.requests, report.tokens) == (0, 1, 500)


def test_only_the_part_that_is_not_covered_is_reported():
    lease = shared()
    supply(lease, 1, 200, START)
    lease.reserve(500, START)
    (report,) = lease.next_request(START).reports
    assert (report.requests, report.tokens) == (0, 300)


def test_an_overdraft_is_reported_to_the_slot_in_which_it_was_made():
    lease = shared()
    lease.go_local()
    lease.reserve(100, START)
    lease.reserve(100, START + 1.0)
    lease.reserve(100, START + 1.0)
    reports = lease.next_request(START + 30.0).reports
    assert {(report.age_slots, report.requests, report.tokens) for report in reports} == {
        (120, 1, 100),
        (116, 2, 200),
    }


def test_an_overdraft_older_than_a_minute_is_not_reported():
    lease = shared()
    lease.go_local()
    lease.reserve(100, START)
    lease.reserve(100, START + 50.0)
    (report,) = lease.next_request(START + 62.0).reports
    assert report.age_slots == 48


def test_after_a_lost_reply_overdrafts_are_reported_again_but_returns_are_not():
    lease = shared()
    supply(lease, 3, 300, START)
    now = START + 2 * SLOT_S
    lease.reserve(100, now)
    assert len(lease.next_request(now).reports) == 2
    lease.request_failed()
    (report,) = lease.next_request(now).reports
    assert (report.requests, report.tokens) == (1, 100)


# How much of an overdraft


def test_a_little_may_be_dispatched_before_it_is_granted():
    lease = shared(600, 100_000, instances=4)
    supply(lease, 1, 1, START, has_room=True)
    lease.reserve(1, START)
    dispatched = 0
    while lease.covers(10, START):
        lease.reserve(10, START)
        dispatched += 1
    assert dispatched == 3  # 2 % of 600 are 12, for four


def test_tokens_have_an_overdraft_too():
    lease = shared(600, 100_000, instances=4)
    supply(lease, 1, 1, START, has_room=True)
    assert lease.covers(500, START)
    assert not lease.covers(502, START)


def test_there_is_no_overdraft_when_the_window_was_full():
    lease = shared(600, 100_000)
    supply(lease, 1, 1, START, has_room=False)
    lease.reserve(1, START)
    assert not lease.covers(1, START)


def test_the_overdraft_is_available_again_when_it_was_reported_and_room_is_left():
    lease = shared(600, None, instances=12)
    supply(lease, 0, 0, START)
    supply(lease, 1, 0, START + 1, has_room=True)
    lease.reserve(1, START + 1)
    lease.reserve(1, START + 1)  # an overdraft of one
    assert not lease.covers(1, START + 1)
    lease.next_request(START + 1)
    assert not lease.covers(1, START + 1)
    lease.receive(grant(0, 0, has_room=True), START + 1)
    assert lease.covers(1, START + 1)


def test_with_many_instances_there_is_no_overdraft():
    lease = shared(600, 100_000, instances=1000)
    supply(lease, 1, 1, START, has_room=True)
    lease.reserve(1, START)
    assert not lease.covers(1, START)


# Corrections


def test_a_call_that_was_never_sent_is_given_back():
    lease = shared()
    supply(lease, 1, 100, START)
    lease.reserve(100, START)
    lease.give_back(100, START, START)
    (report,) = lease.next_request(START + 1.0).reports
    assert (report.requests, report.tokens) == (-1, -100)


def test_what_is_given_back_is_booked_no_later_than_its_grant():
    lease = shared()
    supply(lease, 1, 100, START)
    lease.reserve(100, START + SLOT_S)  # asked for one slot before
    lease.correct(-60, START + SLOT_S, START + SLOT_S)
    (report,) = lease.next_request(START + SLOT_S).reports
    assert (report.age_slots, report.tokens) == (3, -60)


def test_tokens_used_beyond_the_reservation_are_reported():
    lease = shared()
    supply(lease, 1, 100, START)
    lease.reserve(100, START)
    lease.correct(60, START, START)
    (report,) = lease.next_request(START).reports
    assert (report.age_slots, report.requests, report.tokens) == (0, 0, 60)


def test_a_correction_of_a_call_that_has_left_the_window_is_ignored():
    lease = shared()
    lease.reserve(100, START)
    lease.next_request(START)
    lease.receive(grant(), START)
    lease.next_request(START + 70.0)
    lease.correct(-60, START, START)
    assert lease.next_request(START + 70.0) is None


# When the server is away


def test_without_the_server_it_keeps_to_its_part():
    lease = shared(instances=4)
    assert lease.share is None
    lease.go_local()
    assert lease.share == 0.25
    lease.set_instances(5)
    assert lease.share == 0.2
    lease.go_shared()
    assert lease.share is None


def test_it_begins_in_the_local_state():
    assert Lease().share == 1.0


def test_a_reply_makes_it_shared():
    lease = shared()
    lease.go_local()
    lease.reserve(100, START)
    lease.next_request(START)
    lease.receive(grant(), START)
    assert lease.share is None


def test_the_last_minute_is_reported_to_a_window_that_came_back_empty():
    lease = shared(instances=2)
    supply(lease, 5, 500, START)
    lease.reserve(100, START)
    lease.reserve(100, START + 0.1)
    lease.note_waiting(1000)
    assert lease.next_request(START + 10).epoch == "e"
    lease.receive(grant(epoch="other", lost=True), START + 10)
    ask = lease.next_request(START + 10)
    assert ask.epoch == "other"
    assert [(report.age_slots, report.requests, report.tokens) for report in ask.reports] == [
        (40, 2, 200)
    ]


def test_what_a_lost_window_granted_is_dropped():
    lease = shared()
    supply(lease, 5, 500, START)
    lease.note_waiting(1000)
    lease.next_request(START + 0.01)
    lease.receive(grant(epoch="other", lost=True), START + 0.01)
    assert not lease.covers(1, START + 0.01)


def test_it_keeps_to_its_part_until_the_others_have_reported():
    lease = shared(instances=4)
    supply(lease, 1, 100, START)
    lease.reserve(100, START)
    lease.note_waiting(100)
    lease.next_request(START + 1)
    lease.receive(grant(epoch="other", lost=True), START + 1)
    lease.next_request(START + 1)
    lease.receive(grant(1, 100, epoch="other"), START + 1)
    assert lease.share == 0.25
    lease.go_shared()
    assert lease.share == 0.25
    assert lease.has_work
    lease.next_request(START + 3.1)
    assert lease.share is None


@pytest.mark.parametrize(("after_s", "share"), [(1.99, 0.25), (2.0, None)])
def test_it_keeps_to_its_part_for_two_seconds_after_the_window_was_lost(after_s, share):
    """Decision 011 promises the two seconds."""
    lease = shared(instances=4)
    supply(lease, 1, 100, START)
    lease.reserve(100, START)
    lease.note_waiting(100)
    lease.next_request(START + 1)
    lease.receive(grant(epoch="other", lost=True), START + 1)
    lease.next_request(START + 1 + after_s)
    assert lease.share == share


def test_while_it_settles_a_lost_and_a_regained_view_change_nothing():
    lease = shared(instances=4)
    lease.note_waiting(100)
    lease.next_request(START)
    lease.receive(grant(epoch="other", lost=True), START)
    for change in (lease.go_local, lease.go_shared, lease.go_local):
        change()
        assert lease.share == 0.25
    lease.next_request(START + 2.0)
    assert lease.share is None


def test_the_numbers_of_decision_011():
    """A granted unit lives two slots of 0.25 s, and the window is 60.75 s long."""
    assert (SLOT_S, LIFE_SLOTS, WINDOW_SLOTS) == (0.25, 2, 243)
    assert WINDOW_SLOTS * SLOT_S == 60.75


def test_after_an_outage_it_verifies_the_window():
    lease = shared()
    supply(lease, 1, 100, START)
    lease.reserve(100, START)
    assert lease.next_request(START + 5) is None
    lease.verify_window()
    ask = lease.next_request(START + 5)
    assert ask.epoch == "e"
    assert (ask.want_requests, ask.want_tokens, ask.reports) == (0, 0, ())


def test_without_dispatches_in_the_last_minute_there_is_nothing_to_verify():
    lease = shared()
    supply(lease, 1, 100, START)
    lease.reserve(100, START)
    lease.next_request(START + 70)
    lease.verify_window()
    assert lease.next_request(START + 70) is None
    lease.note_waiting(100)
    assert lease.next_request(START + 70).epoch == ""


def test_what_was_dispatched_before_the_limit_was_known_is_reported_then():
    lease = shared(None, None)
    lease.reserve(100, START)
    lease.reserve(100, START + 1)
    lease.set_limits(600, 100_000)
    reports = lease.next_request(START + 2).reports
    assert sum(report.requests for report in reports) == 2
    assert sum(report.tokens for report in reports) == 200


def test_a_limit_that_is_no_longer_known_bounds_nothing():
    lease = shared()
    lease.set_limits(None, None)
    assert lease.covers(10**9, START)


def test_a_shorter_window_forgets_sooner():
    lease = shared(window_slots=8)
    lease.reserve(100, START)
    assert lease.next_request(START + 8 * SLOT_S + SLOT_S) is None

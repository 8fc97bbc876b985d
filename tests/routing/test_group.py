"""Whose checkout it is, and who waits."""

from math import inf

import pytest

from llmproxy.routing import CallDemand
from tests.routing.pools import by_name, fail, group, served, tell


def chosen(group, demand=None, now=0.0):
    state = group.choose(demand or CallDemand(), now)
    return state and state.endpoint.name


def test_turns_follow_the_weights():
    three = group(("a", 3, 0), ("b", 2, 0), ("c", 1, 0))
    names = [chosen(three) for _ in range(60)]
    assert [names.count(name) for name in "abc"] == [30, 20, 10]


def test_a_higher_tier_is_for_when_the_lower_is_out_and_weight_0_is_the_last_resort():
    tiers = group(("last", 0, 0), ("dear", 1, 1), ("cheap", 1, 0))
    order = []
    for _ in range(3):
        order.append(chosen(tiers, now=1))
        fail(by_name(tiers)[order[-1]], 1)
    assert order == ["cheap", "dear", "last"]
    assert chosen(tiers, now=1) is None


def test_what_was_tried_is_not_chosen_again_while_another_is_left():
    two = group(("a", 1, 0), ("b", 1, 0))
    demand = CallDemand()
    demand.excluded.append(two.choose(demand, 0))
    second = two.choose(demand, 0)
    assert second not in (None, demand.excluded[0])
    demand.excluded.append(second)
    assert two.choose(demand, 0) is None


def test_room_that_a_queued_call_needs_is_not_given_to_others():
    one = group(("only", 1, 0))
    assert not one.full(CallDemand(), 1)
    one.queue.join(CallDemand())
    assert one.full(CallDemand(), 1)
    assert not one.full(CallDemand(priority=1), 1)
    fail(by_name(one)["only"], 1)
    by_name(one)["only"].cool(20, "failed")
    assert not one.full(CallDemand(), 2), "it is broken, and no limit is in the way"


def test_least_busy_takes_the_one_with_the_fewest_calls_for_its_weight():
    two = group(("a", 2, 0), ("b", 1, 0), strategy="least_busy")
    turns = [two.take(CallDemand(), 0) for _ in range(30)]
    assert [by_name(two)[name].in_flight for name in "ab"] == [20, 10]
    at_a = [checkout for checkout in turns if checkout.state.endpoint.name == "a"]
    for checkout in at_a[:15]:
        checkout.end(0)
    assert chosen(two) == "a"


def test_an_endpoint_that_is_full_is_passed_over_within_its_tier():
    two = group(("a", 1, 0), ("b", 1, 0))
    tell(by_name(two)["a"], 0, 17.0)
    assert {chosen(two, now=1) for _ in range(4)} == {"b"}


def test_a_call_too_big_for_what_is_left_goes_where_more_is_left():
    two = group(("a", 1, 0), ("b", 1, 0))
    tell(by_name(two)["a"], 50, 17.0, tokens=True)
    assert {chosen(two, CallDemand(51), now=1) for _ in range(4)} == {"b"}
    assert {chosen(two, CallDemand(50), now=1) for _ in range(4)} == {"a", "b"}


def tiered():
    """A cheap endpoint that is full until 17 s, and a dear one."""
    tiers = group(("cheap", 1, 0), ("dear", 1, 1))
    tell(by_name(tiers)["cheap"], 0, 17.0, limit=1)
    return tiers


def test_a_full_tier_is_waited_for_if_it_has_room_before_the_call_may_spill():
    tiers = tiered()
    assert chosen(tiers, CallDemand(spill_at=17.5), now=16.5) is None
    assert chosen(tiers, CallDemand(spill_at=16.9), now=16.5) == "dear"
    assert chosen(tiers, CallDemand(spill_at=17.5), now=17.2) == "cheap"


def test_a_tier_whose_breakers_are_open_is_not_waited_for():
    tiers = group(("cheap", 1, 0), ("dear", 1, 1))
    fail(by_name(tiers)["cheap"], 1)
    assert chosen(tiers, CallDemand(spill_at=1e9), now=1) == "dear"


def test_a_newcomer_does_not_overtake_queued_calls():
    one = group(("a", 1, 0, {"concurrent": 1}))
    checkout = one.take(CallDemand(), 0)
    one.queue.join(CallDemand())
    checkout.end(1)
    assert served(one, now=1) is None
    assert served(one, CallDemand(priority=1), now=1) == "a"


def test_while_they_wait_for_a_cheap_place_the_dear_tier_is_open_to_others():
    tiers = tiered()
    tiers.queue.join(CallDemand(spill_at=17.5))
    assert served(tiers, CallDemand(spill_at=17.5), now=16.5) == "dear"


def test_queued_calls_are_served_in_order_as_far_as_there_is_room():
    one = group(("a", 1, 0, {"concurrent": 2}))
    waiting = [CallDemand() for _ in range(3)]
    for demand in waiting:
        one.queue.join(demand)
    assert [demand for demand, _ in one.serve_queue(0)] == waiting[:2]
    assert list(one.queue) == waiting[2:]


def test_a_call_with_excluded_endpoints_delays_no_other_and_the_others_keep_their_order():
    two = group(("a", 1, 0, {"concurrent": 1}), ("b", 1, 0, {"concurrent": 1}))
    a, b = two.states
    two.take(CallDemand(), 0)
    two.take(CallDemand(), 0)
    stuck, big, small = CallDemand(), CallDemand(), CallDemand()
    stuck.excluded.append(b)
    for demand in (stuck, big, small):
        two.queue.join(demand)
    assert list(two.serve_queue(0)) == []
    b.capacity.change_limits(b.capacity.key, rpm=None, tpm=None, concurrent=2)
    assert [demand for demand, _ in two.serve_queue(0)] == [big]
    a.capacity.change_limits(a.capacity.key, rpm=None, tpm=None, concurrent=2)
    assert [demand for demand, _ in two.serve_queue(0)] == [stuck]


def test_the_queue_moves_when_there_is_room_or_a_call_gives_up_a_cheap_place():
    tiers = tiered()
    assert tiers.queue_moves_in_s(3) == inf
    patient = CallDemand(spill_at=17.5)
    tiers.queue.join(patient)
    assert tiers.queue_moves_in_s(16.8) == pytest.approx(0.2)
    tiers.queue.leave(patient)
    one = group(("a", 1, 0))
    tell(one.states[0], 0, 17.0)
    one.queue.join(CallDemand())
    assert one.queue_moves_in_s(3) == pytest.approx(14)


def test_only_calls_that_no_healthy_endpoint_could_serve_are_unservable():
    two = group(("a", 1, 0), ("b", 1, 0))
    a, b = two.states
    anywhere, not_b = CallDemand(), CallDemand()
    not_b.excluded.append(b)
    for demand in (anywhere, not_b):
        two.queue.join(demand)
    assert two.unservable(1) == []
    fail(a, 1)
    assert two.unservable(1) == [not_b]
    fail(b, 1)
    assert two.unservable(1) == [anywhere, not_b]


def test_when_to_come_back_counts_the_queued_calls():
    one = group(("a", 1, 0))
    tell(one.states[0], 0, 60.0, limit=60)  # one a second
    assert one.recovers_in_s((), CallDemand(), 0) == pytest.approx(1)
    for _ in range(4):
        one.queue.join(CallDemand())
    assert one.recovers_in_s((), CallDemand(), 0) == pytest.approx(5)
    assert one.recovers_in_s((), CallDemand(priority=1), 0) == pytest.approx(1)
    assert one.recovers_in_s(one.states, CallDemand(), 0) is None


def test_a_line_shares_its_endpoints():
    two = group(("a", 1, 0), ("b", 1, 0))
    for state in two.states:
        tell(state, 0, 60.0, limit=60)
    for _ in range(4):
        two.queue.join(CallDemand())
    assert two.available_in_s(CallDemand(), 0, newcomer=True) == pytest.approx(3)
    assert two.available_in_s(CallDemand(), 0, newcomer=False) == pytest.approx(1)


def test_full_means_that_limits_are_in_the_way_and_nothing_else():
    two = group(("a", 1, 0), ("b", 1, 0))
    a, b = two.states
    fail(a, 1)
    assert not two.full(CallDemand(), 1)
    b.cool(9, "throttled")
    assert two.full(CallDemand(), 1)
    assert not two.full(CallDemand(), 9.5)
    tell(b, 0, 17.0, now=10)
    assert two.full(CallDemand(), 10.5)


def test_those_that_were_tried_are_not_told_as_skipped():
    two = group(("a", 1, 0), ("b", 1, 0))
    two.states[1].cool(4, "throttled")
    reasons = {skip.endpoint: skip.why for skip in two.skipped([], CallDemand(), 1)}
    assert reasons == {
        "a": "not retried yet",
        "b": "throttled, cooling down for 3.0 s more",
    }


def test_a_call_notes_at_most_eight_of_the_endpoints_that_did_not_take_it():
    many = group(*((f"e{number}", 1, 0) for number in range(12)))
    for state in many.states:
        state.cool(60, "throttled")
    demand = CallDemand()
    assert many.choose(demand, 1) is None
    assert [state.endpoint.name for state in demand.passed_over] == [f"e{n}" for n in range(8)]

"""Hedges: a second attempt beside a silent one, decided without a clock and without any I/O."""

import pytest

from llmproxy.routing import CallDemand
from tests.routing.plays import DRAW, group_of, name_of, silent
from tests.support.faults import failure_at


def test_beside_a_silent_attempt_another_endpoint_is_asked_and_the_first_accepted_wins():
    group, policy = group_of("ab")
    attempts, first = silent(group, policy)
    assert attempts.hedge_in_s() == 60

    hedge = attempts.hedge(60.0)
    assert (name_of(first), name_of(hedge), hedge.is_hedge) == ("a", "b", True)
    assert attempts.hedge_in_s() is None, "two at once are enough"

    attempts.accepted(hedge, 61.0)
    assert attempts.outrun(first, 61.0, DRAW) == []
    attempts.finished(hedge, 62.0, used_tokens=5)
    assert [state.in_flight for state in group.states] == [0, 0]
    assert [state.breaker.state(62.0) for state in group.states] == ["closed", "closed"]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("fault", ["failed", "throttled", "rejected", "silent"])
def test_when_one_of_two_attempts_fails_the_other_is_waited_for(which, fault):
    group, policy = group_of("ab")
    attempts, first = silent(group, policy)
    pair = [first, attempts.hedge(60.0)]
    failing, other = pair[which], pair[1 - which]

    failed = attempts.failed(failing, failure_at(name_of(failing), fault), 61.0, DRAW)

    assert failed.verdict == "other attempt"
    assert (attempts.state, attempts.under_way) == ("under way", [other])
    attempts.accepted(other, 90.0)
    attempts.finished(other, 91.0, used_tokens=None)
    assert (group.in_flight, group.budget.retrying) == (0, 0)


def test_when_both_fail_the_call_goes_on_as_after_any_failure():
    group, policy = group_of("abc")
    attempts, first = silent(group, policy)
    hedge = attempts.hedge(60.0)
    attempts.failed(first, failure_at("a", "lost"), 61.0, DRAW)
    assert attempts.failed(hedge, failure_at("b", "lost"), 62.0, DRAW).verdict == "next endpoint"
    assert name_of(attempts.next(62.0, DRAW)) == "c"


def test_what_is_never_hedged():
    group, policy = group_of("ab")
    assert silent(group, policy, hedgeable=False)[0].hedge_in_s() is None

    alone, its_policy = group_of("a")
    assert silent(alone, its_policy)[0].hedge_in_s() is None

    for general in ({"hedge": "off"}, {"hedge_budget": 0}, {"num_retries": 0}):
        group, policy = group_of("ab", **general)
        assert silent(group, policy)[0].hedge_in_s() is None, general


def test_without_another_endpoint_that_has_capacity_the_silent_one_is_waited_for():
    group, policy = group_of("ab", limits=", limits: {concurrent: 1}")
    (first, _), (second, _) = silent(group, policy), silent(group, policy)
    assert first.hedge(60.0) is None
    second.close(61.0)
    assert name_of(first.hedge(61.0)) == "b"


def test_calls_that_wait_for_capacity_come_before_hedges():
    group, policy = group_of("ab", limits=", limits: {concurrent: 2}")
    attempts, _ = silent(group, policy)
    group.queue.join(CallDemand())
    assert attempts.hedge(60.0) is None


def test_hedges_are_bounded_by_the_budget_of_the_group():
    group, policy = group_of("ab", hedge_budget=0.01)
    hedged = 0
    for number in range(300):
        attempts, _ = silent(group, policy, now=float(number))
        assert attempts.hedge_in_s() is not None
        hedged += attempts.hedge(number + 0.5) is not None
        attempts.close(number + 0.6)
    assert hedged in (7, 8), "a burst of 5, then one in a hundred"


def test_an_endpoint_that_leaves_three_calls_in_a_row_to_others_fails_and_its_calls_move_on():
    group, policy = group_of("ab", allowed_fails=1)
    calls = [silent(group, policy) for _ in range(8)]
    stuck, *others = [call for call in calls if name_of(call[1]) == "a"]
    changes = []
    for number, (attempts, first) in enumerate(others):
        hedge = attempts.hedge(100.0 + number)
        attempts.accepted(hedge, 101.0 + number)
        changes += attempts.outrun(first, 101.0 + number, DRAW)
        attempts.finished(hedge, 102.0 + number, used_tokens=None)
    assert [(change.what, change.state.endpoint.name) for change in changes] == [("open", "a")]

    while group.hedging.budget.may_take:
        group.hedging.budget.take()
    moved = stuck[0].hedge(104.0)
    assert (name_of(moved), moved.holds_retry) == ("b", True), "it is a retry, not a hedge"
    stuck[0].close(105.0)
    assert group.budget.retrying == 0


def test_an_endpoint_that_answers_in_between_stays_available():
    group, policy = group_of("ab", allowed_fails=1)
    for number in range(20):
        now = 1000.0 * number
        attempts, first = silent(group, policy, now=now)
        if number % 3:  # two of three are outrun
            hedge = attempts.hedge(now + 500)
            if hedge is None:
                group.hedging.budget.note_call()
                attempts.close(now + 501)
                continue
            attempts.accepted(hedge, now + 501)
            assert attempts.outrun(first, now + 501, DRAW) == []
            first = hedge
        else:
            attempts.accepted(first, now + 1)
        attempts.finished(first, now + 502, used_tokens=None)
    assert [state.breaker.state(now + 503) for state in group.states] == ["closed", "closed"]

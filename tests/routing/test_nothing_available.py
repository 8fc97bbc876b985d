"""While no endpoint is available, something is tried: what a blocked call does, without a clock."""

import pytest

from llmproxy.routing.actions import GiveUp, Pause, Try, WaitInLine
from llmproxy.routing.attempts import CallState
from tests.routing.plays import DRAW, attempts_in, group_of, play
from tests.support.faults import failure_at


def shut(group, policy, *, now=0.0, **faults):
    """Let each of the endpoints fail once, in the order given."""
    for name, fault in faults.items():
        attempts = attempts_in(group, policy, now=now)
        others = [state for state in group.states if state.endpoint.name != name]
        attempts.demand.excluded = list(others)
        attempt = attempts.next(now, DRAW)
        assert attempt.checkout.state.endpoint.name == name
        attempts.failed(attempt, failure_at(name, fault), now, DRAW)
        attempts.close(now)


def name_of(action):
    return action.checkout.state.endpoint.name


@pytest.mark.parametrize(
    "faults",
    [
        {"a": "failed", "b": "throttled"},
        {"a": "failed", "b": "throttled for a moment"},
        {"b": "refused", "a": "failed"},
        {"a": "failed", "b": "unpaid", "c": "throttled"},
        {"a": "failed", "b": "misconfigured", "c": "throttled for a moment"},
        {"b": "refused", "c": "throttled", "a": "unreachable"},
    ],
)
def test_whatever_the_mix_of_reasons_a_breaker_is_probed_at_once(faults):
    group, policy = group_of("".join(sorted(faults)), allowed_fails=1)
    shut(group, policy, **faults)

    asked, error, took_s = play(group, policy, {name: ["ok"] for name in "abc"}, now=1.0)

    assert (asked, error, took_s) == (["a"], None, 0.0)


def test_a_stated_cooldown_is_kept_and_a_drained_endpoint_left_alone():
    group, policy = group_of("ab", allowed_fails=1)
    shut(group, policy, b="throttled", a="failed")
    group.states[0].drain()

    asked, error, _ = play(group, policy, {"a": ["ok"], "b": ["ok"]}, now=1.0)

    assert (asked, error.status, error.retry_after_s) == ([], 429, pytest.approx(29.0))


def test_the_one_that_failed_least_often_and_longest_ago_is_the_most_likely_to_be_well():
    group, policy = group_of("abc", allowed_fails=1)
    a, b, c = group.states
    for moment in (0.0, 100.0):  # `a` fails again when it is half-open
        shut(group, policy, a="failed", now=moment)
    shut(group, policy, b="failed", now=101.0)
    shut(group, policy, c="failed", now=100.5)

    asked, _, _ = play(group, policy, {name: ["lost"] for name in "abc"}, now=102.0)

    assert asked[:3] == ["c", "b", "a"]
    assert all(state.in_flight == 0 for state in (a, b, c))


def test_one_call_at_a_time_probes_an_endpoint_and_the_others_pause_for_its_result():
    group, policy = group_of("ab", allowed_fails=1)
    shut(group, policy, a="unreachable", b="unreachable")
    first, second, third = (attempts_in(group, policy, now=1.0) for _ in range(3))

    probe, other = first.next(1.0, DRAW), second.next(1.0, DRAW)
    assert {name_of(probe), name_of(other)} == {"a", "b"}
    assert third.next(1.0, DRAW) == Pause(pytest.approx(0.15))
    first.accepted(probe, 1.1)
    assert isinstance(third.next(1.15, DRAW), Try), "the breaker has closed"


def test_a_probe_that_takes_long_is_waited_for_and_the_next_one_too():
    group, policy = group_of("ab", allowed_fails=1)
    shut(group, policy, a="unreachable", b="throttled")
    first, second = (attempts_in(group, policy, now=1.0) for _ in range(2))
    probe = first.next(1.0, DRAW)

    now = 1.0
    while now < 29.0:  # the throttled one is expected at 30 s, and cannot be waited for in line
        action = second.next(now, DRAW)
        if isinstance(action, WaitInLine):
            break
        now += action.seconds
    assert now > 15.0
    first.failed(probe, failure_at("a", "unreachable"), now, DRAW)
    if isinstance(action, WaitInLine):
        second.left_queue(None, 10.0)
    second_probe = second.next(now, DRAW)
    assert name_of(second_probe) == "a"


def test_a_probe_of_another_call_that_never_ends_is_bounded_by_the_deadline():
    group, policy = group_of("ab", allowed_fails=1)
    shut(group, policy, b="refused", a="unreachable")
    attempts_in(group, policy, now=1.0).next(1.0, DRAW)
    second, now = attempts_in(group, policy, now=1.0, total_s=60.0), 1.0
    while isinstance(action := second.next(now, DRAW), Pause):
        now += action.seconds
    assert isinstance(action, GiveUp)
    assert 59.0 < now < 61.0


def test_an_untried_endpoint_behind_a_breaker_comes_before_a_second_try_elsewhere():
    group, policy = group_of("abc", allowed_fails=2)
    shut(group, policy, a="failed", b="failed")
    shut(group, policy, a="failed", b="failed")

    asked, error, _ = play(group, policy, {"a": ["failed"], "b": ["ok"], "c": ["failed"]}, now=1.0)

    assert (asked, error) == (["c", "a", "b"], None)


def test_the_last_attempts_are_kept_for_an_endpoint_that_another_call_is_probing():
    group, policy = group_of("ab", allowed_fails=1, num_retries=1)
    shut(group, policy, a="failed")
    prober, call = (attempts_in(group, policy, now=1.0) for _ in range(2))
    group.states[1].cool(1.5, "x")
    probe = prober.next(1.0, DRAW)
    assert name_of(probe) == "a"
    attempt = call.next(1.6, DRAW)
    assert name_of(attempt) == "b"
    call.failed(attempt, failure_at("b", "lost"), 1.7, DRAW)

    assert isinstance(call.next(1.7, DRAW), Pause), "it waits for `a`, and does not ask `b` again"
    prober.accepted(probe, 1.8)
    assert name_of(call.next(1.9, DRAW)) == "a"


def test_the_last_attempts_are_kept_for_a_broken_endpoint_whose_cooldown_ends_soon():
    for cools_until, expected in ((3.0, (["b", "a"], None)), (60.0, (["b", "b"], 503))):
        group, policy = group_of("ab", allowed_fails=3, num_retries=1)
        for _ in range(3):
            shut(group, policy, a="failed")
        group.states[0].cool(cools_until, "x")

        asked, error, _ = play(group, policy, {"a": ["ok"], "b": ["failed"]}, now=1.0)

        assert (asked, error and error.status) == expected


def test_a_full_endpoint_is_waited_for_and_a_broken_one_probed_if_that_would_take_too_long():
    for rpm, expected in ((20, "probe"), (None, "line")):
        limits = ", limits: {rpm: 1}" if rpm else ", limits: {concurrent: 1}"
        group, policy = group_of("ab", allowed_fails=1, limits=limits)
        shut(group, policy, a="failed")
        if not rpm:
            group.states[1].begin(0, 0.5)
        call = attempts_in(group, policy, now=1.0)
        if rpm:
            group.states[1].begin(0, 0.5)
        action = call.next(1.0, DRAW)
        assert isinstance(action, Try if expected == "probe" else WaitInLine)
        assert call.state is (CallState.UNDER_WAY if expected == "probe" else CallState.QUEUED)

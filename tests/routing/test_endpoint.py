"""One endpoint: who leaves it alone, for how long, and why."""

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.routing import CallDemand
from llmproxy.runtime import pool_of
from tests.routing.pools import by_name, fail, group, served, tell


def test_a_cooldown_is_never_shortened():
    state = group(("a", 1, 0), ("b", 1, 0)).states[0]
    state.cool(100, "throttled")
    state.cool(50, "misconfigured")
    assert not state.available(99)
    assert "throttled" in state.why_not(0, 99)
    assert state.available(100)


def test_the_only_endpoint_is_not_shut_by_its_breaker_but_its_cooldown_is_kept():
    (state,) = group(("a", 1, 0)).states
    fail(state, 1)
    assert state.takes(0, 1)
    state.cool(5, "throttled")
    assert not state.takes(0, 4)
    assert state.available_in_s(0, 4) == 1


def test_an_endpoint_that_is_full_is_healthy_and_takes_nothing():
    (state,) = group(("a", 1, 0)).states
    tell(state, 0, 17.0)
    assert state.available(1)
    assert not state.takes(0, 1)
    assert state.available_in_s(0, 1) == pytest.approx(16)
    assert state.takes(0, 17)


def test_room_comes_after_the_cooldown_and_the_limit():
    (state,) = group(("a", 1, 0)).states
    tell(state, 0, 17.0)
    state.cool(30, "throttled")
    assert state.available_in_s(0, 1) == 29
    state.cool(5, "throttled")
    assert state.available_in_s(0, 1) == 29


def test_a_turn_that_ends_frees_its_place_and_one_that_never_began_costs_nothing():
    (state,) = group(("a", 1, 0, {"concurrent": 1, "rpm": 2})).states
    checkout = state.begin(0, 0)
    assert not state.takes(0, 0)
    checkout.says_nothing(0)
    checkout.end(0, sent=False)
    for _ in range(2):
        assert state.takes(0, 0)
        state.begin(0, 0).end(0)
    assert not state.takes(0, 0)
    assert state.in_flight == state.capacity.in_flight == 0


@pytest.mark.parametrize(
    ("entry", "learns"),
    [
        ("{model: m, params: {api_key: k}}", True),
        ("{model: m}", False),
        ("{params: {api_key: k}}", False),
    ],
    ids=["ours", "the client's key", "the client's model"],
)
def test_limits_are_learned_where_key_and_model_are_ours(entry, learns):
    (state,) = _of(f"[{{model_group: '*', models: [{entry}]}}]").groups["*"].states
    tell(state, 0, 17.0)
    assert state.begin(0, 1).wants_report is learns


def test_every_reason_for_skipping_is_told():
    five = group(*((name, 1, 0) for name in "abcde"), cooldown_time=10)
    a, b, c, d, e = five.states
    fail(a, 0)
    b.cool(4, "throttled")
    fail(c, 0)
    c.begin(0, 30)
    tell(e, 0, 17.0)
    assert a.why_not(0, 1).startswith("breaker open for ")
    assert b.why_not(0, 1) == "throttled, cooling down for 3.0 s more"
    assert c.why_not(0, 30) == "breaker half-open, a probe is under way"
    assert d.why_not(0, 1) == "not retried yet"
    assert e.why_not(0, 1) == "full for 16.0 s more"


def test_the_same_place_in_two_groups_has_one_capacity_unless_its_limits_differ():
    place = "name: a, model: m, params: {api_key: k}"
    groups = _of(
        f"[{{model_group: g, models: [{{{place}}}]}}, {{model_group: h, models: [{{{place}}}]}},"
        f" {{model_group: i, models: [{{{place}, limits: {{rpm: 5}}}}]}},"
        f" {{model_group: j, models: [{{{place.replace('k}', 'other}')}}}]}}]"
    ).groups
    g, h, i, j = (groups[name].states[0].capacity for name in "ghij")
    assert g is h
    assert len({id(capacity) for capacity in (g, i, j)}) == 3


def _of(groups):
    return pool_of(parse_config(f"model_groups: {groups}", {}, file="test.yaml"))


def test_a_drained_endpoint_takes_nothing_until_it_is_enabled():
    here = group(("a", 1, 0), ("b", 1, 0))
    a = by_name(here)["a"]
    a.drain()
    assert {served(here) for _ in range(4)} == {"b"}
    assert a.why_not(0, 1e9) == "drained by the operator"
    a.cool(50, "throttled")
    a.clear(0)
    assert not a.takes(0, 1e9)
    a.enable()
    assert {served(here) for _ in range(4)} == {"a", "b"}


def test_a_waiting_call_is_not_kept_for_a_drained_endpoint():
    here = group(("a", 1, 0))
    tell(here.states[0], 0, 17.0)
    demand = CallDemand()
    here.queue.join(demand)
    assert here.unservable(0) == []
    here.states[0].drain()
    assert here.unservable(0) == [demand]
    assert here.recovers_in_s([], demand, 0) is None


def test_clearing_forgets_a_cooldown_and_an_open_breaker():
    here = group(("a", 1, 0), ("b", 1, 0), allowed_fails=1)
    a = by_name(here)["a"]
    fail(a, 0)
    a.cool(100, "throttled")
    assert not a.takes(0, 1)
    a.clear(1)
    assert a.takes(0, 1)


def test_the_failure_behind_an_open_or_half_open_breaker_is_named():
    a, _ = group(("a", 1, 0), ("b", 1, 0)).states
    assert a.availability(0, 1.0).cause == ""
    fail(a, 1.0)
    a.past.failed_why = "timeout"
    assert (a.availability(0, 2.0).kind, a.availability(0, 2.0).cause) == ("open", "timeout")
    half_open = a.availability(0, 12.0)
    assert (half_open.kind, half_open.cause) == ("available", "timeout")
    assert half_open.text == "not retried yet"
    a.breaker.close_elsewhere(12.0)
    assert a.availability(0, 12.0).cause == ""


def test_the_only_endpoint_has_no_cause_for_being_tried():
    (a,) = group(("a", 1, 0)).states
    fail(a, 1.0)
    a.past.failed_why = "timeout"
    assert a.availability(0, 2.0).cause == ""

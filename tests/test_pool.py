"""The pool: who is next, who is left alone, and why."""

import pytest

from llmproxy.calls import Call, Dialect, Replay, Route
from llmproxy.config import parse_config
from llmproxy.errors import ClientError
from llmproxy.pool import Pool
from llmproxy.runtime import pool_of

DRAW = 0.5


def pool(*entries, strategy="weighted", **settings):
    """A pool with one group `g` of endpoints, given as (name, weight, tier)."""
    lines = [
        f"      - {{name: {name}, model: m, weight: {weight}, tier: {tier},"
        f" params: {{api_key: k, base_url: 'http://{name}.test/v1'}}}}"
        for name, weight, tier in entries
    ]
    general = {"strategy": strategy, "cooldown_time": 10, **settings}
    text = "\n".join(
        ["model_groups:", "  - model_group: g", "    models:", *lines, "general_settings:"]
        + [f"  {key}: {value}" for key, value in general.items()]
    )
    return pool_of(parse_config(text, {}, file="test.yaml"))


def group(*entries, **settings):
    return pool(*entries, **settings).groups["g"]


def names(chosen):
    return [state.endpoint.name for state in chosen]


def fail(state, now):
    state.fail(now, state.begin(now), DRAW)
    state.leave()


def test_turns_follow_the_weights():
    three = group(("a", 3, 0), ("b", 2, 0), ("c", 1, 0))
    chosen = names(three.choose((), 0) for _ in range(60))
    assert [chosen.count(name) for name in "abc"] == [30, 20, 10]


def test_a_higher_tier_is_for_when_the_lower_is_out_and_weight_0_is_the_last_resort():
    tiers = group(("last", 0, 0), ("dear", 1, 1), ("cheap", 1, 0))
    by_name = {state.endpoint.name: state for state in tiers.states}
    order = []
    for _ in range(3):
        state = tiers.choose((), 1)
        order.append(state.endpoint.name)
        fail(by_name[order[-1]], 1)
    assert order == ["cheap", "dear", "last"]
    assert tiers.choose((), 1) is None


def test_what_was_tried_is_not_chosen_again_while_another_is_left():
    two = group(("a", 1, 0), ("b", 1, 0))
    first = two.choose((), 0)
    second = two.choose([first], 0)
    assert second is not first
    assert two.choose([first, second], 0) is None


def test_least_busy_takes_the_one_with_the_fewest_calls_for_its_weight():
    two = group(("a", 2, 0), ("b", 1, 0), strategy="least_busy")
    by_name = {state.endpoint.name: state for state in two.states}
    for _ in range(30):
        two.choose((), 0).begin(0)
    assert [by_name[name].in_flight for name in "ab"] == [20, 10]
    for _ in range(15):
        by_name["a"].leave()
    assert names([two.choose((), 0)]) == ["a"]


def test_a_cooldown_is_never_shortened():
    state = group(("a", 1, 0), ("b", 1, 0)).states[0]
    state.cool(100, "throttled")
    state.cool(50, "misconfigured")
    assert not state.available(99)
    assert "throttled" in state.why_not(99)
    assert state.available(100)


def test_the_only_endpoint_is_not_shut_by_its_breaker_but_its_cooldown_is_kept():
    (state,) = group(("a", 1, 0)).states
    fail(state, 1)
    assert state.available(1)
    state.cool(5, "throttled")
    assert not state.available(4)


def test_the_soonest_is_the_one_that_recovers_first():
    two = group(("a", 1, 0), ("b", 1, 0))
    a, b = two.states
    fail(a, 1)
    b.cool(3, "throttled")
    assert two.soonest((), 1) is b
    assert two.soonest([b], 1) is a
    assert two.soonest([a, b], 1) is None


def test_every_reason_for_skipping_is_told():
    four = group(("a", 1, 0), ("b", 1, 0), ("c", 1, 0), ("d", 1, 0), cooldown_time=10)
    a, b, c, d = four.states
    fail(a, 0)
    b.cool(4, "throttled")
    fail(c, 0)
    c.begin(30)
    told = {skip.endpoint: skip.why for skip in four.skipped([], 1)}
    assert told["a"].startswith("breaker open for ")
    assert told["b"] == "throttled, cooling down for 3.0 s more"
    assert told["d"] == "no attempt was left for it"
    assert {s.endpoint: s.why for s in four.skipped([], 30)}["c"] == (
        "breaker half-open, a probe is under way"
    )
    assert names([d]) == ["d"]


def call(model=None, *, path="chat/completions", account_bound=False, method="POST"):
    route = Route(path, Dialect.CHAT, Replay.SAFE, account_bound)
    return Call(
        id="x",
        method=method,
        route=route,
        query=b"",
        headers=[],
        body=b"",
        model=model,
        model_in_body=model,
        stream=False,
        replay=Replay.SAFE,
        account_bound=account_bound,
        client="",
        received_at=0,
        patience_s=1,
        deadline_at=1,
        ends_at=1,
    )


def test_a_name_finds_its_group_and_the_wildcard_serves_the_rest():
    one = pool(("a", 1, 0))
    named = one.groups["g"]
    both = Pool({"g": named, "*": named})
    assert one.group_for(call("g")) is named
    assert both.group_for(call("anything")) is named
    assert both.group_for(call(None)) is named
    with pytest.raises(ClientError) as caught:
        one.group_for(call("unknown"))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert "'unknown'" in caught.value.message
    assert "g" in caught.value.message
    with pytest.raises(ClientError) as caught:
        one.group_for(call(None))
    assert (caught.value.status, caught.value.param) == (400, "model")


def test_ids_that_live_in_one_account_need_a_group_of_one():
    files = {"path": "files/f-1", "account_bound": True, "method": "GET"}
    alone, several = pool(("a", 1, 0)), pool(("a", 1, 0), ("b", 1, 0))
    assert alone.group_for(call(None, **files)) is alone.groups["g"]
    two_groups = Pool({"g": alone.groups["g"], "h": alone.groups["g"]})
    for refusing in (several, two_groups):
        with pytest.raises(ClientError) as caught:
            refusing.group_for(call(None, **files))
        assert (caught.value.status, caught.value.code) == (501, "account_bound_path")
        assert "single endpoint" in caught.value.message or "'*'" in caught.value.message

"""Which endpoint `strategy: latency` prefers, by how much, and that `explain` says the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.admin.api.explain import explained
from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.reload.carried_over import CarriedOver
from llmproxy.batteries.strategies import ALL_STRATEGIES
from llmproxy.batteries.strategies.first_tokens import FirstTokens
from llmproxy.batteries.strategies.latency import two_choices
from llmproxy.providers import endpoints_of
from llmproxy.routing import CallDemand
from llmproxy.runtime import pool_of
from tests.routing.pools import by_name, fail, group, pool, served
from tests.support.client import CHAT, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted

NOW = 100.0


def latency_group(*names, weights=(1, 1, 1, 1)):
    entries = [(name, weight, 0) for name, weight in zip(names, weights, strict=False)]
    return group(*entries, strategy="latency")


def answers(state, took_s, now=NOW):
    """A call to it has its first token after so long, and ends."""
    checkout = state.begin(0, now - took_s)
    checkout.answered(now)
    checkout.end(now)


def shares(group, now=NOW):
    endpoints = explained("g", group, 0, now, max_wait_s=10.0).tiers[0].endpoints
    return {endpoint.endpoint: endpoint.share for endpoint in endpoints}


def calls_at_once(group, number, now=NOW):
    """Begin calls that do not end; return how many each endpoint got."""
    names = [served(group, CallDemand(), now) for _ in range(number)]
    return {name: names.count(name) for name in sorted(set(names))}


def test_the_faster_of_two_gets_the_call():
    two = latency_group("fast", "slow")
    answers(by_name(two)["fast"], 1.0)
    answers(by_name(two)["slow"], 2.0)
    assert shares(two) == {"fast": 1.0, "slow": 0.0}
    assert served(two, now=NOW) == "fast"


def test_calls_under_way_make_an_endpoint_slower():
    two = latency_group("fast", "slow")
    answers(by_name(two)["fast"], 1.0)
    answers(by_name(two)["slow"], 3.5)
    assert calls_at_once(two, 10) == {"fast": 8, "slow": 2}


def test_of_three_the_fastest_wins_two_draws_in_three_and_the_slowest_none():
    three = latency_group("a", "b", "c")
    for name, took_s in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        answers(by_name(three)[name], took_s)
    assert shares(three) == {"a": 0.667, "b": 0.333, "c": 0.0}


def test_while_nothing_is_known_calls_are_shared_by_weight():
    assert shares(latency_group("a", "b", weights=(3, 1))) == {"a": 0.75, "b": 0.25}
    assert calls_at_once(latency_group("a", "b", weights=(3, 1)), 80) == {"a": 60, "b": 20}


def test_equally_fast_endpoints_have_calls_under_way_by_their_weights():
    two = latency_group("a", "b", weights=(3, 1))
    for state in two.states:
        answers(state, 1.0)
    assert calls_at_once(two, 80) == {"a": 60, "b": 20}


def test_a_new_endpoint_is_tried_and_not_flooded():
    three = latency_group("a", "b", "new")
    answers(by_name(three)["a"], 1.0)
    answers(by_name(three)["b"], 1.0)
    counts = calls_at_once(three, 30)
    assert 8 <= counts["new"] <= 12


def test_a_slow_endpoint_is_tried_again_when_its_measurement_is_old():
    two = latency_group("fast", "was-slow")
    answers(by_name(two)["fast"], 1.0)
    answers(by_name(two)["was-slow"], 60.0)
    assert "was-slow" not in calls_at_once(two, 20)
    later = NOW + 120
    assert "was-slow" in calls_at_once(two, 3, now=later)


def test_an_endpoint_that_stalls_gets_no_more_calls_while_it_is_silent():
    two = latency_group("a", "b")
    for state in two.states:
        answers(state, 1.0)
    by_name(two)["a"].begin(0, NOW)
    for second in range(3, 20):
        checkout = two.take_as_newcomer(CallDemand(), NOW + second)
        assert checkout.state is by_name(two)["b"]
        checkout.answered(NOW + second + 1)
        checkout.end(NOW + second + 1)


def test_an_endpoint_that_takes_no_call_has_no_part_in_the_choice():
    three = latency_group("a", "b", "c")
    for name, took_s in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        answers(by_name(three)[name], took_s)
    fail(by_name(three)["a"], NOW)
    fail(by_name(three)["a"], NOW)
    assert shares(three) == {"a": 0.0, "b": 1.0, "c": 0.0}


def test_tiers_come_before_speed():
    two = group(("slow", 1, 0), ("fast", 1, 1), ("last", 0, 0), strategy="latency")
    answers(by_name(two)["slow"], 30.0)
    answers(by_name(two)["fast"], 0.1)
    assert [[state.endpoint.name for state in tier.states] for tier in two.tiers] == [
        ["slow"],
        ["fast"],
        ["last"],
    ]
    assert served(two, now=NOW) == "slow"


def test_explaining_changes_nothing():
    two = latency_group("a", "b")
    answers(by_name(two)["a"], 2.0)
    assert shares(two) == shares(two)


@pytest.mark.parametrize("strategy", ["weighted", "least_busy", "cheapest"])
def test_with_other_strategies_nothing_is_measured(strategy):
    states = pool(("a", 1, 0), ("b", 1, 0), strategy=strategy).groups["g"].states
    assert not any(isinstance(state.checkout, FirstTokens) for state in states)


@given(
    st.lists(st.sampled_from([0.0, 0.1, 1.0, 3.0]), min_size=2, max_size=8).filter(
        lambda shares: sum(share > 0 for share in shares) >= 2
    ),
    st.randoms(use_true_random=False),
)
def test_what_two_choices_computes_is_what_drawing_would_give(shares, random):
    costs = [random.choice([1.0, 2.0, 3.0]) for _ in shares]
    total = sum(shares)
    expected = [0.0] * len(shares)
    for i, one in enumerate(shares):
        for j, other in enumerate(shares):
            if i == j or not one or not other:
                continue
            chance = one / total * other / (total - one)
            if costs[i] != costs[j]:
                expected[i if costs[i] < costs[j] else j] += chance
    wins = two_choices(shares, costs)
    assert sum(wins) == pytest.approx(1)
    for cost in set(costs):
        members = [i for i, found in enumerate(costs) if found == cost and shares[i]]
        alone = len(members) == 1
        for i in members:
            # Draws of two equal ones are divided by weight, and add to what is won from others.
            assert wins[i] == pytest.approx(expected[i]) if alone else wins[i] > 0
            ratios = [wins[k] / shares[k] for k in members]
            assert ratios == pytest.approx([ratios[0]] * len(ratios))


@given(st.lists(st.floats(0.1, 60), min_size=2, max_size=9))
def test_of_equal_endpoints_none_gets_more_than_twice_its_share(costs):
    wins = two_choices([1.0] * len(costs), costs)
    assert max(wins) <= 2 / len(costs) + 1e-9


def test_after_a_reload_with_this_strategy_endpoints_are_measured_and_then_no_longer():
    def config(strategy):
        entries = [f"{{name: {name}, model: m, params: {{api_key: k-{name}}}}}" for name in "ab"]
        text = f"model_groups: [{{model_group: g, strategy: {strategy}, models: [%s]}}]\n"
        return parse_config(text % ", ".join(entries), {}, file="c.yaml")

    def reloaded(before, strategy):
        after = config(strategy)
        endpoints = endpoints_of(after)
        states = CarriedOver(after.general_settings, before, endpoints)
        return pool_of(after, endpoints=endpoints, states=states, strategies=ALL_STRATEGIES)

    before = pool_of(config("weighted"))
    a, _ = before.groups["g"].states
    under_way = a.begin(0, NOW - 5)
    pool = reloaded(before, "latency")
    under_way.answered(NOW)  # began unmeasured, and stays so
    under_way.end(NOW)
    answers(a, 5.0)
    assert shares(pool.groups["g"]) == {"a": 0.5, "b": 0.5}
    b = pool.groups["g"].states[1]
    answers(b, 1.0)
    assert shares(pool.groups["g"]) == {"a": 0.0, "b": 1.0}
    pool = reloaded(pool, "latency")  # what is known stays
    assert shares(pool.groups["g"]) == {"a": 0.0, "b": 1.0}
    pool = reloaded(pool, "weighted")
    assert shares(pool.groups["g"]) == {"a": 0.5, "b": 0.5}


@bounded()
async def test_a_proxy_sends_its_calls_to_the_faster_of_two_vendors(tmp_path):
    answer = http(chat("good"))
    async with scripted(always(0.1, answer)) as slow, scripted(always(answer)) as fast:
        config = config_for(slow.base_url, strategy="latency")
        (entry,) = config["model_groups"][0]["models"]
        other = {**entry, "name": "fast", "params": {**entry["params"], "base_url": fast.base_url}}
        config["model_groups"][0]["models"].append(other)
        async with serve_proxy(config) as proxy:
            for _ in range(12):
                assert (await ask(proxy.port, body=CHAT)).status == 200
        assert len(slow.received) <= 2
        assert len(fast.received) >= 10

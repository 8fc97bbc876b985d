"""Which endpoint a call of a conversation goes to, and what comes before that preference."""

from collections import Counter
from random import Random

import pytest

from tests.affinity.conversations import (
    NOW,
    asking,
    begin,
    demand,
    group,
    pool,
    serve,
    serve_and_say_why,
    state_of,
    turn_of,
)

FOUR = ("a", "b", "c", "d")
KEPT = "served the conversation last"
MOVED = "in place of the endpoint that served the conversation last"


def interleaved(conversations, turns):
    return [(name, turn) for turn in range(turns) for name in range(conversations)]


def one_after_the_other(conversations, turns):
    return [(name, turn) for name in range(conversations) for turn in range(turns)]


def at_random(conversations, turns):
    """Twelve at a time, each next call of any of them."""
    random, left, order = Random(1), list(range(conversations)), []
    under_way = {}
    while left or under_way:
        while left and len(under_way) < 12:
            under_way[left.pop(0)] = 0
        name = random.choice(list(under_way))
        order.append((name, under_way[name]))
        under_way[name] += 1
        if under_way[name] == turns:
            del under_way[name]
    return order


def play(group, order):
    """Serve the turns in this order; return calls by endpoint, and how many follow-ups moved."""
    counts, last, moved = Counter(), {}, 0
    for number, (name, turn) in enumerate(order):
        endpoint = serve(group, turn_of(name, turn), NOW + number / 10)
        moved += last.get(name, endpoint) != endpoint
        counts[endpoint] += 1
        last[name] = endpoint
    return counts, moved


@pytest.mark.parametrize("in_order", [interleaved, one_after_the_other, at_random])
def test_follow_ups_stay_and_weights_hold(in_order):
    counts, moved = play(group(*FOUR), in_order(60, 10))
    assert moved == 0
    assert all(abs(counts[name] - 150) <= 10 for name in FOUR), counts


def test_unequal_weights_hold_too():
    counts, moved = play(group(("a", "weight: 3,"), "b"), at_random(80, 8))
    assert moved == 0
    assert abs(counts["a"] - 480) < 24, counts


def test_short_calls_make_up_for_what_conversations_take():
    one = group(*FOUR)
    where = serve(one, turn_of("long"))
    counts = Counter(serve(one, turn_of("long", turn), NOW + turn) for turn in range(1, 20))
    assert counts == {where: 19}
    counts += Counter(serve(one, asking({"messages": []}), NOW + 20) for _ in range(60))
    assert counts[where] <= 24
    assert all(counts[name] >= 17 for name in FOUR)


def test_short_calls_alone_take_their_turns():
    one, plain = group(*FOUR), group(*FOUR, affinity="'off'")
    short = asking({"messages": [{"role": "user", "content": "x"}]})
    assert plain.affinity is None
    assert [serve(one, short) for _ in range(8)] == [serve(plain, short) for _ in range(8)]


def test_an_endpoint_that_is_out_is_replaced_and_the_conversation_stays_there():
    one = group(*FOUR)
    first = serve(one, turn_of("cats"))
    state_of(one, first).cool(NOW + 60, "throttled")
    second, reason = serve_and_say_why(one, turn_of("cats", 1), NOW + 1)
    assert second != first
    assert reason == MOVED
    assert serve_and_say_why(one, turn_of("cats", 2), NOW + 70) == (second, KEPT)


def test_a_failed_attempt_goes_elsewhere():
    one = group(*FOUR)
    first = serve(one, turn_of("cats"))
    wanted = demand(one, turn_of("cats", 1))
    wanted.excluded = [state_of(one, first)]
    assert one.choose(wanted, NOW).endpoint.name != first


def test_a_full_endpoint_is_replaced():
    limited = "limits: {concurrent: 1},"
    one = group(("a", limited), ("b", limited))
    first = serve(one, turn_of("cats"))
    checkout, _ = begin(one, turn_of("cats", 1))
    assert checkout.state.endpoint.name == first
    assert serve(one, turn_of("cats", 1)) != first


def test_in_a_slow_start_conversations_do_not_rush_back():
    one = group("a", "b", cooldown_time=1)
    names = {name: serve(one, turn_of(name)) for name in range(20)}
    state = state_of(one, "a")
    checkout = state.begin(0, NOW)
    checkout.failed(NOW, 0.5)
    checkout.end(NOW)
    probe = state.begin(0, NOW + 3)
    probe.answered(NOW + 3)
    probe.end(NOW + 3)
    assert 0 < state.breaker.share(NOW + 3.1) < 1
    back = [serve(one, turn_of(name, 1), NOW + 3.1) for name in names if names[name] == "a"]
    assert back.count("a") < len(back) / 2


def test_a_tier_comes_before_a_conversation():
    one = group("a", ("b", "tier: 1,"))
    state_of(one, "a").cool(NOW + 5, "throttled")
    assert serve(one, turn_of("cats")) == "b"
    assert serve(one, turn_of("cats", 1), NOW + 6) == "a"


PRICED = "price: {{input: {}, cached_input: {}, output: 1}},"


@pytest.mark.parametrize(
    ("cached_usd", "stays"), [(0.5, True), (3, False)], ids=["cheaper", "dearer"]
)
def test_a_dearer_tier_keeps_a_conversation_while_its_cache_makes_it_cheaper(cached_usd, stays):
    one = group(
        ("a", PRICED.format(2, 1)), ("b", PRICED.format(5, cached_usd)), strategy="cheapest"
    )
    state_of(one, "a").cool(NOW + 5, "throttled")
    assert serve(one, turn_of("cats")) == "b"
    assert serve(one, turn_of("cats", 1), NOW + 6) == ("b" if stays else "a")
    assert serve(one, turn_of("dogs"), NOW + 6) == "a"


def test_least_busy_decides_where_a_conversation_begins_and_not_where_it_goes_on():
    one = group(*FOUR, strategy="least_busy")
    first = serve(one, turn_of("cats"))
    held = [state_of(one, name).begin(0, NOW) for name in FOUR if name != "d"]
    assert serve(one, turn_of("dogs")) == "d"
    assert serve(one, turn_of("cats", 1)) == first
    for checkout in held:
        checkout.end(NOW)


def test_a_beginning_that_many_calls_share_does_not_fill_one_endpoint():
    one = group(*FOUR)
    counts = Counter(serve(one, turn_of("all", 1), NOW + n / 100) for n in range(400))
    assert all(85 <= counts[name] <= 115 for name in FOUR), counts


def test_what_a_vendor_has_forgotten_is_new():
    one = group(*FOUR)
    serve(one, turn_of("cats"))
    assert serve_and_say_why(one, turn_of("cats", 1), NOW + 500)[1] == KEPT
    assert serve_and_say_why(one, turn_of("cats", 1), NOW + 1200)[1] != KEPT


@pytest.mark.parametrize("path", ["embeddings", "completions", "images/generations"])
def test_other_operations_have_no_conversations(path):
    one = group(*FOUR)
    calls = [asking({"input": "x" * 9000, "prompt_cache_key": "k"}, path=path) for _ in FOUR]
    assert {serve(one, call) for call in calls} == set(FOUR)


def test_short_prompts_are_kept_together_by_session_only():
    short = asking({"messages": [{"role": "user", "content": "x"}], "user": "u-1"})
    assert len({serve(group(*FOUR, affinity="session"), short) for _ in range(5)}) == 1
    one = group(*FOUR)
    assert {serve(one, short) for _ in range(4)} == set(FOUR)


def test_a_groups_own_setting_comes_first():
    assert group(*FOUR, groups_own="    affinity: 'off'").affinity is None
    assert group(*FOUR, groups_own="    affinity: session", affinity="'off'").affinity is not None


def test_where_no_provider_caches_prompts_there_is_no_preference():
    assert group(("a", "provider: cohere,"), ("b", "provider: cohere,")).affinity is None
    assert group(("a", "provider: cohere,"), "b").affinity is not None
    assert group("alone").affinity is None


def test_a_reload_forgets_no_conversation():
    before = pool(*FOUR)
    first = serve(before.groups["g"], turn_of("cats"))
    after = pool(*FOUR, "e", before=before).groups["g"]
    assert serve_and_say_why(after, turn_of("cats", 1)) == (first, KEPT)


def test_instances_agree_without_talking():
    one, two = group(*FOUR, redis_host="x"), group(*FOUR, redis_host="x")
    begun = {name: serve(one, turn_of(name)) for name in range(100)}
    met = [serve(two, turn_of(name, 1)) == endpoint for name, endpoint in begun.items()]
    assert sum(met) >= 90


def play_at_several(groups, order):
    """Serve each turn at any of several instances; return how far the endpoints are off their
    share at most, and the part of the follow-ups that stayed."""
    random, counts, last, stayed = Random(2), Counter(), {}, 0
    for number, (name, turn) in enumerate(order):
        endpoint = serve(random.choice(groups), turn_of(name, turn), NOW + number / 10)
        stayed += last.get(name) == endpoint
        counts[endpoint] += 1
        last[name] = endpoint
    share = len(order) / len(FOUR)
    return max(abs(counts[name] / share - 1) for name in FOUR), stayed / (len(order) - len(last))


def test_instances_place_conversations_alike_and_weights_hold_over_all():
    shared = {"redis_host": "shared.test"}
    off, stayed = play_at_several([group(*FOUR, **shared) for _ in range(2)], at_random(300, 10))
    assert stayed > 0.92
    assert off < 0.07


def test_calls_with_the_same_beginning_are_shared_out_where_several_instances_serve_them():
    one = group(*FOUR, redis_host="shared.test")
    counts = Counter(serve(one, turn_of("few-shot"), NOW + number / 100) for number in range(400))
    assert all(abs(counts[name] - 100) <= 20 for name in FOUR), counts

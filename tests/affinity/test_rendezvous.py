"""Rendezvous hashing: a place more takes its part from all others, and nothing else moves."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.affinity.rendezvous import preferred

KEYS = 300


@given(st.integers(0, 2**32), st.integers(2, 12))
def test_a_place_more_takes_its_part_from_all_others(seed, places):
    names = [b"place %d" % number for number in range(places + 1)]
    moved = 0
    for number in range(KEYS):
        key = b"%d %d" % (seed, number)
        before = preferred(key, names[:-1], [1.0] * places)[0]
        after = preferred(key, names, [1.0] * (places + 1))[0]
        assert after in (before, places)
        moved += after != before
    expected = KEYS / (places + 1)
    assert abs(moved - expected) < 6 * expected**0.5


def test_each_place_is_first_as_often_as_its_weight_says():
    first = Counter(
        preferred(b"%d" % number, [b"a", b"b", b"c"], [1.0, 3.0, 0.0])[0] for number in range(4000)
    )
    assert first[2] == 0
    assert abs(first[1] / 4000 - 0.75) < 0.03


@given(st.binary(), st.lists(st.floats(0, 1e6), min_size=1, max_size=8))
def test_the_order_holds_each_place_with_a_weight_once(key, weights):
    names = [b"place %d" % number for number in range(len(weights))]
    order = preferred(key, names, weights)
    assert sorted(order) == [place for place, weight in enumerate(weights) if weight > 0]

"""What was counted is added and taken apart without losing any of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.telemetry.counters import (
    SECONDS,
    CallCounters,
    GroupCounters,
    Histogram,
    histogram,
    minus,
    plus,
    quantile,
    status_class,
)

NAMES = st.sampled_from("abc")
NUMBERS = st.integers(0, 1000)
# Of one shape, as two tallies are: a name is always a number, a list or a tree.
TREES = st.fixed_dictionaries(
    {},
    optional={
        "number": NUMBERS,
        "list": st.lists(NUMBERS, max_size=4),
        "tree": st.dictionaries(NAMES, NUMBERS),
        "deep": st.dictionaries(NAMES, st.dictionaries(NAMES, NUMBERS)),
    },
)


def leaves(tree):
    """Every number that is not zero, by its place."""
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, list):
        items = enumerate(tree)
    else:
        return {(): tree} if tree else {}
    return {(key, *place): value for key, sub in items for place, value in leaves(sub).items()}


@given(TREES, TREES)
def test_what_was_added_is_left_when_the_rest_is_taken_away(one, other):
    assert leaves(minus(plus(one, other), other)) == leaves(one)
    assert leaves(plus(one, other)) == leaves(plus(other, one))


@given(TREES, TREES)
def test_no_number_gets_lost_by_adding(one, other):
    assert sum(leaves(plus(one, other)).values()) == sum(leaves(one).values()) + sum(
        leaves(other).values()
    )


def test_adding_changes_neither_of_the_two():
    one, other = {"a": {"b": [1, 2]}}, {"a": {"b": [3]}}
    assert plus(one, other) == {"a": {"b": [4, 2]}}
    assert (one, other) == ({"a": {"b": [1, 2]}}, {"a": {"b": [3]}})


def test_a_tally_is_the_same_after_its_transport():
    counters = CallCounters(groups={"g": GroupCounters(calls={"e": {"2xx": 3}}, errors=1)})
    counters.groups["g"].first_byte.add(0.2, SECONDS)
    tree = msgspec.to_builtins(counters)
    assert msgspec.convert(plus(tree, {}), CallCounters) == counters


def test_a_value_at_a_bound_belongs_below_it_as_prometheus_has_it():
    values = Histogram([0, 0, 0])
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        values.add(value, (1.0, 2.0))
    assert (values.counts, values.sum) == ([2, 2, 1], 14.0)


@pytest.mark.parametrize(
    ("counts", "q", "expected"),
    [
        ([0, 0, 0], 0.5, None),
        ([10, 0, 0], 0.5, 0.5),
        ([10, 10, 0], 0.5, 1.0),
        ([10, 10, 0], 0.75, 1.5),
        ([10, 10, 0], 1.0, 2.0),
        ([0, 0, 4], 0.5, 2.0),
    ],
)
def test_a_quantile_lies_evenly_in_its_bucket(counts, q, expected):
    assert quantile(counts, q, (1.0, 2.0)) == expected


@given(st.lists(st.floats(0, 400), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values, q):
    counted = histogram()
    for value in values:
        counted.add(value, SECONDS)
    rank = max(0, -int(-q * len(values) // 1) - 1)
    true = sorted(values)[min(rank, len(values) - 1)]
    upper = next((bound for bound in SECONDS if true <= bound), SECONDS[-1])
    lower = max((bound for bound in (0.0, *SECONDS) if bound < true), default=0.0)
    told = quantile(counted.counts, q)
    assert min(lower, SECONDS[-1]) <= told <= upper


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "2xx"),
        (404, "4xx"),
        (499, "499"),
        (503, "5xx"),
        (0, "5xx"),
        (999, "5xx"),
        (304, "3xx"),
    ],
)
def test_a_status_has_a_class_whatever_it_is(status, kind):
    assert status_class(status) == kind

"""What was counted is added and taken apart without losing any of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.telemetry.counters import (
    SECONDS,
    CallCounters,
    EndpointCounters,
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
COUNTS = st.dictionaries(NAMES, NUMBERS)
HISTOGRAMS = st.builds(Histogram, st.lists(NUMBERS, min_size=4, max_size=4))
ENDPOINTS = st.builds(EndpointCounters, answered=NUMBERS, failed=COUNTS, first_byte=HISTOGRAMS)
GROUPS = st.builds(
    GroupCounters,
    calls=st.dictionaries(NAMES, COUNTS),
    errors=NUMBERS,
    first_byte=HISTOGRAMS,
    total=HISTOGRAMS,
    overhead=HISTOGRAMS,
    endpoints=st.dictionaries(NAMES, ENDPOINTS),
)
COUNTERS = st.builds(CallCounters, groups=st.dictionaries(NAMES, GROUPS))


def leaves(tree):
    """Return every number that is not zero, by its place."""
    if isinstance(tree, msgspec.Struct):
        return leaves(msgspec.to_builtins(tree))
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, list):
        items = enumerate(tree)
    else:
        return {(): tree} if tree else {}
    return {(key, *place): value for key, sub in items for place, value in leaves(sub).items()}


@given(COUNTERS, COUNTERS)
def test_subtracting_what_was_added_gives_the_first_again(one, other):
    assert leaves(minus(plus(one, other), other)) == leaves(one)
    assert leaves(plus(one, other)) == leaves(plus(other, one))


@given(COUNTERS, COUNTERS)
def test_no_number_gets_lost_by_adding(one, other):
    assert sum(leaves(plus(one, other)).values()) == sum(leaves(one).values()) + sum(
        leaves(other).values()
    )


@given(COUNTERS, COUNTERS)
def test_adding_changes_neither_of_the_two(one, other):
    before = leaves(one), leaves(other)
    plus(one, other)
    assert (leaves(one), leaves(other)) == before


def test_a_part_that_one_of_two_lacks_is_that_of_the_other():
    class Optional(msgspec.Struct):
        part: Histogram | None

    one, other = Optional(None), Optional(Histogram([1], 2.0))
    assert plus(one, other).part == plus(other, one).part == Histogram([1], 2.0)


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

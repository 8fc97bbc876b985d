"""Counters are added and subtracted without losing a number; quantiles are interpolated."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.telemetry.counters import (
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
    """Return every number that is not zero, by its path."""
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
def test_subtracting_what_was_added_gives_the_original(one, other):
    assert leaves(minus(plus(one, other), other)) == leaves(one)
    assert leaves(plus(one, other)) == leaves(plus(other, one))


@given(COUNTERS, COUNTERS)
def test_a_sum_loses_no_number(one, other):
    assert sum(leaves(plus(one, other)).values()) == sum(leaves(one).values()) + sum(
        leaves(other).values()
    )


@given(COUNTERS, COUNTERS)
def test_adding_changes_neither_operand(one, other):
    before = leaves(one), leaves(other)
    plus(one, other)
    assert (leaves(one), leaves(other)) == before


def test_a_missing_part_counts_as_nothing():
    class Optional(msgspec.Struct):
        part: Histogram | None

    one, other = Optional(None), Optional(Histogram([1], 2.0))
    assert plus(one, other).part == plus(other, one).part == Histogram([1], 2.0)


def test_a_value_equal_to_a_bound_belongs_below_it_as_in_prometheus():
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
def test_a_quantile_is_interpolated_within_its_bucket(counts, q, expected):
    assert quantile(counts, q, (1.0, 2.0)) == expected


@given(st.lists(st.floats(0, 400), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_falls_into_the_bucket_of_the_exact_one(values, q):
    counted = histogram()
    for value in values:
        counted.add(value, SECONDS)
    rank = max(0, -int(-q * len(values) // 1) - 1)
    true = sorted(values)[min(rank, len(values) - 1)]
    upper = next((bound for bound in SECONDS if true <= bound), SECONDS[-1])
    lower = max((bound for bound in (0.0, *SECONDS) if bound < true), default=0.0)
    estimate = quantile(counted.counts, q)
    assert min(lower, SECONDS[-1]) <= estimate <= upper


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
def test_every_status_has_a_class(status, kind):
    assert status_class(status) == kind

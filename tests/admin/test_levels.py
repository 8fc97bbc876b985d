"""What is left of a limit, as several workers know it together."""

import pytest

from llmproxy.admin.stats.levels import Level, levels_of
from llmproxy.config import Limits


def gauge(sent=0, **told):
    """`told`: limit and what is left of it, by worker."""
    return {
        "sent": sent,
        "limit": {place: limit for place, (limit, _) in told.items()},
        "left": {place: left for place, (_, left) in told.items()},
    }


def requests(gauges, **limits):
    return levels_of(Limits(**limits), {"requests": gauges}).requests


@pytest.mark.parametrize(
    ("limits", "gauges", "expected"),
    [
        ({}, gauge(), None),
        ({"rpm": 600}, gauge(), Level(limit=600, left=600, configured=600)),
        ({"rpm": 600}, gauge(sent=100), Level(limit=600, left=500, configured=600)),
        ({"rpm": 60}, gauge(sent=100), Level(limit=60, left=0, configured=60)),
        ({}, gauge(a=(100, 40)), Level(limit=100, left=40, configured=None)),
        ({}, gauge(a=(100, 40), b=(100, 30)), Level(limit=100, left=30, configured=None)),
        ({"rpm": 50}, gauge(10, a=(100, 45)), Level(limit=50, left=40, configured=50)),
        ({"rpm": 50}, gauge(10, a=(100, 20)), Level(limit=50, left=20, configured=50)),
    ],
)
def test_what_workers_sent_adds_up_and_of_what_vendors_told_the_least_is_true(
    limits, gauges, expected
):
    assert requests(gauges, **limits) == expected


def test_an_endpoint_of_which_nothing_was_counted_yet_has_its_configured_limits():
    levels = levels_of(Limits(rpm=600, tpm=None, concurrent=4), {})
    assert levels.requests == Level(limit=600, left=600, configured=600)
    assert levels.tokens is None
    assert levels.concurrent == Level(limit=4, left=4, configured=4)

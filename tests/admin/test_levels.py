"""What is left of a limit, combined from several workers."""

import pytest

from llmproxy.batteries.admin.stats.levels import EndpointGauges, LimitGauge, LimitView, limits_view
from llmproxy.config import Limits


def gauge(sent=0, **reported):
    """Make a gauge; `reported`: the limit and what is left of it, by worker."""
    return LimitGauge(
        sent=sent,
        limit={worker: limit for worker, (limit, _) in reported.items()},
        left={worker: left for worker, (_, left) in reported.items()},
    )


def requests(gauges, **limits):
    return limits_view(Limits(**limits), EndpointGauges(requests=gauges)).requests


@pytest.mark.parametrize(
    ("limits", "gauges", "expected"),
    [
        ({}, gauge(), None),
        ({"rpm": 600}, gauge(), LimitView(limit=600, left=600, configured=600)),
        ({"rpm": 600}, gauge(sent=100), LimitView(limit=600, left=500, configured=600)),
        ({"rpm": 60}, gauge(sent=100), LimitView(limit=60, left=0, configured=60)),
        ({}, gauge(a=(100, 40)), LimitView(limit=100, left=40, configured=None)),
        ({}, gauge(a=(100, 40), b=(100, 30)), LimitView(limit=100, left=30, configured=None)),
        ({"rpm": 50}, gauge(10, a=(100, 45)), LimitView(limit=50, left=40, configured=50)),
        ({"rpm": 50}, gauge(10, a=(100, 20)), LimitView(limit=50, left=20, configured=50)),
    ],
)
def test_what_workers_sent_adds_up_and_the_lowest_report_of_a_vendor_holds(
    limits, gauges, expected
):
    assert requests(gauges, **limits) == expected


def test_an_endpoint_without_counts_has_its_configured_limits():
    levels = limits_view(Limits(rpm=600, tpm=None, concurrent=4), EndpointGauges())
    assert levels.requests == LimitView(limit=600, left=600, configured=600)
    assert levels.tokens is None
    assert levels.concurrent == LimitView(limit=4, left=4, configured=4)

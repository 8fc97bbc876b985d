"""What hedging does for a fleet, on a simulated clock: how long calls take, and what it costs."""

import pytest

from llmproxy.tools.simulate.report import as_text, report_of
from tests.tools.simulate.worlds import calls, config, endpoint, run, served_by

STALLS = {"stalls": {"share": 0.01, "seconds": 60}}


def fleet(**settings):
    """Return three equal endpoints."""
    return config(endpoint("a"), endpoint("b"), endpoint("c"), **settings)


def test_stalls_of_one_endpoint_vanish_from_the_slowest_calls_at_a_few_percent_of_extra_calls():
    with_hedges = run(fleet(), calls((20, 1000)), b=STALLS)
    without = run(fleet(hedge="off"), calls((20, 1000)), b=STALLS)

    print(as_text(without), as_text(with_hedges), sep="\n\n")  # noqa: T201 - shown on request
    fast, slow = report_of(with_hedges).latency, report_of(without).latency
    assert slow.p999_s > 60
    assert fast.p999_s < 15
    assert fast.p99_s <= slow.p99_s
    hedges = report_of(with_hedges).hedges
    assert 0 < hedges.won < hedges.begun
    assert hedges.share <= 0.05
    assert with_hedges.served == with_hedges.calls


def test_when_every_endpoint_becomes_slow_the_extra_calls_stay_in_the_budget():
    often = {"stalls": {"share": 0.5, "seconds": 30}}
    results = run(fleet(hedge_budget=0.03), calls((20, 300)), a=often, b=often, c=often)

    assert results.hedges.begun <= 0.03 * results.calls + 5
    assert results.served == results.calls


def test_an_endpoint_that_accepts_calls_and_never_answers_is_set_aside_and_no_call_fails():
    dead = {"stalls": {"share": 1, "seconds": 100_000}}
    results = run(fleet(), calls((5, 600)), b=dead)

    assert results.served == results.calls
    assert served_by(results)["b"] == 0
    assert report_of(results).latency.p99_s < 130


@pytest.mark.parametrize("share", ["0", "1.5", "no"])
def test_a_share_of_stalls_lies_between_0_and_1(share):
    with pytest.raises(ValueError, match="share"):
        run(fleet(), calls((1, 1)), a={"stalls": {"share": share, "seconds": 1}})

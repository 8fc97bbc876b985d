"""What the strategies make of three endpoints, of which one is slow and one stalls at times."""

from llmproxy.tools.simulate.report import report_of
from tests.tools.simulate.worlds import calls, config, endpoint, run, served_by

SLOW = {"latency_s": {"median": 2.0, "p95": 6.0}}  # twice the others
STALLS = {"stalls": {"share": 0.01, "seconds": 60}}


def results_of(strategy, *, rate=20, seconds=600, **settings):
    three = config(endpoint("a"), endpoint("b"), endpoint("c"), strategy=strategy, **settings)
    return run(three, calls((rate, seconds)), b=SLOW, c=STALLS)


def test_latency_beats_the_others_at_the_95th_percentile():
    weighted, least_busy, latency = (
        report_of(results_of(strategy)).latency
        for strategy in ("weighted", "least_busy", "latency")
    )
    assert latency.p95_s < 0.9 * weighted.p95_s
    assert latency.p95_s < least_busy.p95_s
    assert latency.median_s < weighted.median_s
    assert latency.p99_s < weighted.p99_s


def test_no_endpoint_is_starved_and_none_is_flooded():
    for settings in ({}, {"hedge": "off"}, {"rate": 1, "seconds": 3_000}):
        results = results_of("latency", **settings)
        assert results.served == results.calls
        parts = {name: served / results.calls for name, served in served_by(results).items()}
        assert parts["a"] > parts["c"] > 0.15
        assert parts["a"] < 0.6
        assert 0.08 < parts["b"] < 0.26


def test_a_lone_caller_finds_the_fast_endpoint():
    results = results_of("latency", rate=0.2, seconds=4_000)
    served = served_by(results)
    assert served["a"] > 1.5 * served["b"] > 0

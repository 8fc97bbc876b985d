"""What the README promises about limits, tiers, waiting and failures, on a simulated clock."""

import pytest

from llmproxy.tools.simulate.report import report_of
from tests.tools.simulate.worlds import calls, cheap_and_dear, config, endpoint, run, served_by


def test_a_load_that_fits_the_cheap_tier_stays_there_without_a_429():
    results = run(cheap_and_dear(), calls((19, 600)))

    assert results.served == results.calls
    assert results.client_429 == results.client_5xx == 0
    assert served_by(results)["dear"] <= 0.05 * results.calls
    assert results.upstream_429 <= 0.01 * results.calls


def test_calls_that_do_not_fit_the_cheap_tier_spill_until_they_fit_again():
    results = run(cheap_and_dear(), calls((24, 300), (10, 100)))

    assert results.served == results.calls
    cheap = [endpoint for endpoint in results.endpoints if endpoint.name != "dear"]
    dear = next(endpoint for endpoint in results.endpoints if endpoint.name == "dear")
    at_120_percent = 300 / 400
    full = int(at_120_percent * len(dear.served_at))
    cheap_then = sum(sum(endpoint.served_at[:full]) for endpoint in cheap)
    assert cheap_then >= 0.96 * 20 * 300, "the cheap tier stays full"
    # Calls come at random: a moment's burst may still be more than the cheap tier takes.
    assert sum(dear.served_at[full + 2 :]) <= 0.005 * 10 * 100, "5 s later, hardly a call spills"


def test_a_burst_of_one_and_a_half_times_the_rate_is_served_by_waiting():
    only = config(endpoint("only", rpm=600, azure=True))
    results = run(only, calls((8, 60), (15, 12), (5, 60)))

    assert results.served == results.calls
    assert 2 < max(results.waits_s) <= 10


def test_of_a_load_above_all_limits_the_excess_gets_429_and_the_rest_is_served():
    only = config(endpoint("only", rpm=600))
    results = run(only, calls((15, 300)))

    assert results.served + results.client_429 == results.calls
    assert results.client_429 == pytest.approx(5 * 300, rel=0.1)
    assert max(results.waits_s) <= 10
    assert results.upstream_429 == 0, "the vendor's limit is never exceeded"


def test_when_the_wait_queue_is_full_calls_take_the_dearer_tier():
    results = run(cheap_and_dear(queue="{max_waiting: 2}"), calls((60, 60)))

    assert results.served == results.calls
    assert served_by(results)["dear"] > 30 * 60


@pytest.mark.parametrize("status", [None, 500, 503])
def test_an_outage_of_one_endpoint_loses_no_call(status):
    outage = {"outages": [{"from_s": 60, "to_s": 90, "status": status}]}
    results = run(cheap_and_dear(), calls((15, 240)), one=outage)

    assert results.served == results.calls
    one = next(endpoint for endpoint in results.endpoints if endpoint.name == "one")
    during = slice(int(65 / results.bin_s), int(89 / results.bin_s))
    assert sum(one.served_at[during]) == 0
    assert sum(one.served_at[int(200 / results.bin_s) :]) > 100, "it is used again"
    assert 0 < one.failed < 60, "only a few attempts go to an endpoint that is down"


def test_an_outage_of_the_only_endpoint_fails_calls_until_it_is_over():
    only = config(endpoint("only"))
    results = run(only, calls((5, 120)), only={"outages": [{"from_s": 30, "to_s": 60}]})

    assert results.client_5xx > 50
    assert results.served + results.client_5xx == results.calls
    assert sum(results.refused_at[int(75 / results.bin_s) :]) == 0


def test_limits_that_are_not_in_the_config_are_learned_from_headers():
    plain = config(endpoint("one", azure=True), endpoint("dear", tier=1))
    results = run(plain, calls((8, 300)), one={"limits": {"rpm": 600, "tpm": 1_000_000}})

    assert results.served == results.calls
    assert results.upstream_429 <= 0.02 * results.calls


def test_an_answer_slower_than_the_timeout_is_a_failure():
    slow = {"latency_s": {"median": 50, "p95": 60}}
    only = config(endpoint("only"), timeouts="{unary_first_byte_s: 5}")
    results = run(only, calls((1, 30)), only=slow)

    assert results.served == 0
    assert set(results.client_errors) == {504}


def test_a_fallback_group_serves_the_calls_that_the_first_group_cannot():
    one, other = config(endpoint("only")), config(endpoint("spare"))
    first = one.model_groups[0].model_copy(update={"fallbacks": ("other",)})
    second = other.model_groups[0].model_copy(update={"model_group": "other"})
    both = one.model_copy(update={"model_groups": (first, second)})
    results = run(both, calls((5, 60)), only={"outages": [{"from_s": 0, "to_s": 90}]})

    assert results.served == results.calls
    assert served_by(results) == {"only": 0, "spare": results.calls}


def test_without_limits_every_call_is_served_at_once():
    results = run(config(endpoint("one"), endpoint("two"), hedge="off"), calls((100, 60)))

    assert results.served == results.calls
    assert not results.waits_s
    assert abs(served_by(results)["one"] - served_by(results)["two"]) <= 1


def test_several_instances_with_a_shared_view_keep_within_the_limits_together():
    world = config(endpoint("one", rpm=1200), endpoint("two", rpm=1200))
    results = run(world, calls((48, 150)), instances=8)

    for endpoint_report in report_of(results).endpoints:
        assert 0.95 < endpoint_report.requests.busiest_minute <= 1.02
    assert results.shared.grants > 0


def test_the_cost_follows_from_the_prices():
    results = run(cheap_and_dear(), calls((5, 60)))

    report = report_of(results)
    tokens = 500 * results.calls, 200 * results.calls
    assert report.cost_usd == pytest.approx((2 * tokens[0] + 8 * tokens[1]) / 1e6, abs=1e-3)
    assert run(config(endpoint("free")), calls((1, 10))).endpoints[0].cost_usd is None

"""What a call cost: the sum over its attempts, and how far it is known."""

import pytest

from llmproxy.batteries.spend import pricing
from llmproxy.config import Price
from llmproxy.operations import Usage
from llmproxy.record import AnswerSummary, Basis, CallRecord, Cost, RequestSummary
from llmproxy.steps import Attempt, AttemptOutcome, FellBack

CHEAP, DEAR = Price(input=1.0, output=4.0), Price(input=10.0, output=40.0)
PRICES = {("small", "a"): CHEAP, ("small", "b"): DEAR, ("large", "a"): DEAR}
USED = Usage(1_000, 500)
CHEAP_USD, DEAR_USD = 3_000_000, 30_000_000  # nano-dollars of USED


def attempt(endpoint, outcome=AttemptOutcome.ANSWERED, **more):
    return Attempt(endpoint, 0.0, 1.0, outcome, **more)


def call(*steps, usage=USED, operation="chat/completions", method="POST", **more):
    """Return the record of a call in the group small."""
    request = RequestSummary(f"{method} /v1/{operation}", operation=operation)
    attempts = sum(isinstance(step, Attempt) for step in steps)
    answer = AnswerSummary(200, usage=usage)
    return CallRecord(request, answer, group="small", attempts=attempts, steps=[*steps], **more)


def cost(record):
    return pricing(PRICES)(record)


def test_an_answer_costs_its_usage_at_its_endpoints_price():
    assert cost(call(attempt("a"))) == Cost(CHEAP_USD, Basis.EXACT)
    assert cost(call(attempt("b"))) == Cost(DEAR_USD, Basis.EXACT)


def test_failed_attempts_cost_nothing():
    failed = attempt("b", AttemptOutcome.FAILED, reason="server_error")
    assert cost(call(failed, attempt("a"))) == Cost(CHEAP_USD, Basis.EXACT)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(10**12, 10**12),
        Usage(10, 10, searches=10**12),
        Usage(10, 10, charged_usd=100_001.0),
    ],
)
def test_what_no_call_can_cost_is_not_known(usage):
    assert cost(call(attempt("b"), usage=usage)) == Cost(0, Basis.UNKNOWN)


@pytest.mark.parametrize("reason", ["timeout", "no_answer"])
def test_what_the_vendor_may_have_worked_on_is_not_free(reason):
    failed = attempt("b", AttemptOutcome.FAILED, reason=reason)
    assert cost(call(failed, attempt("a"))) == Cost(10_000_000 + CHEAP_USD, Basis.ESTIMATED)
    assert cost(call(failed, usage=None)).basis is Basis.UNKNOWN
    assert cost(call(failed, usage=None, operation="moderations")).basis is Basis.FREE


def test_in_a_fallback_group_its_prices_hold():
    assert cost(call(FellBack("large", 0.0), attempt("a"))) == Cost(DEAR_USD, Basis.EXACT)


def test_an_attempt_that_was_outrun_has_read_the_input():
    outrun = attempt("b", AttemptOutcome.ABANDONED, reason="outrun")
    assert cost(call(outrun, attempt("a"))) == Cost(10_000_000 + CHEAP_USD, Basis.ESTIMATED)


def test_the_cost_of_a_call_whose_client_left_is_not_known():
    left = attempt("a", AttemptOutcome.ABANDONED)
    assert cost(call(left, usage=None)).basis is Basis.UNKNOWN


@pytest.mark.parametrize(
    "record",
    [
        call(attempt("c")),  # an endpoint without a price
        call(attempt("a"), usage=None),
        call(attempt("a"), usage=None, operation="images/generations"),
    ],
)
def test_without_price_or_usage_the_cost_is_unknown_and_not_zero(record):
    assert cost(record).basis is Basis.UNKNOWN


def test_an_estimated_usage_is_an_estimated_cost():
    estimated = call(attempt("a"), usage=Usage(1_000, 500, estimated=True))
    assert cost(estimated) == Cost(CHEAP_USD, Basis.ESTIMATED)


@pytest.mark.parametrize(
    "record",
    [
        call(usage=None),  # refused before an endpoint was asked
        call(attempt("a", AttemptOutcome.FAILED), usage=None),
        call(attempt("a"), usage=None, operation="files", method="GET"),
        call(attempt("a"), usage=None, operation="messages/count_tokens"),
        call(attempt("a"), usage=None, operation="moderations"),
    ],
)
def test_what_vendors_do_not_charge_is_free(record):
    assert cost(record) == Cost()


def test_what_the_cache_has_noted_stays():
    served = call(usage=None, cost=Cost(saved_nano_usd=7))
    assert cost(served) == Cost(saved_nano_usd=7)

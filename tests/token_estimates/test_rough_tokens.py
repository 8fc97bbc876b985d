"""In a crowd most small calls are not measured, while so much is left that it does not matter."""

import json
from types import SimpleNamespace

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.token_estimates import LearnedEstimates
from llmproxy.calls import Call
from llmproxy.operations.rate_limits import RateLimit, RateLimits
from llmproxy.operations.table import route_to
from llmproxy.runtime import pool_of

ROUTE = route_to("chat/completions")


def group(tpm):
    text = f"""
model_groups:
  - model_group: g
    models: [{{model: m, limits: {{tpm: {tpm}}}, params: {{api_key: k}}}}]
"""
    parsed = parse_config(text, {}, file="test.yaml")
    return pool_of(parsed, estimates=LearnedEstimates).groups["g"]


def call(words, **changes):
    body = json.dumps({"messages": [{"role": "user", "content": "word " * words}]}).encode()
    fields = dict.fromkeys(Call.__struct_fields__) | {"route": ROUTE, "body": body} | changes
    return Call(**fields)


def take_one(group, now):
    """A call goes, so that what is left is known."""
    checkout = group.states[0].begin(10, now)
    assert group.states[0].takes(10, now)
    checkout.end(now)


def test_where_there_is_plenty_one_call_in_five_milliseconds_is_measured():
    here = group(tpm=1_000_000_000)
    take_one(here, 100.0)

    exact, size = here.estimates.roughly(call(100), 100.0, here.states)
    rough, none = here.estimates.roughly(call(100), 100.004, here.states)
    _, again = here.estimates.roughly(call(100), 100.006, here.states)

    assert size is not None
    assert again is not None
    assert none is None
    assert abs(rough - exact) <= 1


def test_an_output_bound_counts_in_a_rough_number_too():
    here = group(tpm=1_000_000_000)
    take_one(here, 100.0)
    here.estimates.roughly(call(100), 100.0, here.states)

    bare, _ = here.estimates.roughly(call(100), 100.001, here.states)
    bound, _ = here.estimates.roughly(call(100, max_output_tokens=500), 100.001, here.states)
    assert bound == bare + 500


def test_a_large_call_is_always_measured():
    here = group(tpm=1_000_000_000)
    take_one(here, 100.0)
    here.estimates.roughly(call(100), 100.0, here.states)

    assert here.estimates.roughly(call(5_000), 100.001, here.states)[1] is not None


def test_where_a_thousand_such_calls_would_not_fit_every_call_is_measured():
    here = group(tpm=50_000)
    take_one(here, 100.0)

    for number in range(5):
        assert here.estimates.roughly(call(100), 100.0 + number / 1000, here.states)[1] is not None


def test_a_vendor_that_says_that_little_is_left_ends_it():
    here = group(tpm=1_000_000_000)
    take_one(here, 100.0)
    assert here.estimates.roughly(call(100), 100.0, here.states)[1] is not None
    checkout = here.states[0].begin(10, 100.0)
    checkout.learn(RateLimits(tokens=RateLimit(100_000, 900, 60.0)))

    assert here.estimates.roughly(call(100), 100.006, here.states)[1] is not None
    assert here.estimates.roughly(call(100), 100.007, here.states)[1] is not None


def test_a_call_without_a_body_is_no_trouble():
    here = group(tpm=1_000_000_000)
    take_one(here, 100.0)

    for number in range(3):
        assert (
            here.estimates.roughly(call(0, body=b""), 100.0 + number / 1000, here.states)[0] < 100
        )


class AskedCapacity:
    """A capacity that counts how often it was asked whether it has plenty."""

    def __init__(self):
        self.is_plenty, self.asked = True, 0

    def has_plenty(self, _tokens):
        self.asked += 1
        return self.is_plenty


def test_while_one_of_a_thousand_endpoints_has_little_left_a_call_asks_no_other():
    states = [SimpleNamespace(capacity=AskedCapacity()) for _ in range(1_000)]
    scarce = states[-1].capacity
    scarce.is_plenty = False
    estimates = LearnedEstimates()
    estimates.needed = True

    def asked_by_a_call(now):
        before = sum(state.capacity.asked for state in states)
        _, size = estimates.roughly(call(100), now, states)
        return sum(state.capacity.asked for state in states) - before, size is not None

    assert asked_by_a_call(100.0) == (1_000, True)
    assert asked_by_a_call(100.1) == (1, True)
    scarce.is_plenty = True
    assert asked_by_a_call(100.2) == (1_001, True)
    assert asked_by_a_call(100.21) == (0, False), "now there is plenty, so it is not measured"
    scarce.is_plenty = False
    other = states[:]
    estimates.roughly(call(100), 101.0, states)
    before = scarce.asked
    estimates.roughly(call(100), 102.0, other)
    assert scarce.asked == before + 1, "another config's endpoints are asked as they come"

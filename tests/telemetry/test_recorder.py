"""The metrics recorder counts every event once."""

import pytest

from llmproxy.batteries.telemetry.recorder import MetricsRecorder
from llmproxy.config import Price
from llmproxy.events import AttemptEnded, EndpointStateChanged
from llmproxy.operations import Usage
from llmproxy.steps import Attempt, AttemptOutcome, Verdict
from tests.support.finished import answered_call

BATCH = 64
KEPT_CALLS = 200


def ended(outcome="answered", **changes):
    usage, broken = changes.pop("usage", None), changes.pop("broken", False)
    attempt = Attempt("e", 0.0, 0.2, AttemptOutcome(outcome), **changes)
    return AttemptEnded("req_1", "g", attempt, usage=usage, broken=broken)


def test_reading_the_counters_includes_pending_events():
    recorder = MetricsRecorder()
    for _ in range(BATCH + 1):
        recorder.call_finished(answered_call())
    assert recorder.counters().groups["g"].calls == {"e": {"2xx": BATCH + 1}}
    assert recorder.counters().groups["g"].calls == {"e": {"2xx": BATCH + 1}}


def test_attempts_are_counted_by_outcome_reason_and_verdict():
    recorder = MetricsRecorder()
    for attempt in (
        ended(),
        ended(broken=True),
        ended("failed", reason="server_error", verdict=Verdict("next endpoint")),
        ended("failed", reason="timeout", verdict=Verdict("same endpoint")),
        ended("failed", reason="timeout", verdict=Verdict("give up")),
        ended("abandoned"),
    ):
        recorder.attempt_ended(attempt)
    entry = recorder.counters().groups["g"].endpoints["e"]
    assert (entry.answered, entry.abandoned, entry.interrupted) == (2, 1, 1)
    assert entry.failed == {"server_error": 1, "timeout": 2}
    assert (entry.moved, entry.retried) == ({"server_error": 1}, {"timeout": 1})
    assert sum(entry.first_byte.counts) == 2


def test_tokens_are_counted_at_their_endpoint_and_cost_its_price():
    recorder = MetricsRecorder()
    recorder.prices = {("g", "e"): Price(input=2.0, output=8.0, cached_input=0.5)}
    recorder.attempt_ended(ended(usage=Usage(1_000_000, 500_000, 400_000)))
    recorder.attempt_ended(ended())
    entry = recorder.counters().groups["g"].endpoints["e"]
    assert (entry.input_tokens, entry.output_tokens, entry.prompt_cache.tokens) == (
        1_000_000,
        500_000,
        400_000,
    )
    assert entry.cost_usd == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 0.5 * 8)
    assert entry.prompt_cache.saved_usd == pytest.approx(0.4 * (2 - 0.5))


@pytest.mark.parametrize(
    ("event", "is_error"),
    [
        (answered_call(), False),
        (answered_call(404), False),
        (answered_call(499), False),
        (answered_call(429), True),
        (answered_call(503), True),
        (answered_call(error="stream_interrupted"), True),
        (answered_call(400, error="invalid_request"), False),
    ],
)
def test_only_failures_that_are_not_the_clients_fault_are_errors(event, is_error):
    recorder = MetricsRecorder()
    recorder.call_finished(event)
    assert recorder.counters().groups["g"].errors == is_error
    assert bool(recorder.notable) == is_error


def test_retried_calls_and_fallbacks_are_kept_longer_than_others():
    recorder = MetricsRecorder()
    recorder.call_finished(answered_call(attempts=2, id="retried"))
    recorder.call_finished(answered_call(fallback="other", id="fell back"))
    for _ in range(KEPT_CALLS):
        recorder.call_finished(answered_call())
    recorder.record_pending()
    assert [call.record.request.id for call in recorder.notable] == ["retried", "fell back"]
    assert len(recorder.latest) == KEPT_CALLS
    assert recorder.counters().groups["g"].fallbacks == 1


def test_callers_are_counted_by_name_and_calls_without_a_group_under_an_empty_one():
    recorder = MetricsRecorder()
    recorder.call_finished(answered_call(caller="alice", usage=Usage(3, 2, 0)))
    recorder.call_finished(answered_call(404, group=None, endpoint=None, caller="alice"))
    counters = recorder.counters()
    alice = counters.callers["alice"]
    assert (alice.calls, alice.input_tokens, alice.output_tokens) == ({"2xx": 1, "4xx": 1}, 3, 2)
    assert counters.groups[""].calls == {"": {"4xx": 1}}


def test_changes_of_an_endpoints_state_are_counted_by_the_new_state():
    recorder = MetricsRecorder()
    for state in ("open", "half-open", "closed", "open"):
        recorder.endpoint_state_changed(EndpointStateChanged("g", "e", state, "because", None))
    entry = recorder.counters().groups["g"].endpoints["e"]
    assert entry.changes == {"open": 2, "half-open": 1, "closed": 1}


def step(endpoint, outcome, **changes):
    return Attempt(endpoint, 0.0, 1.0, AttemptOutcome(outcome), **changes)


@pytest.mark.parametrize(
    ("steps", "counted", "tokens"),
    [
        ([("a", "abandoned", "outrun", False), ("b", "answered", None, True)], "won", 3_000),
        ([("b", "abandoned", "outrun", True), ("a", "answered", None, False)], "lost", 3_000),
        ([("b", "failed", "server_error", True), ("a", "answered", None, False)], "failed", 0),
        ([("a", "abandoned", None, False), ("b", "abandoned", None, True)], "abandoned", 0),
    ],
)
def test_hedges_are_counted_by_outcome_with_the_input_tokens_that_were_sent_twice(
    steps, counted, tokens
):
    recorder = MetricsRecorder()
    price = Price(input=2.0, output=10.0)
    recorder.prices = {("g", "a"): price, ("g", "b"): price}
    steps = [step(name, how, reason=why, hedge=hedge) for name, how, why, hedge in steps]
    recorder.call_finished(answered_call(attempts=2, steps=steps, usage=Usage(3_000, 500, 0)))
    hedges = recorder.counters().groups["g"].hedges
    by_outcome = {name: getattr(hedges, name) for name in ("won", "lost", "failed", "abandoned")}
    assert by_outcome == {**dict.fromkeys(by_outcome, 0), counted: 1}
    assert (hedges.input_tokens, hedges.cost_usd) == (tokens, pytest.approx(tokens * 2e-6))


def test_errors_are_counted_by_whose_trouble_they_were():
    recorder = MetricsRecorder()
    for status, error, source in (
        (429, "rate_limit_exceeded", "caller_limit"),
        (400, "invalid_type", "client"),
        (404, None, None),
        (500, "server_error", "upstream"),
        (200, "upstream_stream_interrupted", "upstream"),
        (503, "proxy_overloaded", "proxy"),
        (499, "client_closed_request", "client"),
        (200, None, None),
    ):
        call = answered_call(status=status, error=error, error_source=source)
        recorder.call_finished(call)
    recorder.record_pending()

    (group,) = recorder.counters().groups.values()
    assert group.errors_by_source == {"caller_limit": 1, "client": 2, "upstream": 2, "proxy": 1}
    assert group.errors == 3

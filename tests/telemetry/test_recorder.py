"""The metrics recorder counts every event once."""

import pytest

from llmproxy.batteries.telemetry.recorder import MetricsRecorder
from llmproxy.config import Price
from llmproxy.events import AttemptEnded, EndpointStateChanged
from llmproxy.operations import Usage
from llmproxy.record import Basis, Cost
from llmproxy.steps import Attempt, AttemptOutcome, Verdict
from tests.support.finished import answered_call

BATCH = 64
KEPT_CALLS = 200
NAMED = 1_000  # callers, and pairs of caller and group


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
    assert entry.nano_usd == 5_400_000_000  # 0.6 * 2 + 0.4 * 0.5 + 0.5 * 8 dollars
    assert entry.prompt_cache.saved_nano_usd == 600_000_000  # 0.4 * (2 - 0.5) dollars


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


def test_spend_is_counted_by_team_caller_and_the_group_that_answered():
    recorder = MetricsRecorder()
    exact, unknown = Cost(700, Basis.EXACT), Cost(0, Basis.UNKNOWN)
    alice = {"caller": "alice", "team": "search"}
    for _ in range(2):
        recorder.call_finished(answered_call(**alice, cost=exact, usage=Usage(3, 2, 1)))
    recorder.call_finished(answered_call(**alice, cost=Cost(50, Basis.ESTIMATED)))
    recorder.call_finished(answered_call(**alice, cost=exact, fallback="other"))
    recorder.call_finished(answered_call(cost=unknown))
    recorder.call_finished(answered_call(cost=None))  # nothing computes costs
    spend = recorder.counters().spend
    assert set(spend) == {("search", "alice", "g"), ("search", "alice", "other"), ("", "", "g")}
    found = spend["search", "alice", "g"]
    assert found.calls == {"exact": 2, "estimated": 1}
    assert found.nano_usd == {"exact": 1400, "estimated": 50}
    assert (found.input_tokens, found.output_tokens, found.cached_tokens) == (6, 4, 2)
    assert spend["", "", "g"].calls == {"unknown": 1}
    assert not spend["", "", "g"].nano_usd


def test_any_number_of_callers_and_teams_has_a_bounded_number_of_counters():
    recorder, calls = MetricsRecorder(), 5_000
    cost = Cost(10, Basis.EXACT)
    for number in range(calls):
        names = {"caller": f"key-{number}", "team": f"team-{number}", "group": f"g{number % 5}"}
        recorder.call_finished(answered_call(**names, cost=cost))
    counters = recorder.counters()
    assert len(counters.callers) == NAMED + 1
    assert counters.callers["(other)"].calls == {"2xx": calls - NAMED}
    assert len(counters.spend) == 2 * NAMED + 5
    assert counters.spend["team-999", "key-999", "g4"].nano_usd == {"exact": 10}
    assert counters.spend["team-1000", "(other)", "g0"].nano_usd == {"exact": 10}
    for group in range(5):
        own = [one for (_, _, name), one in counters.spend.items() if name == f"g{group}"]
        assert sum(one.nano_usd["exact"] for one in own) == 10 * calls / 5
        assert counters.spend["(other)", "(other)", f"g{group}"].nano_usd["exact"] == 6_000


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
    assert (hedges.input_tokens, hedges.nano_usd) == (tokens, tokens * 2_000)


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


def test_workers_that_count_the_same_calls_in_another_order_show_the_same_cost():
    price = {("g", "e"): Price(input=0.1, output=0.7, cached_input=0.03)}
    usages = [Usage(tokens, tokens // 3, tokens // 7) for tokens in (10**6 + 1, 3, 777, 12)]
    recorders = MetricsRecorder(), MetricsRecorder()
    for recorder, order in zip(recorders, (usages, usages[::-1]), strict=True):
        recorder.prices = price
        for usage in order:
            recorder.attempt_ended(ended(usage=usage))
    one, other = (recorder.counters().groups["g"].endpoints["e"] for recorder in recorders)
    assert one.nano_usd == other.nano_usd
    # 857,144 * 0.1 + 142,857 * 0.03 + 333,333 * 0.7 = 323,333.21 millionths of a dollar;
    # 3 * 0.1 + 1 * 0.7 = 1; 666 * 0.1 + 111 * 0.03 + 259 * 0.7 = 251.23; 11 * 0.1 + 0.03 + 4 * 0.7
    assert one.nano_usd == 323_333_210 + 1_000 + 251_230 + 3_930
    assert one.prompt_cache.saved_nano_usd == other.prompt_cache.saved_nano_usd

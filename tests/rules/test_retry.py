"""Each row of the facts' tables: what a failure means for its call and for its endpoint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.errors import (
    Answer,
    ConnectFailed,
    CredentialRejected,
    Misconfigured,
    Overloaded,
    QuotaExhausted,
    RequestRejected,
    StreamBroken,
    Throttled,
    TimedOut,
    UpstreamError,
    UpstreamFailed,
)
from llmproxy.operations import Replay
from llmproxy.rules.retry import (
    Judgement,
    RetryBudget,
    backoff_s,
    client_hint,
    judge,
    passes_unchanged,
)

draws = st.floats(0.0, 1.0, exclude_max=True)


def judged(failure: UpstreamError, replay: Replay = Replay.SAFE, **facts: bool) -> Judgement:
    return judge(failure, replay=replay, **{"own_credential": True, **facts})


def answered_with(kind: type[UpstreamError], status: int, **more: object) -> UpstreamError:
    return kind("refused", answer=Answer(status, [], b""), **more)


UNREACHABLE = ConnectFailed("refused")
RESET = UpstreamFailed("reset")
SILENT = TimedOut("silent", phase="first byte")
SERVER_ERROR = answered_with(UpstreamFailed, 500)
OVERLOADED = answered_with(Overloaded, 503)
THROTTLED = answered_with(Throttled, 429)
NO_MONEY = answered_with(QuotaExhausted, 429)
BAD_KEY = answered_with(CredentialRejected, 401)
NO_MODEL = answered_with(Misconfigured, 404)
REJECTED = answered_with(RequestRejected, 400)


@pytest.mark.parametrize("failure", [UNREACHABLE, RESET, SILENT, SERVER_ERROR, OVERLOADED])
def test_an_endpoints_failure_is_tried_elsewhere_and_here_and_feeds_its_breaker(failure):
    meaning = judged(failure)
    assert meaning.try_elsewhere
    assert meaning.try_again_here
    assert meaning.feeds_breaker
    assert meaning.cooldown_s is None
    assert not meaning.loud
    assert meaning.backoff_base_s == 0.25


@pytest.mark.parametrize(("asked_s", "again_here"), [(4.0, True), (30.0, False), (86400.0, False)])
def test_the_time_that_a_5xx_names_binds_the_call_that_failed_and_no_other(asked_s, again_here):
    meaning = judged(answered_with(Overloaded, 503, retry_after_s=asked_s))
    assert meaning.cooldown_s is None
    assert (meaning.wait_s, meaning.try_again_here) == (asked_s, again_here)
    assert meaning.try_elsewhere
    assert meaning.recovers


@pytest.mark.parametrize(
    ("asked_s", "cooldown_s"),
    [(None, 5.0), (0.5, 0.5), (60.0, 60.0), (120.0, 60.0), (86400.0, 60.0)],
)
def test_a_429_cools_for_what_it_asks_else_5_s_at_most_a_minute_without_a_probe(
    asked_s, cooldown_s
):
    meaning = judged(answered_with(Throttled, 429, retry_after_s=asked_s))
    assert meaning.cooldown_s == cooldown_s
    assert meaning.careful == (asked_s is not None and asked_s > 60.0)
    assert meaning.try_elsewhere
    assert meaning.try_again_here == (asked_s is not None)
    assert meaning.recovers
    assert not meaning.feeds_breaker
    assert meaning.backoff_base_s == 1.0


def test_a_second_429_for_the_same_call_ends_its_tries_there():
    failure = answered_with(Throttled, 429, retry_after_s=1.0)
    assert judged(failure).try_again_here
    assert not judged(failure, is_repeated=True).try_again_here


def test_slow_down_asks_for_a_slow_start():
    failure = answered_with(Throttled, 429)
    assert not judged(failure).slow_start
    failure.code = "slow_down"
    assert judged(failure).slow_start


@pytest.mark.parametrize(
    ("failure", "cooldown_s"), [(NO_MONEY, 300.0), (BAD_KEY, 300.0), (NO_MODEL, 300.0)]
)
def test_what_a_person_must_mend_is_set_aside_loudly_and_others_take_over(failure, cooldown_s):
    meaning = judged(failure)
    assert meaning == Judgement(try_elsewhere=True, cooldown_s=cooldown_s, loud=True)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_the_clients_own_mistake_is_neutral_and_never_tried_again(status):
    assert judged(answered_with(RequestRejected, status)) == Judgement()


def test_a_stream_that_broke_after_the_commit_point_is_over_but_feeds_the_breaker():
    assert judged(StreamBroken("broke")) == Judgement(feeds_breaker=True)


def test_a_call_whose_time_is_over_blames_no_endpoint():
    assert judged(TimedOut("over", phase="total")) == Judgement()


def test_a_pool_that_is_full_is_not_the_endpoints_failure():
    meaning = judged(TimedOut("full", phase="pool", sent=False), Replay.UNSAFE)
    assert meaning.try_elsewhere
    assert not meaning.feeds_breaker
    assert not meaning.costs_budget


@pytest.mark.parametrize("failure", [UNREACHABLE, THROTTLED, NO_MONEY, BAD_KEY, NO_MODEL])
def test_moving_on_from_a_refusal_costs_no_retry_budget(failure):
    assert not judged(failure).costs_budget


@pytest.mark.parametrize("failure", [RESET, SILENT, SERVER_ERROR, OVERLOADED])
def test_sending_again_what_was_sent_costs_retry_budget(failure):
    assert judged(failure).costs_budget


# ---- what may be sent again


@pytest.mark.parametrize("failure", [UNREACHABLE, THROTTLED, OVERLOADED, NO_MONEY, BAD_KEY])
def test_costly_calls_are_tried_again_where_nothing_was_done(failure):
    assert judged(failure, Replay.COSTLY).try_elsewhere


@pytest.mark.parametrize("failure", [RESET, SILENT, SERVER_ERROR])
def test_costly_calls_are_not_paid_twice(failure):
    meaning = judged(failure, Replay.COSTLY)
    assert not meaning.try_elsewhere
    assert not meaning.try_again_here
    assert meaning.feeds_breaker


@pytest.mark.parametrize("failure", [RESET, SILENT, SERVER_ERROR, OVERLOADED])
def test_what_creates_something_is_sent_once(failure):
    meaning = judged(failure, Replay.UNSAFE)
    assert not meaning.try_elsewhere
    assert not meaning.try_again_here
    assert meaning.feeds_breaker


@pytest.mark.parametrize("failure", [UNREACHABLE, THROTTLED, NO_MONEY, BAD_KEY, NO_MODEL])
def test_what_creates_something_may_go_elsewhere_if_it_was_refused_or_never_sent(failure):
    assert judged(failure, Replay.UNSAFE).try_elsewhere


def test_a_refusal_told_inside_a_stream_that_began_is_no_proof_that_nothing_was_done():
    assert not judged(answered_with(Throttled, 200), Replay.UNSAFE).try_elsewhere


@pytest.mark.parametrize("kind", [Throttled, QuotaExhausted, CredentialRejected, Misconfigured])
def test_a_refusal_without_a_status_is_no_proof_that_nothing_was_done(kind):
    assert not judged(kind("no answer was read"), Replay.UNSAFE).try_elsewhere


# ---- the client's own key and the client's own model


@pytest.mark.parametrize("failure", [BAD_KEY, NO_MONEY])
def test_a_clients_own_refused_key_goes_back_to_it_and_cools_no_endpoint(failure):
    assert judged(failure, own_credential=False) == Judgement()
    assert passes_unchanged(failure, own_credential=False)


def test_a_clients_own_rate_cools_no_endpoint():
    meaning = judged(THROTTLED, own_credential=False)
    assert meaning.cooldown_s is None
    assert meaning.try_elsewhere
    assert not meaning.try_again_here
    assert passes_unchanged(THROTTLED, own_credential=False)


def test_a_model_that_only_the_client_named_is_sought_elsewhere_and_cools_no_endpoint():
    assert judged(NO_MODEL, own_model=False) == Judgement(try_elsewhere=True)
    assert passes_unchanged(NO_MODEL, own_model=False)


@pytest.mark.parametrize(
    "failure", [THROTTLED, NO_MONEY, BAD_KEY, NO_MODEL, SERVER_ERROR, OVERLOADED, UNREACHABLE]
)
def test_what_is_not_the_clients_own_never_goes_back_as_it_is(failure):
    assert not passes_unchanged(failure)


def test_a_rejected_request_goes_back_as_it_is():
    assert passes_unchanged(REJECTED)


# ---- back-off, budget, hints


@given(st.integers(1, 10_000), st.sampled_from([0.25, 1.0]), draws)
def test_a_back_off_is_between_0_and_8_s_and_doubles(attempt, base_s, draw):
    wait_s = backoff_s(attempt, base_s, draw)
    assert 0.0 <= wait_s <= 8.0
    assert wait_s <= backoff_s(attempt + 1, base_s, draw) <= 2 * wait_s


def test_the_first_back_off_is_below_its_base():
    assert backoff_s(1, 0.25, 0.5) == 0.125
    assert backoff_s(3, 0.25, 0.5) == 0.5


@pytest.mark.parametrize(("in_flight", "retries"), [(0, 3), (10, 3), (50, 10), (1000, 200)])
def test_a_fifth_of_the_calls_in_flight_may_be_retries_and_always_three(in_flight, retries):
    budget = RetryBudget()
    begun = 0
    while budget.allows(in_flight):
        budget.begin()
        begun += 1
    assert begun == retries
    budget.end()
    assert budget.allows(in_flight)


def test_a_client_that_cannot_be_helped_is_told_not_to_try_again():
    assert client_hint(None) == [(b"x-should-retry", b"false")]


@pytest.mark.parametrize(
    ("wait_s", "milliseconds", "seconds"),
    [(0.0, b"1", b"1"), (0.2004, b"201", b"1"), (2.0, b"2000", b"2"), (900.0, b"60000", b"60")],
)
def test_a_client_is_told_when_to_come_back_rounded_up_and_within_60_s(
    wait_s, milliseconds, seconds
):
    assert client_hint(wait_s) == [(b"retry-after-ms", milliseconds), (b"retry-after", seconds)]

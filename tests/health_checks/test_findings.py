"""What follows from a health check, without a clock and without I/O."""

import pytest

from llmproxy.batteries.health_checks.findings import Answered, needs_check, settle
from llmproxy.errors import (
    Answer,
    ConnectFailed,
    CredentialRejected,
    Misconfigured,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    UpstreamFailed,
)
from llmproxy.rules.breaker import BreakerState
from tests.routing.pools import DRAW, by_name, group

WELL = Answered(proves_key=True, models=frozenset({"m"}))
MINUTES = 5 * 60.0


def failed_group(failure=None, **settings):
    """Return a group of `a` and `b`, where `a` failed at 0.0 and is open for 10 s."""
    found = group(("a", 1, 0), ("b", 1, 0), **settings)
    state = by_name(found)["a"]
    failure = failure or UpstreamFailed("status 500")
    checkout = state.begin(0, 0.0)
    checkout.failed(0.0, DRAW)
    checkout.end(0.0)
    state.past.failed_why = failure.reason
    return found, state


def refused_group(failure):
    found = group(("a", 1, 0), ("b", 1, 0))
    state = by_name(found)["a"]
    state.cool(MINUTES, failure.reason)
    state.past.refusal = failure
    return found, state


def refusal(kind, status):
    return kind("no", answer=Answer(status, [], b"the vendor's words"))


def settled(found, state, finding, now, **options):
    result, changes = settle(found.states, state, finding, now, draw=DRAW, **options)
    return result.value, [change.what.value for change in changes]


def test_a_half_open_endpoint_that_answers_is_well_and_the_first_failed_call_shuts_it_again():
    found, state = failed_group(allowed_fails=3)
    for _ in range(2):
        checkout = state.begin(0, 0.0)
        checkout.failed(0.0, DRAW)
        checkout.end(0.0)
    assert needs_check(state, 11.0)
    assert settled(found, state, WELL, 11.0) == ("ok", ["closed"])
    assert not needs_check(state, 11.0)
    checkout = state.begin(0, 12.0)
    checkout.failed(12.0, DRAW)
    assert state.breaker.state(12.0) is BreakerState.OPEN


def test_after_a_good_call_it_is_trusted_as_any_other():
    found, state = failed_group(allowed_fails=1)
    state.breaker.allowed_fails = 3
    settled(found, state, WELL, 11.0)
    state.begin(0, 12.0).answered(12.0)
    state.begin(0, 13.0).failed(13.0, DRAW)
    assert state.breaker.state(13.0) is BreakerState.CLOSED


def test_a_failed_check_opens_a_half_open_breaker_for_longer():
    found, state = failed_group()
    assert settled(found, state, ConnectFailed("refused"), 11.0) == ("failed", ["open"])
    assert state.breaker.opens_until(11.0) == pytest.approx(31.0)
    assert state.past.failed_why == "connect_failed"


@pytest.mark.parametrize(
    "finding",
    [
        RequestRejected("not found", answer=Answer(404, [], b"")),
        Throttled("slowly", answer=Answer(429, [], b"")),
        CredentialRejected("forbidden", answer=Answer(403, [], b"")),
    ],
)
def test_a_404_a_429_or_a_403_shows_that_it_answers(finding):
    found, state = failed_group()
    assert settled(found, state, finding, 11.0) == ("ok", ["closed"])


def test_an_open_breaker_is_closed_early_only_if_the_endpoint_could_not_be_reached():
    _, state = failed_group()
    assert not needs_check(state, 5.0)
    found, state = failed_group(ConnectFailed("refused"))
    assert needs_check(state, 5.0)
    assert settled(found, state, ConnectFailed("refused"), 5.0) == ("failed", [])
    assert state.breaker.opens_until(5.0) == pytest.approx(10.0)
    assert settled(found, state, WELL, 6.0) == ("ok", ["closed"])


def test_a_check_neither_takes_a_call_s_probe_nor_speaks_while_it_is_under_way():
    found, state = failed_group()
    probe = state.begin(0, 11.0)
    assert not needs_check(state, 11.5)
    assert settled(found, state, WELL, 11.5) == ("ok", [])
    assert settled(found, state, UpstreamFailed("status 500"), 11.5) == ("failed", [])
    assert state.breaker.probed_for_s(11.5)
    assert probe.answered(12.0), "the call's own report counts"


def test_after_a_failed_check_the_next_call_finds_the_probe_free():
    found, state = failed_group()
    settled(found, state, UpstreamFailed("status 500"), 11.0)
    later = state.breaker.opens_until(11.0)
    assert state.breaker.admits(later)


def test_a_refused_key_keeps_an_endpoint_aside_with_the_vendor_s_words():
    found, state = refused_group(refusal(CredentialRejected, 401))
    again = refusal(CredentialRejected, 401)
    assert settled(found, state, again, 290.0) == ("refused", [])
    assert state.cooldown_until == pytest.approx(290.0 + MINUTES)
    assert state.refusal(310.0).answer.body == b"the vendor's words"


def test_a_key_that_is_accepted_again_ends_it():
    found, state = refused_group(refusal(CredentialRejected, 401))
    assert settled(found, state, Answered(), 20.0) == ("ok", [])
    assert settled(found, state, WELL, 20.0, is_believed=False) == ("ok", [])
    assert state.is_set_aside(20.0)
    assert settled(found, state, WELL, 20.0) == ("ok", ["cleared"])
    assert state.available(20.0)
    assert not needs_check(state, 20.0)


def test_a_missing_model_is_back_when_it_is_listed():
    found, state = refused_group(refusal(Misconfigured, 404))
    others = Answered(proves_key=True, models=frozenset({"n"}))
    assert settled(found, state, others, 20.0) == ("ok", [])
    assert settled(found, state, WELL, 20.0) == ("ok", ["cleared"])


def test_whether_a_quota_is_paid_for_is_shown_by_calls_only():
    found, state = refused_group(refusal(QuotaExhausted, 429))
    assert settled(found, state, WELL, 20.0) == ("ok", [])
    assert state.is_set_aside(MINUTES + 1.0), "its time is over, and nothing has shown more"
    assert state.available(MINUTES + 1.0), "calls try it"
    state.begin(0, MINUTES + 2.0).answered(MINUTES + 2.0)
    assert not state.is_set_aside(MINUTES + 3.0)


def test_a_refused_key_of_the_last_endpoint_that_others_could_use_sets_nothing_aside():
    found, state = failed_group()
    by_name(found)["b"].drain()
    result, changes = settled(found, state, refusal(CredentialRejected, 401), 11.0)
    assert (result, changes) == ("refused", ["suspect"])
    assert not state.is_set_aside(11.0)


def test_a_cooldown_after_a_429_and_a_drained_endpoint_need_no_check():
    found = group(("a", 1, 0), ("b", 1, 0))
    throttled, drained = found.states
    throttled.cool(20.0, Throttled.reason)
    drained.drain()
    assert not needs_check(throttled, 10.0)
    assert not needs_check(throttled, 21.0)
    assert not needs_check(drained, 10.0)

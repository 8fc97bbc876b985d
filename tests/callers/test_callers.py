"""Callers: how they are identified, what they may use, and how their calls are counted."""

import asyncio
from hashlib import sha256
from time import monotonic

import pytest
import yaml

from llmproxy.batteries.callers import ConfiguredCallers
from llmproxy.batteries.callers.limits import CallerLimits
from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.shared_state.quota.shared_minute import SharedMinute
from llmproxy.batteries.token_estimates import LearnedEstimates
from llmproxy.config import Limits
from llmproxy.errors import CallerThrottled, ClientError, ConfigError, Overload
from llmproxy.operations import Usage
from llmproxy.pipeline.unbounded import UnboundedAdmission
from llmproxy.record import CallRecord, RequestSummary
from llmproxy.runtime import pool_of
from tests.support.callers import call
from tests.support.proxy import config_for
from tests.support.run import bounded

KEY = "sk-team-a-0123456789"
NOW = 1_000.0


def callers_of(*callers, groups=("gpt-4.1",)):
    """Return the callers for a list of callers as in a config file."""
    config = config_for("http://127.0.0.1:1/v1", callers=list(callers))
    (group,) = config["model_groups"]
    config["model_groups"] = [{**group, "model_group": name} for name in groups]
    parsed = parse_config(yaml.safe_dump(config), {}, file="test.yaml")
    pool = pool_of(parsed, estimates=LearnedEstimates)
    return ConfiguredCallers().serve(parsed.general_settings, pool, lambda _: None)


def limited(**limits):
    return callers_of({"name": "team-a", "key": KEY, "limits": limits})


def limits_of(**limits):
    made = CallerLimits("caller", "team-a")
    made.change(Limits.model_validate(limits))
    return made


def identified(callers, headers):
    summary = RequestSummary()
    callers.identify(headers, summary)
    return summary.caller


def permit(callers, sent=None, record=None):
    sent = sent or call()
    group = callers.pool_of(sent.caller).group_for(sent)
    return callers.limiting(UnboundedAdmission().admit)(sent, group, record or CallRecord())


def left(callers):
    (capacity,) = callers.capacities()
    return capacity.left(monotonic())


# ---- keys


@pytest.mark.parametrize(
    ("expires_at", "is_valid"),
    [
        ("2020-01-31", False),
        ("2020-01-31T18:00Z", False),
        ("2999-12-31", True),
        ("2999-12-31T18:00:00+02:00", True),
        (None, True),
    ],
)
def test_a_key_ends_when_the_config_says_so(expires_at, is_valid):
    callers = callers_of({"name": "team-a", "key": KEY, "expires_at": expires_at})
    headers = [(b"api-key", KEY.encode())]
    if is_valid:
        assert identified(callers, headers) == "team-a"
        return
    with pytest.raises(ClientError, match="valid until 2020-01-31") as refused:
        identified(callers, headers)
    assert (refused.value.status, refused.value.code) == (401, "key_expired")


@pytest.mark.parametrize("expires_at", ["soon", "2027-02-31", "90d", ""])
def test_an_end_that_is_no_date_is_refused(expires_at):
    with pytest.raises(ConfigError, match="expires_at"):
        callers_of({"name": "team-a", "key": KEY, "expires_at": expires_at})


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer " + KEY.encode())],
        [(b"authorization", b"bearer  " + KEY.encode())],
        [(b"api-key", KEY.encode())],
        [(b"x-api-key", KEY.encode())],
        [(b"authorization", b"Basic dXNlcjpwdw=="), (b"x-api-key", KEY.encode())],
        [(b"authorization", b"Bearer other"), (b"api-key", KEY.encode())],
    ],
)
@pytest.mark.parametrize(
    "configured", [{"key": KEY}, {"key_sha256": sha256(KEY.encode()).hexdigest()}]
)
def test_a_caller_is_identified_by_its_key_in_any_of_the_headers(headers, configured):
    callers = callers_of({"name": "team-b", "key": "other-key"}, {"name": "team-a", **configured})
    assert identified(callers, headers) == "team-a"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", KEY.encode())],
        [(b"authorization", b"Bearer " + KEY.encode() + b"x")],
        [(b"authorization", b"Bearer " + sha256(KEY.encode()).hexdigest().encode())],
        [(b"x-api-key", b"")],
        [(b"cookie", KEY.encode())],
    ],
)
def test_a_missing_key_and_a_wrong_key_get_the_same_error(headers):
    with pytest.raises(ClientError) as caught:
        identified(callers_of({"name": "team-a", "key": KEY}), headers)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    with pytest.raises(ClientError) as nothing:
        identified(callers_of({"name": "team-a", "key": KEY}), [])
    assert caught.value.message == nothing.value.message


def test_without_callers_no_key_is_needed():
    callers = callers_of()
    assert identified(callers, [(b"authorization", b"Bearer " + KEY.encode())]) is None
    assert list(callers.capacities()) == []


# ---- groups


def test_a_caller_without_groups_may_use_all_of_them():
    callers = callers_of({"name": "team-a", "key": KEY}, groups=("gpt-4.1", "o3"))
    assert set(callers.pool_of("team-a").groups) == {"gpt-4.1", "o3"}


def test_other_groups_do_not_exist_for_a_caller_with_groups():
    team = {"name": "team-a", "key": KEY, "groups": ["gpt-4.1", "o3"]}
    pool = callers_of(team, groups=("gpt-4.1", "o3", "secret")).pool_of("team-a")
    assert pool.group_for(call(model="o3")).name == "o3"
    with pytest.raises(ClientError) as caught:
        pool.group_for(call(model="secret"))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert caught.value.message.endswith("This proxy serves: gpt-4.1, o3.")


def test_the_wildcard_does_not_serve_the_names_of_forbidden_groups():
    team = {"name": "team-a", "key": KEY, "groups": ["*"]}
    pool = callers_of(team, groups=("gpt-4.1", "*")).pool_of("team-a")
    assert pool.group_for(call(model="anything")).name == "*"
    with pytest.raises(ClientError) as caught:
        pool.group_for(call(model="gpt-4.1"))
    assert caught.value.code == "model_not_found"


# ---- limits


def test_there_is_room_after_the_time_in_the_error_and_not_before():
    team = limits_of(rpm=3)
    for second in (0, 10, 20):
        assert team.reserve(0, NOW + second)
    wait_s = team.refusal(0, NOW + 25).retry_after_s
    assert 35 <= wait_s <= 35 * 1.1
    assert team.reserve(0, NOW + 25 + wait_s * 0.9) is None
    assert team.reserve(0, NOW + 25 + wait_s)


def test_the_time_in_the_error_is_right_for_tokens_too():
    team = limits_of(tpm=100)
    assert team.reserve(60, NOW)
    assert team.reserve(30, NOW + 20)
    refusal = team.refusal(70, NOW + 30)
    assert 30 <= refusal.retry_after_s <= 33
    assert team.reserve(70, NOW + 30 + refusal.retry_after_s)
    later = team.refusal(40, NOW + 61)
    assert 58 <= later.retry_after_s <= 60.5


def test_each_instance_names_its_own_part_of_the_concurrent_calls():
    class SharedByTwo:
        share, instances = None, 2

        def gate(self, window, rpm, tpm):
            return SharedMinute(self, window, rpm, tpm)

        def wait_s(self, requests, tokens, now):
            return 0.0

        def reserve(self, tokens, now):
            """No-op: there is always room."""

    team = limits_of(concurrent=4)
    team.capacity.share(SharedByTwo())
    assert team.reserve(5, NOW)
    assert team.reserve(5, NOW)
    assert team.reserve(5, NOW) is None

    assert "calls at a time: Limit 2, Used 2" in team.refusal(5, NOW).message


@pytest.mark.parametrize(
    ("limits", "tokens", "kind", "words"),
    [
        ({"rpm": 1}, 5, "requests", "requests per min (RPM): Limit 1, Used 1, Requested 1"),
        ({"tpm": 10}, 5, "tokens", "tokens per min (TPM): Limit 10, Used 8, Requested 5"),
        ({"rpm": 1, "tpm": 10}, 5, "requests", "RPM"),
        ({"rpm": 9, "tpm": 10}, 5, "tokens", "TPM"),
        ({"concurrent": 1}, 5, "requests", "calls at a time: Limit 1, Used 1"),
    ],
)
def test_the_error_names_the_exhausted_limit_in_openais_words(limits, tokens, kind, words):
    team = limits_of(**limits)
    assert team.reserve(8, NOW)
    refusal = team.refusal(tokens, NOW)
    assert (refusal.status, refusal.code, refusal.kind) == (429, "rate_limit_exceeded", kind)
    assert "caller 'team-a'" in refusal.message
    assert words in refusal.message
    assert refusal.retry_after_s > 0


def test_a_call_bigger_than_the_limit_is_admitted_into_an_empty_window():
    team = limits_of(tpm=10)
    assert team.reserve(50, NOW)
    assert team.reserve(1, NOW + 30) is None
    assert team.reserve(50, NOW + 61)


@bounded()
async def test_a_permit_is_free_again_when_its_call_is_over():
    callers = limited(concurrent=2)
    async with permit(callers):
        async with permit(callers):
            with pytest.raises(CallerThrottled):
                await permit(callers).__aenter__()
        async with permit(callers):
            pass


@bounded()
async def test_estimate_and_output_bound_are_reserved_until_the_usage_is_known():
    callers = limited(tpm=10_000)
    record = CallRecord()
    async with permit(callers, call(body=b"x" * 400, max_output_tokens=500), record):
        reserved = 10_000 - left(callers)[1]
        assert 500 < reserved < 1_000
        record.attempts, record.answer.usage = 1, Usage(input_tokens=120, output_tokens=30)
    assert left(callers)[1] == 10_000 - 150


@bounded()
async def test_usage_above_the_reservation_is_counted_in_full():
    callers = limited(tpm=10_000)
    record = CallRecord()
    async with permit(callers, call(), record):
        record.attempts, record.answer.usage = 1, Usage(input_tokens=4_000, output_tokens=5_000)
    assert left(callers)[1] == 1_000


@bounded()
async def test_a_call_that_reached_no_endpoint_is_not_counted():
    callers = limited(rpm=5, tpm=10_000)
    with pytest.raises(Overload):
        async with permit(callers):
            raise Overload("full", retry_after_s=1)
    assert left(callers) == (5, 10_000)


@bounded()
async def test_a_call_refused_by_every_endpoint_counts_as_a_request_without_tokens():
    callers = limited(rpm=5, tpm=10_000)
    record = CallRecord()
    with pytest.raises(ClientError):
        async with permit(callers, call(max_output_tokens=500), record):
            record.attempts = 2
            raise ClientError("no")
    assert left(callers) == (4, 10_000)


@bounded()
async def test_an_answer_without_usage_counts_as_reserved():
    callers = limited(tpm=10_000)
    record = CallRecord()
    with pytest.raises(asyncio.CancelledError):  # the client has left
        async with permit(callers, call(max_output_tokens=500), record):
            record.attempts = 1
            raise asyncio.CancelledError
    assert left(callers)[1] <= 9_500


@bounded()
async def test_only_callers_with_limits_get_limit_headers():
    callers = callers_of(
        {"name": "team-a", "key": KEY, "limits": {"rpm": 5}}, {"name": "free", "key": "free-key"}
    )
    limited_record, free_record = CallRecord(), CallRecord()
    async with permit(callers, call(), limited_record):
        async with permit(callers, call(caller="free"), free_record):
            pass
    assert limited_record.limit_headers == [
        (b"x-ratelimit-limit-requests", b"5"),
        (b"x-ratelimit-remaining-requests", b"4"),
        (b"x-ratelimit-reset-requests", b"1m0s"),
    ]
    assert free_record.limit_headers is None


# ---- with other instances


class Granting:
    """A shared quota that is empty until it is asked, and grants some after a while."""

    share = None

    def __init__(self, *, after_s, room_in_s=0.02):
        self.after_s = after_s
        self.room_in_s = room_in_s
        self.asked_at = None

    def _granted(self, now):
        return self.asked_at is not None and now >= self.asked_at + self.after_s

    def gate(self, window, rpm, tpm):
        return SharedMinute(self, window, rpm, tpm)

    def covers(self, tokens, now):
        return self._granted(now)

    def wait_s(self, requests, tokens, now):
        return 0.0 if self._granted(now) else self.room_in_s

    def reserve(self, tokens, now):
        pass

    def give_back(self, tokens, sent_at, now):
        pass

    def correct(self, tokens, sent_at, now):
        pass

    def note_waiting(self, tokens):
        self.asked_at = self.asked_at or monotonic()


def shared(stock):
    callers = limited(rpm=60)
    (capacity,) = callers.capacities()
    capacity.share(stock)
    return callers


@pytest.mark.clock
@bounded()
async def test_the_first_call_after_a_pause_waits_for_its_grant():
    record, began_at = CallRecord(), monotonic()
    async with permit(shared(Granting(after_s=0.03)), call(), record):
        assert 0.03 <= monotonic() - began_at < 0.2
    assert record.waited_s >= 0.03


@pytest.mark.clock
@bounded()
async def test_the_wait_for_a_grant_is_short():
    began_at = monotonic()
    with pytest.raises(CallerThrottled):
        await permit(shared(Granting(after_s=9.0))).__aenter__()
    assert 0.2 < monotonic() - began_at < 1.0


@pytest.mark.clock
@bounded()
async def test_a_limit_used_up_by_other_instances_is_refused_at_once():
    began_at = monotonic()
    with pytest.raises(CallerThrottled) as caught:
        await permit(shared(Granting(after_s=0.0, room_in_s=30.0))).__aenter__()
    assert monotonic() - began_at < 0.15
    assert caught.value.retry_after_s == 30.0

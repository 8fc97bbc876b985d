"""Rate limits: what the windows admit, and their headers."""

import math

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.tools.simulator import VendorSettings, serve
from llmproxy.tools.simulator.limits import AzureWindow, OpenAIWindow, go_duration
from tests.support.run import bounded
from tests.tools.simulator.wires import HELLO, answered, azure_client, chat_request, openai_client

DURATIONS = {
    0: b"0s",
    0.0001: b"1ms",
    0.02: b"20ms",
    1: b"1s",
    8.64: b"8.64s",
    59.9996: b"1m0s",
    360: b"6m0s",
    3723.5: b"1h2m3.5s",
}


@pytest.mark.parametrize("seconds", DURATIONS)
def test_durations_have_gos_format(seconds):
    assert go_duration(seconds) == DURATIONS[seconds]


def test_openai_admits_a_minutes_worth_and_then_one_for_each_refill():
    window = OpenAIWindow(rpm=60, tpm=10_000, now=0)
    assert [window.admit(1, 0).wait_s for _ in range(60)] == [None] * 60
    refused = window.admit(1, 0)
    assert (refused.wait_s, refused.exceeded) == (1, "requests")
    assert window.admit(1, 0.99).wait_s == pytest.approx(0.01)
    assert window.admit(1, 1.0).wait_s is None
    assert window.admit(1, 1.0).wait_s is not None


def test_openais_reset_is_the_time_until_full():
    window = OpenAIWindow(rpm=60, tpm=600, now=0)
    standing = window.admit(100, 0)
    assert (standing.remaining_requests, standing.remaining_tokens) == (59, 500)
    assert standing.reset_requests_s == pytest.approx(1)
    assert standing.reset_tokens_s == pytest.approx(10)


def test_openai_refuses_by_tokens_and_charges_nothing_for_it():
    window = OpenAIWindow(rpm=60, tpm=600, now=0)
    window.admit(500, 0)
    refused = window.admit(200, 0)
    assert (refused.exceeded, refused.wait_s) == ("tokens", pytest.approx(10))
    assert refused.remaining_requests == 59
    assert window.admit(100, 0).wait_s is None


def test_a_request_above_the_limit_gets_no_retry_after():
    window = OpenAIWindow(rpm=60, tpm=600, now=0)
    refused = window.admit(601, 0)
    assert refused.wait_s == math.inf
    assert b"retry-after" not in dict(window.headers(refused))


@given(
    rpm=st.integers(1, 600),
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 50)), max_size=60),
)
def test_openai_never_admits_more_than_a_full_bucket_and_its_refill(rpm, steps):
    window = OpenAIWindow(rpm=rpm, tpm=1_000, now=0)
    now = admitted = tokens = 0
    for pause_s, wanted in steps:
        now += pause_s
        if window.admit(wanted, now).wait_s is None:
            admitted += 1
            tokens += wanted
    assert admitted <= rpm + now * rpm / 60 + 1e-6
    assert tokens <= 1_000 + now * 1_000 / 60 + 1e-6


def test_azure_limits_requests_over_one_second():
    window = AzureWindow(rpm=600, tpm=10_000, now=0)
    assert [window.admit(1, 0.1).wait_s for _ in range(10)] == [None] * 10
    assert window.admit(1, 0.25).wait_s == pytest.approx(0.75)
    assert window.admit(1, 1.0).wait_s is None


def test_azure_limits_few_requests_over_longer_windows():
    window = AzureWindow(rpm=12, tpm=10_000, now=0)
    assert window.window_s == 5
    assert window.admit(1, 0).wait_s is None
    assert window.admit(1, 4).wait_s == pytest.approx(1)
    assert window.admit(1, 5).wait_s is None


def test_azure_counts_rejected_requests():
    window = AzureWindow(rpm=60, tpm=10_000, now=0)
    for _ in range(59):
        window.admit(1, 0)
    assert window.admit(1, 1.5).wait_s is None  # the sixtieth
    assert window.admit(1, 2.5).wait_s == pytest.approx(57.5)
    assert window.admit(1, 60.5).wait_s is None


def test_azure_charges_tokens_over_a_minute():
    window = AzureWindow(rpm=6_000, tpm=100, now=0)
    assert window.admit(80, 0).remaining_tokens == 20
    refused = window.admit(30, 10)
    assert (refused.exceeded, refused.wait_s) == ("tokens", 50)
    assert window.admit(20, 20).remaining_tokens == 0
    assert window.admit(100, 60).remaining_tokens == 0


@bounded()
async def test_openai_sends_its_limits_with_every_answer_and_retry_after_with_a_429():
    async with serve(VendorSettings(rpm=2, tpm=6_000)) as vendor:
        _, first, _ = await answered(vendor, chat_request())
        await answered(vendor, chat_request(stream=False))
        status, refused, body = await answered(vendor, chat_request())
    assert first["x-ratelimit-limit-requests"] == "2"
    assert first["x-ratelimit-remaining-requests"] == "1"
    assert first["x-ratelimit-reset-requests"] == "30s"
    assert first["x-ratelimit-limit-tokens"] == "6000"
    assert first["x-ratelimit-remaining-tokens"] == "5990"
    assert first["x-ratelimit-reset-tokens"] == "100ms"
    assert "retry-after" not in first
    assert status == 429
    assert body["error"]["code"] == "rate_limit_exceeded"
    assert body["error"]["type"] == "requests"
    assert 28 <= int(refused["retry-after"]) <= 30
    assert refused["x-ratelimit-remaining-requests"] == "0"


@bounded()
async def test_azure_sends_plain_seconds_and_milliseconds():
    async with serve(VendorSettings(rpm=6)) as vendor, azure_client(vendor) as client:
        create = client.chat.completions.with_raw_response.create
        first = (await create(model="d", messages=HELLO)).headers
        with pytest.raises(openai.RateLimitError) as caught:
            await create(model="d", messages=HELLO)
    refused = caught.value.response.headers
    assert first["x-ratelimit-limit-requests"] == "6"
    assert first["x-ratelimit-reset-requests"] == "60"
    assert 9_000 < int(refused["retry-after-ms"]) <= 10_000
    assert refused["retry-after"] == "10"
    assert caught.value.code == "429"


@bounded()
async def test_max_tokens_are_charged_on_arrival_and_per_model():
    async with serve(VendorSettings(tpm=1_000)) as vendor, openai_client(vendor) as client:
        create = client.chat.completions.create
        await create(model="one", messages=HELLO, max_tokens=900)
        with pytest.raises(openai.RateLimitError) as caught:
            await create(model="one", messages=HELLO, max_tokens=900)
        assert caught.value.type == "tokens"
        await create(model="two", messages=HELLO, max_tokens=900)


@bounded()
async def test_without_limits_the_headers_allow_many_requests():
    async with serve() as vendor:
        _, headers, _ = await answered(vendor, chat_request())
    assert int(headers["x-ratelimit-remaining-requests"]) > 100_000

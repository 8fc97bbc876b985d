"""Real clients with a caller's key: they raise what they raise at OpenAI, and see our limits."""

import openai
import pytest

from llmproxy.tools.simulator import VendorSettings, serve
from tests.clients.calls import HELLO
from tests.clients.houses import SEED, everything_to
from tests.support.background import in_background
from tests.support.proxy import serve_proxy

KEY, FREE_KEY = "sk-caller-with-limits", "sk-caller-without"


@pytest.fixture
def proxy():
    """A proxy with a caller of two requests and 10,000 tokens a minute, and one without limits."""
    callers = [
        {"name": "team-a", "key": KEY, "limits": {"rpm": 2, "tpm": 10_000}},
        {"name": "team-b", "key": FREE_KEY},
    ]

    def with_callers(vendor):
        config = everything_to(vendor.base_url)
        config["general_settings"]["callers"] = callers
        return serve_proxy(config)

    with in_background(lambda: serve(VendorSettings(seed=SEED)), with_callers) as (_, proxy):
        yield proxy


def client(proxy, key):
    return openai.OpenAI(base_url=proxy.base_url, api_key=key, max_retries=0)


def test_a_wrong_key_is_an_authentication_error(proxy):
    with client(proxy, "sk-wrong") as asking:
        with pytest.raises(openai.AuthenticationError) as caught:
            asking.models.list()
    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "invalid_request_error"


def test_a_caller_sees_its_limits_and_at_their_end_a_rate_limit_error(proxy):
    with client(proxy, KEY) as asking:
        completions = asking.chat.completions.with_raw_response
        headers_of_calls = [completions.create(model="m", messages=HELLO).headers for _ in range(2)]
        with pytest.raises(openai.RateLimitError) as caught:
            completions.create(model="m", messages=HELLO)
    assert [headers["x-ratelimit-remaining-requests"] for headers in headers_of_calls] == ["1", "0"]
    assert headers_of_calls[0]["x-ratelimit-limit-tokens"] == "10000"
    assert headers_of_calls[0]["x-ratelimit-reset-requests"] == "1m0s"
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.type == "requests"
    assert 50 <= int(caught.value.response.headers["retry-after"]) <= 60


def test_an_azure_client_shows_the_same_key_in_its_own_header(proxy):
    with openai.AzureOpenAI(
        azure_endpoint=proxy.root, api_key=FREE_KEY, api_version="2024-10-21", max_retries=0
    ) as asking:
        answer = asking.chat.completions.create(model="m", messages=HELLO)
    assert answer.choices[0].message.content
    assert proxy.events.calls[-1].record.request.caller == "team-b"

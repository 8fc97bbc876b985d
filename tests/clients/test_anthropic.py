"""Anthropic's own client reads errors of ours as it reads Anthropic's."""

from contextlib import suppress

import pytest

from llmproxy.tools.simulator import VendorSettings, serve
from tests.clients.houses import SEED, everything_to
from tests.support.background import in_background
from tests.support.late import Late
from tests.support.proxy import serve_proxy

anthropic = Late("anthropic")

KEY = "sk-caller-of-messages"
MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def proxy():
    """A proxy with a caller of one request a minute, and no endpoint for most models."""

    def with_caller(vendor):
        config = everything_to(vendor.base_url)
        config["model_groups"][0]["model_group"] = "known"
        limits = {"rpm": 1}
        config["general_settings"]["callers"] = [
            {"name": "team-a", "key": KEY, "limits": limits},
            {"name": "team-b", "key": KEY + "-2"},
        ]
        return serve_proxy(config)

    with in_background(lambda: serve(VendorSettings(seed=SEED)), with_caller) as (_, proxy):
        yield proxy


def ask(proxy, key, model, **more):
    with anthropic.Anthropic(base_url=proxy.root, api_key=key, max_retries=0) as client:
        return client.messages.create(model=model, max_tokens=5, messages=MESSAGES, **more)


@pytest.mark.parametrize("stream", [False, True])
def test_a_wrong_key_raises_an_authentication_error(proxy, stream):
    with pytest.raises(anthropic.AuthenticationError) as caught:
        ask(proxy, "sk-wrong", "known", stream=stream)
    assert caught.value.type == "authentication_error"
    assert "Authorization: Bearer KEY" in str(caught.value)


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_raises_a_not_found_error(proxy, stream):
    with pytest.raises(anthropic.NotFoundError) as caught:
        ask(proxy, KEY + "-2", "unknown", stream=stream)
    assert caught.value.type == "not_found_error"
    assert caught.value.body["error"]["type"] == "not_found_error"
    assert caught.value.body["request_id"].startswith("req_")


def test_an_exhausted_caller_raises_a_rate_limit_error(proxy):
    with pytest.raises(anthropic.RateLimitError) as caught:
        for _ in range(2):
            with suppress(anthropic.NotFoundError):  # the simulated vendor has no messages
                ask(proxy, KEY, "known")
    assert caught.value.type == "rate_limit_error"
    assert int(caught.value.response.headers["retry-after"]) > 0

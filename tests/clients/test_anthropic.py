"""Anthropic's own client reads errors of ours as it reads Anthropic's."""

import json
from contextlib import suppress

import pytest

from llmproxy.batteries.cache.representations import json_to_sse
from llmproxy.tools.simulator import VendorSettings, serve
from tests.clients.houses import SEED, everything_to
from tests.support.background import in_background
from tests.support.late import Late
from tests.support.proxy import serve_proxy
from tests.support.vendor import LAST_CHUNK, chunk, http, scripted, sse_head

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


def answering(received, number):
    """Answer as Anthropic does: the first endpoint of a group is down."""
    if received.header("x-api-key") == "sk-ant-down":
        return [http(b'{"type":"error","error":{"type":"api_error"}}', status=500)]
    message = {"id": "msg", "type": "message", "role": "assistant", "model": "claude"}
    usage = {"input_tokens": 1, "output_tokens": 1}
    ending = {"stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
    whole = {**message, "content": [{"type": "text", "text": "Hello"}], **ending}
    if b'"stream"' not in received.body:
        return [http(whole)]
    events = json_to_sse(json.dumps(whole).encode(), "messages", include_usage=True)
    return [sse_head() + chunk(events) + LAST_CHUNK]


@pytest.fixture(scope="module")
def pair():
    """A proxy with a group of two endpoints, of which the first is down."""

    def with_two(vendor):
        ways = [{"api_key": "sk-ant-down"}, {"api_key": "sk-ant-ours"}]
        models = [
            {"provider": "anthropic", "tier": tier, "params": {"base_url": vendor.base_url, **way}}
            for tier, way in enumerate(ways)
        ]
        return serve_proxy({"model_groups": [{"model_group": "claude", "models": models}]})

    with in_background(lambda: scripted(answering), with_two) as (_, proxy):
        yield proxy


def test_a_group_of_two_answers_whole_and_streamed_while_one_is_down(pair):
    assert ask(pair, "any", "claude").content[0].text == "Hello"
    with anthropic.Anthropic(base_url=pair.root, api_key="any", max_retries=0) as client:
        with client.messages.stream(model="claude", max_tokens=5, messages=MESSAGES) as stream:
            assert stream.get_final_message().content[0].text == "Hello"


def test_the_client_lists_the_models(pair):
    with anthropic.Anthropic(base_url=pair.root, api_key="any", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["claude"]
        assert client.models.retrieve("claude").display_name == "claude"

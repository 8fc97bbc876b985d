"""A call reaches each endpoint with the parameters that its entry asks for."""

import json

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.config import Config
from llmproxy.errors import ConfigError
from llmproxy.serving import Batteries
from tests.support.client import CHAT, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, error_body, http, scripted

EXPLAIN = [("x-llmproxy-explain", "1")]
QUESTION = (
    b'{ "model":"gpt-4.1","messages":[],  "logprobs":true, "big": 123456789012345678901,'
    b'"max_tokens":9}'
)


def entry(vendor, name, **settings):
    params = {"base_url": vendor.base_url, "api_key": "sk-1"}
    return {"name": name, "model": "gpt-4.1", "params": params, **settings}


def unless(word):
    """Answer like a vendor that refuses a parameter."""

    def answer(received, _number):
        if word in received.body:
            return [http(error_body("unsupported_parameter", message=f"{word}"), status=400)]
        return [http(chat("good"))]

    return answer


@bounded()
async def test_a_fallback_to_an_endpoint_that_lacks_a_parameter_works_by_config():
    async with scripted(always(http(b"", status=500))) as first:
        async with scripted(unless(b"logprobs")) as second:
            other = entry(
                second,
                "groq",
                tier=1,
                drop=["logprobs"],
                rename={"max_tokens": "max_completion_tokens"},
                defaults={"temperature": 0.5},
                overrides={"user": "llmproxy"},
                max_output_tokens=5,
            )
            async with serve_proxy(config_for(entry(first, "openai"), other)) as proxy:
                reply = await ask(proxy.port, body=QUESTION, headers=EXPLAIN)
                record = proxy.events.calls[-1].record
    assert reply.status == 200
    assert first.received[0].body == QUESTION
    assert second.received[0].body == (
        b'{ "model":"gpt-4.1","messages":[], "big": 123456789012345678901,'
        b'"max_completion_tokens":5,"user":"llmproxy","temperature":0.5}'
    )
    changes = (
        "renamed max_tokens to max_completion_tokens, dropped logprobs, "
        "lowered max_completion_tokens to 5, set user, set temperature"
    )
    assert f"changed for groq ({changes}); groq answered 200" in reply.header("x-llmproxy-explain")
    assert [step.changes for step in record.steps if hasattr(step, "changes")] == [changes]


@bounded()
async def test_an_endpoint_with_another_model_gets_both_changes():
    async with scripted(always(http(chat("good")))) as vendor:
        config = config_for({**entry(vendor, "e0", drop=["logprobs"]), "model": "o3"})
        async with serve_proxy(config) as proxy:
            await ask(proxy.port, body=QUESTION)
    sent = json.loads(vendor.received[0].body)
    assert sent == {"model": "o3", "messages": [], "big": 123456789012345678901, "max_tokens": 9}


@bounded()
async def test_calls_that_ask_no_model_for_an_answer_keep_their_parameters():
    async with scripted(always(http(b"{}"))) as vendor:
        config = config_for(entry(vendor, "e0", defaults={"temperature": 0}))
        async with serve_proxy(config) as proxy:
            await ask(proxy.port, "/v1/messages/count_tokens", body=CHAT)
    assert b"temperature" not in vendor.received[0].body


def test_a_config_that_changes_parameters_is_refused_without_the_battery():
    config = Config.model_validate(
        {"model_groups": [{"model_group": "m", "models": [{"drop": ["logprobs"]}]}]}
    )
    with pytest.raises(ConfigError, match=r"has no `llmproxy\.batteries\.parameters`"):
        Batteries().check(config, file="test.yaml")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("drop: [model]", "found model, which is no parameter to change"),
        ("overrides: {stream: true}", "found stream, which is no parameter to change"),
        ("rename: {a: model}", "found model, which is no parameter to change"),
        ("drop: [a], defaults: {a: 1}", "in two of drop, overrides and defaults"),
        ("max_output_tokens: 5, defaults: {max_tokens: 6}", "above max_output_tokens"),
        ('drop: ["a\\nb"]', "a control character"),
        ('defaults: {"": 1}', "found an empty string"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_with_its_line(written, found):
    text = f"model_groups:\n- model_group: m\n  models:\n  - {{{written}}}\n"
    with pytest.raises(ConfigError, match=found):
        parse_config(text, {}, file="test.yaml")

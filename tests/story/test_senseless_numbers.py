"""Numbers that make no sense, of vendors and clients, are unknown: no call fails by them."""

import json

import pytest

from tests.support.client import CHAT, STREAM, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    always,
    chat,
    chunk,
    delta,
    http,
    scripted,
    sse_head,
)

HUGE = "1" + "0" * 400
SENSELESS = ["-1", "1000000000001", HUGE, "NaN", "1e400", "true", '"7"', "1.5", "[]", "{}"]
LIMITS = ["-1", "1000000000001", HUGE, "nan", "inf", "true", "", "1e400", "x" * 500]
NAMES = ["prompt_tokens", "completion_tokens"]


def with_usage(text, number):
    usage = '{"prompt_tokens": %s, "completion_tokens": %s, "total_tokens": %s}'
    return text.replace(b'"USAGE"', (usage % (number, number, number)).encode())


def answers(number):
    whole = with_usage(json.dumps(chat("good", usage="USAGE")).encode(), number)
    last = with_usage(b'data: {"choices": [], "usage": "USAGE"}\n\n', number)
    events = [delta(role="assistant"), delta("x"), delta(finish="stop"), last, DONE]
    return whole, events


@pytest.mark.parametrize("number", SENSELESS, ids=range(len(SENSELESS)))
@bounded()
async def test_a_usage_without_sense_is_unknown_and_metrics_answer(number):
    whole, events = answers(number)

    def reply(received, count):
        if b'"stream"' in received.body:
            return [sse_head(), *map(chunk, events), LAST_CHUNK]
        return [http(whole)]

    async with scripted(reply) as vendor:
        limited = {"limits": {"tpm": 1_000_000}}
        config = group_of(vendor)
        config["model_groups"][0]["models"][0].update(limited)
        async with serve_proxy(config) as proxy:
            for body, expected in ((CHAT, whole), (STREAM, b"".join(events))) * 2:
                reply_ = await ask(proxy.port, body=body)
                assert (reply_.status, reply_.body) == (200, expected)
                usage = proxy.events.calls[-1].record.answer.usage
                assert usage is None or usage.estimated
            metrics = await ask(proxy.port, "/metrics", method="GET")
            assert metrics.status == 200
            assert b"llmproxy_" in metrics.body


@pytest.mark.parametrize("number", LIMITS, ids=range(len(LIMITS)))
@bounded()
async def test_limits_without_sense_are_unknown_and_metrics_answer(number):
    names = ["limit", "remaining", "reset"]
    headers = [
        (f"x-ratelimit-{name}-{kind}", number) for name in names for kind in ("requests", "tokens")
    ]
    async with scripted(always(http(chat("good"), headers=headers))) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            for _ in range(3):
                assert (await ask(proxy.port, body=CHAT)).status == 200
            assert (await ask(proxy.port, "/metrics", method="GET")).status == 200
            assert len(vendor.received) == 3


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n", "best_of"])
@pytest.mark.parametrize("number", [*SENSELESS, "9" * 19, "9" * 30], ids=range(12))
@bounded()
async def test_an_absurd_number_of_a_client_is_the_endpoints_to_judge_or_a_400(name, number):
    body = json.dumps({**CHAT, "max_tokens": 5}).encode()
    body = body[:-1] + f', "{name}": {number}}}'.encode()
    async with scripted(always(http(chat("good")))) as vendor:
        config = group_of(vendor)
        config["model_groups"][0]["models"][0]["limits"] = {"tpm": 1_000_000, "rpm": 100}
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=body)
            if number == "NaN":
                assert (reply.status, vendor.received) == (400, [])
            else:
                assert reply.status == 200
                assert vendor.received[0].body == body
            assert (await ask(proxy.port, "/metrics", method="GET")).status == 200

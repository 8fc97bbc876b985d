"""`x-llmproxy-cost-usd`: what a call cost, for those who may know."""

import pytest

from tests.support.callers import KEY_A, KEY_B, bearer, team_a, team_b, with_callers
from tests.support.client import CHAT, STREAM, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import DONE, LAST_CHUNK, chat, chunk, delta, http, scripted, sse_head

HEADER = "x-llmproxy-cost-usd"
PRICED = {"price": {"input": 1, "output": 4.5}}
USED = chat("good", usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5})


def reply(received, number):
    if b'"stream"' in received.body:
        return [sse_head(), *map(chunk, [delta("x"), DONE]), LAST_CHUNK]
    return [http(USED)]


def priced(config, **settings):
    for group in config["model_groups"]:
        for entry in group["models"]:
            entry.update(PRICED)
    config["general_settings"] = {**config.get("general_settings", {}), **settings}
    return config


@bounded()
async def test_nobody_is_told_by_default():
    async with scripted(reply) as vendor, serve_proxy(priced(group_of(vendor))) as proxy:
        assert (await ask(proxy.port, body=CHAT)).header(HEADER) is None


@bounded()
async def test_an_answer_says_what_it_cost_and_a_stream_does_not():
    async with scripted(reply) as vendor:
        config = priced(group_of(vendor), cost_header=True)
        async with serve_proxy(config) as proxy:
            assert (await ask(proxy.port, body=CHAT)).header(HEADER) == "0.000012"
            assert proxy.events.calls[-1].record.cost.nano_usd == 12_000
            assert (await ask(proxy.port, body=STREAM)).header(HEADER) is None


@bounded()
async def test_an_unknown_cost_is_not_told_as_zero():
    async with scripted(reply) as vendor:
        async with serve_proxy(group_of(vendor, cost_header=True)) as proxy:
            assert (await ask(proxy.port, body=CHAT)).header(HEADER) is None
            assert proxy.events.calls[-1].record.cost.basis == "unknown"


@pytest.mark.parametrize(
    ("general", "of_a", "told"),
    [(False, True, [True, False]), (True, False, [False, True]), (True, None, [True, True])],
)
@bounded()
async def test_a_caller_may_be_told_or_not(general, of_a, told):
    async with scripted(reply) as vendor:
        more = {} if of_a is None else {"cost_header": of_a}
        config = priced(with_callers(vendor, team_a(**more), team_b()), cost_header=general)
        async with serve_proxy(config) as proxy:
            for key, expected in zip((KEY_A, KEY_B), told, strict=True):
                answer = await ask(proxy.port, body=CHAT, headers=bearer(key))
                assert (answer.header(HEADER) is not None) == expected

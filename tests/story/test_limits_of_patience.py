"""Deadlines, the retry budget and probes: how much a call may cost before it is refused."""

import asyncio
from time import monotonic

import pytest

from tests.support.client import CHAT, STREAM, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.under_way import idle
from tests.support.vendor import GOOD, always, chat, error_body, http, scripted

FAILS = always(http(error_body("x"), status=500))


@pytest.mark.clock
@pytest.mark.parametrize(
    ("header", "value", "expected_s"),
    [
        ("x-llmproxy-timeout-s", "0.4", 0.4),
        ("x-stainless-read-timeout", "0.5", 0.45),
        ("X-Stainless-Timeout", "0.5", 0.45),
        ("x-stainless-read-timeout", "soon", 0.8),
    ],
)
@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["unary", "stream"])
@bounded()
async def test_a_deadline_covers_every_attempt(header, value, expected_s, body):
    async with scripted(always("hang")) as first, scripted(always("hang")) as second:
        timeouts = {"first_byte_s": 0.3, "unary_first_byte_s": 0.3, "total_s": 0.8}
        async with serve_proxy(group_of(first, second, timeouts=timeouts)) as proxy:
            began_at = monotonic()
            reply = await ask(proxy.port, body=body, headers=[(header, value)])
            assert abs(monotonic() - began_at - expected_s) < 0.25
            assert reply.status == 504
            assert reply.error["code"] in ("deadline_exceeded", "upstream_timeout")
            assert first.received
            assert second.received


@bounded()
async def test_a_short_client_timeout_does_not_count_against_the_endpoint():
    async with scripted(always(0.2, http(chat("good")))) as first, scripted(GOOD) as second:
        async with serve_proxy(group_of(first, second)) as proxy:
            for _ in range(4):
                await ask(proxy.port, body=CHAT, headers=[("x-llmproxy-timeout-s", "0.05")])
            assert not proxy.events.changes


@bounded()
async def test_a_timeout_that_is_not_a_number_is_an_error():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=[("x-llmproxy-timeout-s", "soon")])
            assert reply.status == 400
            assert "x-llmproxy-timeout-s" in reply.error["message"]


@bounded()
async def test_when_all_calls_fail_at_once_retries_stay_in_their_budget_and_all_are_served():
    at_once = most_at_once = 0

    def failing(received, number):
        nonlocal at_once, most_at_once
        yield 0.01
        yield http(error_body("x"), status=500)

    async with scripted(failing) as bad, scripted(always(0.01, http(chat("good")))) as fine:
        async with serve_proxy(group_of(bad, fine, allowed_fails=1000)) as proxy:
            budget = proxy.runtime.pool.groups["gpt-4.1"].budget

            async def watch():
                nonlocal most_at_once
                while True:
                    most_at_once = max(most_at_once, budget.retrying)
                    await asyncio.sleep(0.001)

            watching = asyncio.ensure_future(watch())
            replies = await asyncio.gather(*(ask(proxy.port, body=CHAT) for _ in range(100)))
            watching.cancel()
            assert {reply.status for reply in replies} == {200}
            assert 3 <= most_at_once <= 20
            await idle(proxy)


@pytest.mark.clock
@bounded()
async def test_with_every_breaker_open_one_call_probes_each_endpoint_and_the_others_wait_for_it():
    down = True

    def answer(received, number):
        return ["reset"] if down else [0.15, http(chat("back"))]

    async with scripted(answer) as first, scripted(answer) as second:
        async with serve_proxy(group_of(first, second, num_retries=1, allowed_fails=1)) as proxy:
            for _ in range(3):
                reply = await ask(proxy.port, body=CHAT)
                assert (reply.status, reply.header("retry-after")) == (503, "1")
            states = proxy.runtime.pool.groups["gpt-4.1"].states
            assert all(state.ready_at(monotonic()) - monotonic() < 70 for state in states)
            down = False
            before = len(first.received) + len(second.received)
            calls = [asyncio.ensure_future(ask(proxy.port, body=CHAT)) for _ in range(10)]
            await asyncio.sleep(0.1)
            probes = len(first.received) + len(second.received) - before
            assert probes == 2
            assert {reply.status for reply in await asyncio.gather(*calls)} == {200}


@bounded()
async def test_a_misconfigured_endpoint_is_set_aside_and_reported():
    refuses = always(http(error_body("invalid_api_key"), status=401))
    async with scripted(refuses) as wrong, scripted(GOOD) as fine:
        async with serve_proxy(group_of(wrong, fine)) as proxy:
            for _ in range(10):
                assert (await ask(proxy.port, body=CHAT)).status == 200
            assert len(wrong.received) == 1
            (change,) = proxy.events.changes
            assert (change.endpoint, change.state, change.for_s) == ("e0", "misconfigured", 300)


@bounded()
async def test_an_unknown_model_cools_no_endpoint_if_the_client_chooses_the_model():
    unknown = always(http(error_body("model_not_found"), status=404))
    async with scripted(unknown) as first, scripted(unknown) as second:
        config = group_of(first, second)
        config["model_groups"][0]["model_group"] = "*"
        for model in config["model_groups"][0]["models"]:
            del model["model"]
        async with serve_proxy(config) as proxy:
            for _ in range(2):
                reply = await ask(proxy.port, body=CHAT)
                assert (reply.status, reply.json) == (404, error_body("model_not_found"))
            assert not proxy.events.changes


@bounded()
async def test_calls_beyond_max_in_flight_are_refused():
    async with scripted(always(0.2, http(chat("good")))) as vendor:
        async with serve_proxy(group_of(vendor, max_in_flight=1, max_queued=0)) as proxy:
            first = asyncio.ensure_future(ask(proxy.port, body=CHAT))
            while not vendor.received:
                await asyncio.sleep(0.01)
            reply = await ask(proxy.port, body=CHAT)
            assert (reply.status, reply.error["code"]) == (503, "proxy_overloaded")
            assert reply.header("retry-after")
            assert (await first).status == 200

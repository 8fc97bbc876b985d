"""A second attempt beside a silent one, over real sockets: who is asked, wins and is closed."""

import asyncio
from time import monotonic

import pytest

from tests.support.client import CHAT, STREAM, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.slow_answers import slow, slow_stream
from tests.support.under_way import idle
from tests.support.vendor import GOOD, always, chat, error_body, http, scripted
from tests.support.waiting import until

SOON = {"hedge_after_s": 0.1, "timeouts": {"idle_s": 1}}
ANSWER = http(chat("good"))
FAILS = always(http(error_body("server_error"), status=500))
EXPLAIN = [("x-llmproxy-explain", "1")]


def asked(*vendors):
    return [len(vendor.received) for vendor in vendors]


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["unary", "stream"])
@bounded()
async def test_a_stalled_endpoint_is_hedged_and_its_connection_closed(body):
    good = slow_stream(before_s=0) if body is STREAM else GOOD
    async with scripted(always("hang")) as stalled, scripted(good) as fine:
        async with serve_proxy(group_of(stalled, fine, **SOON)) as proxy:
            reply = await ask(proxy.port, body=body, headers=EXPLAIN)

            assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "e1")
            assert reply.header("x-llmproxy-attempts") == "2"
            steps = reply.header("x-llmproxy-explain").split("; ")
            assert steps[0].startswith("e0 abandoned (outrun) after 1")
            assert steps[1].startswith("e1 (hedge) answered 200 after ")
            await until(lambda: stalled.received[0].gone_at is not None)
            await idle(proxy)
            (call,) = proxy.events.calls
            assert [step.hedge for step in call.record.steps] == [False, True]
            assert not proxy.events.changes, "one silence says nothing of an endpoint"


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["unary", "stream"])
@bounded()
async def test_two_endpoints_that_both_need_long_answer_with_what_was_begun_first(body):
    # As 330 s at each, with a limit of 600 s in all.
    long = slow_stream(before_s=0.6) if body is STREAM else slow(ANSWER, after_s=0.6)
    async with scripted(long) as first, scripted(long) as second:
        timeouts = {"idle_s": 1, "total_s": 1.1}
        config = group_of(first, second, hedge_after_s=0.3, timeouts=timeouts)
        async with serve_proxy(config) as proxy:
            began_at = monotonic()
            reply = await ask(proxy.port, body=body)
            assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "e0")
            assert monotonic() - began_at < 1.6
            assert asked(first, second) == [1, 1]
            await until(lambda: second.received[0].gone_at is not None)
            await idle(proxy)


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["unary", "stream"])
@bounded()
async def test_the_only_endpoint_is_waited_for_until_the_clients_patience_is_over(body):
    long = slow_stream(before_s=0.7) if body is STREAM else slow(ANSWER, after_s=0.7)
    async with scripted(long) as only:
        async with serve_proxy(group_of(only, **SOON)) as proxy:
            assert (await ask(proxy.port, body=body)).status == 200
            patience = [("x-stainless-read-timeout", "0.4")]
            reply = await ask(proxy.port, body=body, headers=patience)
            assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")
            assert len(only.received) == 2, "each call was sent once"
            assert not proxy.events.changes


@bounded()
async def test_where_the_other_endpoint_is_full_the_silent_one_is_waited_for():
    async with scripted(slow(ANSWER, after_s=0.6)) as first, scripted(GOOD) as second:
        config = group_of(first, second, **SOON)
        config["model_groups"][0]["models"][1]["limits"] = {"rpm": 1}
        async with serve_proxy(config) as proxy:
            replies = await asyncio.gather(*(ask(proxy.port, body=CHAT) for _ in range(2)))
            assert [reply.status for reply in replies] == [200, 200]
            assert asked(first, second) == [1, 1]


@bounded()
async def test_a_hedge_that_fails_does_not_fail_the_call():
    async with scripted(slow(ANSWER, after_s=0.4)) as slower, scripted(FAILS) as broken:
        async with serve_proxy(group_of(slower, broken, **SOON)) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=EXPLAIN)
            assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "e0")
            text = reply.header("x-llmproxy-explain")
            assert "e1 (hedge) failed 500 (server_error) after" in text
            assert "then other attempt; e0 answered 200 after" in text
            await idle(proxy)


@bounded()
async def test_when_the_first_fails_its_hedge_is_waited_for():
    fails_late = slow(http(error_body("x"), status=500), after_s=0.3)
    async with scripted(fails_late) as broken, scripted(slow(ANSWER, after_s=0.5)) as fine:
        async with serve_proxy(group_of(broken, fine, **SOON)) as proxy:
            reply = await ask(proxy.port, body=CHAT)
            assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "e1")
            assert asked(fine) == [1]
            await idle(proxy)


@bounded()
async def test_when_the_first_fails_and_its_hedge_is_silent_a_third_is_asked_beside_that():
    fails_late = slow(http(error_body("x"), status=500), after_s=0.2)
    async with (
        scripted(fails_late) as broken,
        scripted(always("hang")) as stalled,
        scripted(GOOD) as fine,
    ):
        async with serve_proxy(group_of(broken, stalled, fine, **SOON)) as proxy:
            reply = await ask(proxy.port, body=CHAT)
            assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "e2")
            await until(lambda: stalled.received[0].gone_at is not None)
            await idle(proxy)


@bounded()
async def test_when_both_fail_the_call_goes_on():
    fails_late = slow(http(error_body("x"), status=500), after_s=0.3)
    async with (
        scripted(fails_late) as first,
        scripted(fails_late) as second,
        scripted(GOOD) as third,
    ):
        config = group_of(first, second, third, **SOON)
        config["model_groups"][0]["models"][2]["limits"] = {"rpm": 2}
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=CHAT)
            assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "e2")
            await idle(proxy)


@bounded()
async def test_a_client_that_leaves_closes_both_attempts():
    async with scripted(always("hang")) as first, scripted(always("hang")) as second:
        async with serve_proxy(group_of(first, second, **SOON)) as proxy:
            client = asyncio.ensure_future(ask(proxy.port, body=CHAT))
            await until(lambda: first.received and second.received)
            client.cancel()
            await asyncio.gather(client, return_exceptions=True)

            await until(lambda: first.received[0].gone_at and second.received[0].gone_at)
            await idle(proxy)
            assert [event.attempt.outcome for event in proxy.events.attempts] == ["abandoned"] * 2


@bounded()
async def test_a_hundred_calls_at_once_keep_to_the_budget_and_each_claim_is_returned():
    def answer(received, number):
        return always(0.3 if number % 10 == 0 else 0.01, ANSWER)(received, number)

    async with scripted(answer) as first, scripted(answer) as second, scripted(answer) as third:
        async with serve_proxy(group_of(first, second, third, **SOON)) as proxy:
            replies = await asyncio.gather(*(ask(proxy.port, body=CHAT) for _ in range(200)))
            assert {reply.status for reply in replies} == {200}
            assert 200 < sum(asked(first, second, third)) <= 200 + 5 + 0.05 * 200
            await idle(proxy)


@bounded()
async def test_what_may_not_be_sent_twice_is_not_hedged():
    image = b'{"model": "gpt-4.1", "prompt": "a cat"}'
    async with scripted(slow(ANSWER, after_s=0.4)) as first, scripted(GOOD) as second:
        async with serve_proxy(group_of(first, second, **SOON)) as proxy:
            reply = await ask(proxy.port, body=image, path="/v1/images/generations")
            assert (reply.status, asked(first, second)) == (200, [1, 0])


@bounded()
async def test_hedge_off_means_no_second_attempt():
    async with scripted(slow(ANSWER, after_s=0.4)) as first, scripted(GOOD) as second:
        async with serve_proxy(group_of(first, second, hedge="off", **SOON)) as proxy:
            reply = await ask(proxy.port, body=CHAT)
            assert (reply.status, asked(first, second)) == (200, [1, 0])


@bounded()
async def test_the_operators_limit_still_ends_an_attempt():
    async with scripted(always("hang")) as stalled, scripted(GOOD) as fine:
        config = group_of(stalled, fine, hedge="off", timeouts={})
        config["model_groups"][0]["models"][0]["params"]["timeout"] = 0.2
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=EXPLAIN)
            assert reply.status == 200
            assert "e0 failed (timeout) after 2" in reply.header("x-llmproxy-explain")

"""How a shared call ends: at a deadline, without its client, at shutdown."""

import asyncio
from contextlib import suppress

from tests.support.cached import FIXED, with_cache
from tests.support.client import ask, begin
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.slow_answers import EVENTS, FIXED_STREAM, WHOLE, OnRequest, slow_stream
from tests.support.under_way import clients_of_shared_calls, under_way
from tests.support.vendor import DONE, chat, http, scripted
from tests.support.waiting import until


@bounded()
async def test_a_followers_stream_ends_with_an_error_at_its_deadline():
    async with scripted(slow_stream(pause_s=0.05)) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            leader = asyncio.create_task(ask(proxy.port, body=FIXED_STREAM))
            await until(lambda: vendor.received)
            hurried = [("x-llmproxy-timeout-s", "0.6")]
            reply = await ask(proxy.port, body=FIXED_STREAM, headers=hurried)
            assert reply.header("x-llmproxy-endpoint") == "only"
            assert reply.body.startswith(EVENTS[0])
            assert b"The call's time is over." in reply.body
            assert DONE not in reply.body
            assert (await leader).body == WHOLE
            assert proxy.events.calls[0].record.answer.error == "deadline_exceeded"


@bounded()
async def test_a_leader_that_left_is_logged_with_its_tokens_when_its_call_is_over():
    answer = OnRequest(http(chat("good")))
    async with scripted(answer) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            leader = await begin(proxy.port, FIXED)
            await until(lambda: vendor.received)
            follower = asyncio.create_task(ask(proxy.port, body=FIXED))
            await until(lambda: clients_of_shared_calls(proxy) == 2)
            leader.leave()
            await until(lambda: clients_of_shared_calls(proxy) == 1)
            answer.go_on.set()
            assert (await follower).status == 200
            await until(lambda: len(proxy.events.calls) == 2)
            answers = {event.record.cache: event.record.answer for event in proxy.events.calls}
            assert answers["miss"].status == 499
            assert answers["miss"].error == "client_closed_request"
            assert answers["miss"].usage.input_tokens == 3
            assert answers["coalesced"].status == 200
            assert answers["coalesced"].usage is None


@bounded()
async def test_every_stream_ends_with_an_error_at_shutdown():
    async with scripted(slow_stream(pause_s=0.5)) as vendor:
        config = with_cache(vendor)
        config["general_settings"] |= {"drain_timeout_s": 0.2}
        async with serve_proxy(config) as proxy:
            clients = [await begin(proxy.port, FIXED_STREAM) for _ in range(3)]
            for client in clients:
                await client.head()
            proxy.server.should_exit = True
            for client in clients:
                body = b""
                with suppress(asyncio.IncompleteReadError):
                    while piece := await client.chunk():
                        body += piece
                assert b"The proxy is shutting down." in body


@bounded()
async def test_shutdown_ends_a_call_that_goes_on_without_its_client():
    async with scripted(slow_stream(pause_s=0.5)) as vendor:
        config = with_cache(vendor)
        config["general_settings"] |= {"drain_timeout_s": 0.2}
        async with serve_proxy(config) as proxy:
            leader, follower = (
                await begin(proxy.port, FIXED_STREAM),
                await begin(proxy.port, FIXED_STREAM),
            )
            await leader.head()
            await follower.head()
            leader.leave()
            await until(lambda: clients_of_shared_calls(proxy) == 1)
            assert under_way(proxy)["shared upstream calls"] == 1
        assert not under_way(proxy)
        await until(lambda: vendor.received[0].gone_at is not None)
        assert sorted(event.record.answer.error for event in proxy.events.calls) == [
            "client_closed_request",
            "proxy_shutting_down",
        ]

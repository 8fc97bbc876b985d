"""The stream of events: it is live, and does not delay a shutdown."""

import asyncio

from tests.admin.watching import next_event, next_named, subscribe
from tests.support.client import HELLO, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, scripted


@bounded()
async def test_the_state_comes_first_then_each_new_call_once_and_each_point_at_its_end():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        await ask(proxy.port, body=HELLO)
        connection = await subscribe(proxy)
        name, state = await next_event(connection)
        assert name == "state"
        assert state["totals"]["calls"] == 1
        replies = [await ask(proxy.port, body=HELLO) for _ in range(3)]
        assert [reply.status for reply in replies] == [200] * 3
        calls = (await next_named(connection, "calls"))["calls"]
        assert len(calls) == 3
        assert calls == sorted(calls, key=lambda call: -call["at"])
        point = await next_named(connection, "point")
        assert point["step_s"] == 5
        assert point["point"]["at"] % 5 == 0
        await ask(proxy.port, body=HELLO)
        assert len((await next_named(connection, "calls"))["calls"]) == 1
        connection.leave()


@bounded()
async def test_the_stream_ends_when_the_proxy_shuts_down():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        connection = await subscribe(proxy)
        await next_event(connection)
        proxy.server.should_exit = True

        async def rest():
            last = None
            while piece := await connection.chunk():
                last = piece
            return last

        last = await asyncio.wait_for(rest(), 3)
        assert b'"status":"draining"' in last
        connection.leave()

"""Identical calls share one answer under another ASGI server, too."""

import asyncio

import pytest

from tests.asgi.uvicorn_server import under_uvicorn
from tests.support.cached import FIXED, with_cache
from tests.support.client import ask, begin
from tests.support.run import bounded
from tests.support.slow_answers import FIXED_STREAM, WHOLE, slow, slow_stream
from tests.support.vendor import chat, http, scripted
from tests.support.waiting import until


@pytest.mark.parametrize("implementation", ["h11", "httptools"])
@bounded()
async def test_a_leader_that_leaves_ends_no_follower(implementation):
    async with scripted(slow_stream(before_s=0.3)) as vendor:
        async with under_uvicorn(with_cache(vendor), implementation) as (port, events):
            leader = await begin(port, FIXED_STREAM)
            await until(lambda: vendor.received)
            followers = [asyncio.create_task(ask(port, body=FIXED_STREAM)) for _ in range(5)]
            await asyncio.sleep(0.1)
            leader.leave()
            replies = [await follower for follower in followers]
            assert {reply.body for reply in replies} == {WHOLE}
            assert len(vendor.received) == 1
            await until(lambda: len(events.calls) == 6)
            assert sorted(call.record.answer.status for call in events.calls) == [200] * 5 + [499]
            assert (await ask(port, body=FIXED_STREAM)).header("x-llmproxy-cache") == "hit"


@bounded()
async def test_when_everybody_leaves_the_vendor_is_not_kept_busy():
    async with scripted(slow(http(chat("good")), after_s=5)) as vendor:
        async with under_uvicorn(with_cache(vendor), "httptools") as (port, events):
            clients = [await begin(port, FIXED) for _ in range(3)]
            await until(lambda: vendor.received)
            for client in clients:
                client.leave()
            await until(lambda: vendor.received[0].gone_at is not None, within_s=1.0)
            await until(lambda: len(events.calls) == 3)

"""Identical calls share one answer under another ASGI server, too."""

import asyncio

import pytest

from tests.asgi.uvicorn_server import under_uvicorn
from tests.support.cached import FIXED, cached
from tests.support.client import ask, begin
from tests.support.run import bounded
from tests.support.slow_answers import STREAM, WHOLE, slowly, streams
from tests.support.vendor import chat, http, scripted
from tests.support.waiting import until


@pytest.mark.parametrize("implementation", ["h11", "httptools"])
@bounded()
async def test_a_leader_that_leaves_takes_nobody_along(implementation):
    async with scripted(streams(before_s=0.3)) as vendor:
        async with under_uvicorn(cached(vendor), implementation) as (port, heard):
            leader = await begin(port, STREAM)
            await until(lambda: vendor.received)
            followers = [asyncio.create_task(ask(port, body=STREAM)) for _ in range(5)]
            await asyncio.sleep(0.1)
            leader.leave()
            replies = [await each for each in followers]
            assert {reply.body for reply in replies} == {WHOLE}
            assert len(vendor.received) == 1
            await until(lambda: len(heard.calls) == 6)
            assert sorted(call.record.answer.status for call in heard.calls) == [200] * 5 + [499]
            assert (await ask(port, body=STREAM)).header("x-llmproxy-cache") == "hit"


@bounded()
async def test_when_everybody_leaves_the_vendor_is_not_kept_busy():
    async with scripted(slowly(http(chat("good")), after_s=5)) as vendor:
        async with under_uvicorn(cached(vendor), "httptools") as (port, heard):
            clients = [await begin(port, FIXED) for _ in range(3)]
            await until(lambda: vendor.received)
            for client in clients:
                client.leave()
            await until(lambda: vendor.received[0].gone_at is not None, within_s=1.0)
            await until(lambda: len(heard.calls) == 3)

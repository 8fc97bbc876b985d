"""A call that cannot wait for a cheaper tier goes to a dearer one; it does not fail."""

import asyncio

import pytest

from tests.support.client import HELLO, ask, begin
from tests.support.groups import two_tiers
from tests.support.limits import reports_limits
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.under_way import queued, waiting_calls
from tests.support.vendor import GOOD, scripted


@pytest.mark.parametrize("queue", [{"max_waiting": 0}, {"max_wait_s": 0}], ids=str)
@bounded()
async def test_without_a_queue_a_full_tier_is_left_at_once(queue):
    async with scripted(reports_limits(0, "1500ms")) as cheap, scripted(GOOD) as dear:
        async with serve_proxy(two_tiers(cheap, dear, spill_wait_s=2, **queue)) as proxy:
            endpoints = []
            for _ in range(3):
                reply = await ask(proxy.port, body=HELLO)
                endpoints.append((reply.status, reply.header("x-llmproxy-endpoint")))
            assert endpoints == [(200, "cheap"), (200, "dear"), (200, "dear")]


@bounded()
async def test_when_the_queue_is_full_further_calls_take_the_dearer_tier():
    async with scripted(reports_limits(0, "1500ms")) as cheap, scripted(GOOD) as dear:
        config = two_tiers(cheap, dear, spill_wait_s=2, max_waiting=1)
        async with serve_proxy(config) as proxy:
            await ask(proxy.port, body=HELLO)
            waiting = await begin(proxy.port)
            await queued(proxy, 1)

            replies = await asyncio.gather(*(ask(proxy.port, body=HELLO) for _ in range(3)))

            assert [reply.header("x-llmproxy-endpoint") for reply in replies] == ["dear"] * 3
            assert waiting_calls(proxy) == 1, "no call has overtaken the waiting one"
            waiting.leave()

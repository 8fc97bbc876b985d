"""Limits of sessions: each is one call, and its tokens count when they are used."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.waiting import until
from tests.websockets.realtime import realtime_vendor
from tests.websockets.waiting_for import finished

KEY = {"additional_headers": {"authorization": "Bearer sk-caller"}}
CREATE = '{"type": "response.create"}'


def caller(**parts):
    return [{"name": "one", "key": "sk-caller", **parts}]


def url(proxy):
    return f"ws://127.0.0.1:{proxy.port}/v1/realtime?model=gpt-4.1"


async def refusal(proxy):
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url(proxy), **KEY):
            pass
    return refused.value.response


async def a_response(session):
    await session.send(CREATE)
    while json.loads(await session.recv())["type"] != "response.done":
        pass


async def left_in_a_response(vendor, proxy):
    """Begin a session, ask for a response, and leave before there is any."""
    asked = len(vendor.received)
    async with connect(url(proxy), **KEY) as session:
        await session.recv()
        await session.send(CREATE)
        await until(lambda: len(vendor.received) > asked)


@bounded()
async def test_a_session_that_ends_in_the_middle_of_a_response_is_not_free():
    async with realtime_vendor() as vendor:
        config = group_of(vendor, callers=caller(budget="2500 tokens/day"))
        config["model_groups"][0]["models"][0]["price"] = {"input": 1, "output": 1}
        async with serve_proxy(config) as proxy:
            vendor.gate.clear()
            for number in (1, 2):
                await left_in_a_response(vendor, proxy)
                records = await finished(proxy, number)
                assert records[-1].cost.basis == "unknown"
            assert json.loads((await refusal(proxy)).body)["error"]["code"] == "budget_exceeded"
            vendor.gate.set()


@bounded()
async def test_what_a_session_costs_is_exact_if_all_of_its_responses_have_ended():
    async with realtime_vendor() as vendor:
        config = group_of(vendor, callers=caller())
        config["model_groups"][0]["models"][0]["price"] = {"input": 1, "output": 1}
        async with serve_proxy(config) as proxy:
            async with connect(url(proxy), **KEY) as session:
                await a_response(session)
            async with connect(url(proxy), **KEY):
                pass
            responded, idle = await finished(proxy, 2)
            assert (responded.cost.basis, responded.cost.nano_usd) == ("exact", 30_000)
            assert idle.cost.basis == "free"


@bounded()
async def test_sessions_at_a_time_are_limited_as_calls_are():
    async with realtime_vendor() as vendor:
        callers = caller(limits={"concurrent": 1})
        async with serve_proxy(group_of(vendor, callers=callers)) as proxy:
            async with connect(url(proxy), **KEY):
                assert (await refusal(proxy)).status_code == 429
            await finished(proxy, 2)
            async with connect(url(proxy), **KEY):
                pass


@bounded()
async def test_a_sessions_tokens_count_while_it_lasts_and_once_only():
    async with realtime_vendor() as vendor:
        callers = caller(limits={"tpm": 100})
        async with serve_proxy(group_of(vendor, callers=callers)) as proxy:
            (capacity,) = proxy.runtime.callers.capacities()
            async with connect(url(proxy), **KEY) as session:
                for _ in range(3):
                    await a_response(session)
                now = asyncio.get_running_loop().time()
                assert capacity.left(now)[1] == 10
                async with connect(url(proxy), **KEY) as other:
                    await a_response(other)
                assert (await refusal(proxy)).status_code == 429
            await finished(proxy, 3)
            now = asyncio.get_running_loop().time()
            assert capacity.sent_in_last_minute(now)[1] == 120


@bounded()
async def test_an_endpoints_tokens_count_too():
    async with realtime_vendor() as vendor:
        config = group_of(vendor)
        config["model_groups"][0]["models"][0]["limits"] = {"tpm": 1000, "rpm": 100}
        async with serve_proxy(config) as proxy:
            (capacity,) = proxy.runtime.pool.capacities()
            async with connect(url(proxy)) as session:
                await a_response(session)
                now = asyncio.get_running_loop().time()
                assert capacity.sent_in_last_minute(now) == (1, 30)
            await finished(proxy)
            now = asyncio.get_running_loop().time()
            assert capacity.sent_in_last_minute(now) == (1, 30)


@bounded()
async def test_a_group_that_a_caller_may_not_use_does_not_exist_for_it():
    async with realtime_vendor() as vendor:
        config = group_of(vendor, callers=caller(groups=["other"]))
        other = {"model_group": "other", "models": config["model_groups"][0]["models"]}
        config["model_groups"].append(other)
        async with serve_proxy(config) as proxy:
            assert (await refusal(proxy)).status_code == 404


@bounded()
async def test_sessions_are_calls_in_flight():
    async with realtime_vendor() as vendor:
        limits = {"max_in_flight": 1, "max_queued": 0}
        async with serve_proxy(group_of(vendor, **limits)) as proxy:
            async with connect(url(proxy)):
                assert (await refusal(proxy)).status_code == 503

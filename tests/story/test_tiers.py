"""The cheap tier takes what it can; the next tier takes the rest, only while it is full."""

import asyncio
from time import monotonic

import pytest

from tests.support.client import HELLO, ask, begin
from tests.support.groups import endpoint, one_endpoint, two_tiers
from tests.support.limits import refusal, reports_limits
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.under_way import queued
from tests.support.vendor import GOOD, always, chat, http, scripted
from tests.support.waiting import until

SLOW = always(0.3, http(chat("good")))


async def served_by(proxy, **options):
    reply = await ask(proxy.port, body=HELLO, **options)
    assert reply.status == 200
    return reply.header("x-llmproxy-endpoint")


@pytest.mark.clock
@bounded()
async def test_a_full_tier_is_left_for_the_next_and_taken_again_when_it_has_room():
    async with scripted(reports_limits(0, "1300ms")) as cheap, scripted(GOOD) as dear:
        async with serve_proxy(two_tiers(cheap, dear, spill_wait_s=0.2)) as proxy:
            assert await served_by(proxy) == "cheap"
            assert [await served_by(proxy) for _ in range(5)] == ["dear"] * 5
            await asyncio.sleep(1.35)
            assert await served_by(proxy) == "cheap"
            assert len(cheap.received) == 2


@pytest.mark.clock
@bounded()
async def test_a_call_waits_a_moment_for_the_cheap_tier_before_it_spills():
    async with scripted(reports_limits(0, "400ms")) as cheap, scripted(GOOD) as dear:
        async with serve_proxy(two_tiers(cheap, dear)) as proxy:
            await served_by(proxy)
            began_at = monotonic()
            assert await served_by(proxy) == "cheap"
            assert 0.3 < monotonic() - began_at < 0.9
            assert not dear.received


@pytest.mark.clock
@bounded()
async def test_without_a_spill_wait_the_next_tier_is_taken_at_once():
    async with scripted(reports_limits(0, "400ms")) as cheap, scripted(GOOD) as dear:
        async with serve_proxy(two_tiers(cheap, dear, spill_wait_s=0)) as proxy:
            await served_by(proxy)
            began_at = monotonic()
            assert await served_by(proxy) == "dear"
            assert monotonic() - began_at < 0.3


@pytest.mark.clock
@bounded()
async def test_a_call_spills_after_the_configured_wait_if_no_free_place_can_be_predicted():
    async with scripted(always("hang")) as cheap, scripted(GOOD) as dear:
        config = two_tiers(cheap, dear, limits={"concurrent": 1}, spill_wait_s=1.2)
        async with serve_proxy(config) as proxy:
            hanging = await begin(proxy.port)
            await until(lambda: cheap.received)
            began_at = monotonic()
            assert await served_by(proxy) == "dear"
            assert monotonic() - began_at < 1.8
            hanging.leave()


@pytest.mark.clock
@bounded()
async def test_a_call_behind_a_waiting_one_goes_to_the_dear_tier():
    async with scripted(reports_limits(0, "600ms", limit=1)) as cheap, scripted(GOOD) as dear:
        async with serve_proxy(two_tiers(cheap, dear)) as proxy:
            await served_by(proxy)
            first = await begin(proxy.port)  # gets the one place that frees
            await queued(proxy, 1)
            began_at = monotonic()
            assert await served_by(proxy) == "dear"
            assert monotonic() - began_at < 0.4
            assert (await first.reply()).header("x-llmproxy-endpoint") == "cheap"


@pytest.mark.clock
@bounded()
async def test_calls_leave_a_provisioned_deployment_without_limit_headers_and_return_to_it():
    full = True

    def provisioned(received, number):
        return [refusal(("retry-after-ms", "1000")) if full else http(chat("good"))]

    async with scripted(provisioned) as cheap, scripted(GOOD) as dear:
        async with serve_proxy(two_tiers(cheap, dear, spill_wait_s=0.1)) as proxy:
            assert [await served_by(proxy) for _ in range(5)] == ["dear"] * 5
            assert len(cheap.received) == 1
            full = False
            await asyncio.sleep(1.05)
            assert [await served_by(proxy) for _ in range(5)] == ["cheap"] * 5


@pytest.mark.clock
@bounded()
async def test_after_a_refusal_without_limits_one_call_looks_first_and_no_herd_follows():
    def provisioned(received, number):
        return [refusal(("retry-after-ms", "500"))] if number == 1 else [0.3, http(chat("good"))]

    async with scripted(provisioned) as cheap, scripted(GOOD) as dear:
        async with serve_proxy(two_tiers(cheap, dear, spill_wait_s=0.1)) as proxy:
            await served_by(proxy)
            await asyncio.sleep(0.55)
            endpoints = await asyncio.gather(*(served_by(proxy) for _ in range(10)))
            assert sorted(endpoints) == ["cheap"] + ["dear"] * 9
            endpoints = await asyncio.gather(*(served_by(proxy) for _ in range(10)))
            assert sorted(endpoints) == ["cheap"] * 2 + ["dear"] * 8


@bounded()
async def test_the_cheapest_endpoint_comes_first_wherever_it_stands_in_the_config():
    async with scripted(SLOW) as a, scripted(SLOW) as b, scripted(GOOD) as c:
        prices = {"b": 2.0, "c": 3.0, "a": 1.0}
        models = [
            endpoint(
                {"a": a, "b": b, "c": c}[name],
                name,
                price={"input": price, "output": 4 * price},
                limits={"concurrent": 1},
            )
            for name, price in prices.items()
        ]
        async with serve_proxy(
            config_for(*models, strategy="cheapest", queue={"spill_wait_s": 0})
        ) as proxy:
            calls = []
            for vendor in (a, b):
                calls.append(await begin(proxy.port))
                await until(lambda: vendor.received)  # noqa: B023
            assert await served_by(proxy) == "c"
            endpoints = [(await call.reply()).header("x-llmproxy-endpoint") for call in calls]
            assert endpoints == ["a", "b"]


@pytest.mark.clock
@bounded()
async def test_two_groups_of_one_account_share_its_limits():
    async with scripted(reports_limits(0, "1300ms")) as vendor:
        config = one_endpoint(vendor, max_wait_s=0)
        (group,) = config["model_groups"]
        config["model_groups"].append({**group, "model_group": "other"})
        async with serve_proxy(config) as proxy:
            assert await served_by(proxy) == "only"
            reply = await ask(proxy.port, body={**HELLO, "model": "other"})
            assert (reply.status, len(vendor.received)) == (429, 1)
            assert float(reply.header("retry-after-ms")) == pytest.approx(1300, rel=0.2)


@bounded()
async def test_accounts_with_other_keys_have_limits_of_their_own():
    async with scripted(reports_limits(0, "5s")) as vendor:
        config = one_endpoint(vendor, max_wait_s=0)
        (group,) = config["model_groups"]
        entry = {**group["models"][0], "params": {"base_url": vendor.base_url, "api_key": "sk-2"}}
        config["model_groups"].append({"model_group": "other", "models": [entry]})
        async with serve_proxy(config) as proxy:
            assert await served_by(proxy) == "only"
            assert (await ask(proxy.port, body={**HELLO, "model": "other"})).status == 200

"""The latest calls with their steps, and where a call would go now."""

import pytest

from tests.admin.watching import get_json
from tests.support.client import HELLO, ask, question
from tests.support.groups import endpoint, two_groups, two_tiers
from tests.support.limits import refusal
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import DOWN, GOOD, always, chat, http, scripted


async def not_found(proxy, path):
    reply = await ask(proxy.port, path, method="GET", host="localhost")
    assert reply.status == 404
    return reply.json["detail"]


@bounded()
async def test_the_trace_of_a_call_with_a_failover_has_all_its_steps():
    async with scripted(DOWN) as bad, scripted(GOOD) as good:
        config = config_for(endpoint(bad, "bad"), endpoint(good, "good"), allowed_fails=1)
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=question("a private word"))
            await ask(proxy.port, body=HELLO)
            (second, first) = (await get_json(proxy, "/admin/calls"))["calls"]
            assert first["id"] == reply.header("x-request-id")
            failed, answered = first["steps"]
            assert (failed["endpoint"], failed["outcome"], failed["status"]) == (
                "bad",
                "failed",
                500,
            )
            assert (failed["reason"], failed["verdict"]) == ("server_error", "next endpoint")
            assert (answered["endpoint"], answered["outcome"]) == ("good", "answered")
            assert 0 <= failed["at_ms"] <= answered["at_ms"] <= first["total_ms"]
            assert (first["endpoint"], first["status"]) == ("good", 200)
            assert first["waited_ms"] + first["overhead_ms"] == pytest.approx(
                first["first_byte_ms"], abs=0.01
            )
            skipped, _ = second["steps"]
            assert skipped["what"] == "skipped"
            assert skipped["why"].startswith("server_error, breaker open for ")
            (notable,) = (await get_json(proxy, "/admin/calls?notable=true"))["calls"]
            assert notable == first
            assert await get_json(proxy, f"/admin/calls/{first['id']}") == first
            assert "private word" not in str(first)


@bounded()
async def test_a_call_is_found_by_the_endpoint_s_id_and_by_its_group():
    vendor_id = [("x-request-id", "vendor-7")]
    async with scripted(always(http(chat(), headers=vendor_id))) as vendor:
        async with serve_proxy(config_for(vendor.base_url)) as proxy:
            await ask(proxy.port, body=HELLO)
            await ask(proxy.port, body=question("x", model="no-such"))
            found = await get_json(proxy, "/admin/calls/vendor-7")
            assert (found["group"], found["status"]) == ("gpt-4.1", 200)
            assert (await get_json(proxy, "/admin/calls?group=gpt-4.1"))["calls"] == [found]
            assert len((await get_json(proxy, "/admin/calls?limit=1"))["calls"]) == 1
            assert "access log" in await not_found(proxy, "/admin/calls/req_nobody")


@bounded()
async def test_a_fallback_is_a_step_and_the_call_is_notable():
    async with scripted(DOWN) as main, scripted(GOOD) as other:
        async with serve_proxy(two_groups(main, other)) as proxy:
            await ask(proxy.port, body=HELLO)
            (call,) = (await get_json(proxy, "/admin/calls?notable=true"))["calls"]
    assert [step["what"] for step in call["steps"]] == ["attempt", "fallback", "attempt"]
    assert (call["group"], call["fallback"]) == ("gpt-4.1", "g0")
    assert call["steps"][1]["why"] == "to group g0"


@bounded()
async def test_explain_shows_where_a_call_would_go_and_sends_nothing():
    usage = {"prompt_tokens": 300, "completion_tokens": 200, "total_tokens": 500}
    costly = always(http(chat(usage=usage)))
    async with scripted(costly) as cheap, scripted(GOOD) as dear:
        config = two_tiers(cheap, dear, limits={"tpm": 1000})
        async with serve_proxy(config) as proxy:
            await ask(proxy.port, body=HELLO)
            cheap.received.clear()
            small = await get_json(proxy, "/admin/explain?model=gpt-4.1&tokens=100")
            large = await get_json(proxy, "/admin/explain?model=gpt-4.1&tokens=700")
            assert "no-such" in await not_found(proxy, "/admin/explain?model=no-such")
            assert not cheap.received
            assert not dear.received
    assert small["would"] == "go to cheap"
    assert [tier["tier"] for tier in small["tiers"]] == [0, 1]
    assert small["tiers"][0]["endpoints"][0]["share"] == 1.0
    assert large["would"] == "go to dear"
    assert large["tiers"][0]["endpoints"][0]["takes"] is False


@bounded()
async def test_explain_shows_how_long_a_call_would_wait_and_why_it_would_fail():
    async with scripted(always(refusal(("retry-after", "2")))) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            explained = await get_json(proxy, "/admin/explain?model=gpt-4.1")
            assert explained["would"] == "go to only"
            proxy.runtime.pool.groups["gpt-4.1"].states[0].cool(
                proxy.runtime.pool.groups["gpt-4.1"].states[0].cooldown_until + 1e9, "throttled"
            )
            explained = await get_json(proxy, "/admin/explain?model=gpt-4.1")
            assert explained["would"].startswith("fail: only: throttled, cooling down for ")
            assert not vendor.received


@bounded()
async def test_explain_shows_that_a_call_would_wait():
    async with scripted(GOOD) as vendor:
        entry = endpoint(vendor, "only", limits={"rpm": 3})
        async with serve_proxy(config_for(entry, queue={"max_wait_s": 100})) as proxy:
            for _ in range(3):
                await ask(proxy.port, body=HELLO)
            explained = await get_json(proxy, "/admin/explain?model=gpt-4.1")
            assert explained["would"].startswith("wait ")
            assert explained["would"].endswith(" s for room")

"""The state: what an operator sees at a glance is what happened."""

import asyncio

import pytest

from tests.admin.watching import endpoints_of, post, told
from tests.story.limited import HELLO, begin, endpoint, refuses, said, tells, until
from tests.story.test_cache import FIXED, cached, numbered
from tests.support.client import STREAM, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    always,
    chat,
    chunk,
    delta,
    error_body,
    http,
    scripted,
    sse_head,
)

GOOD = always(http(chat("good")))
DOWN = always(http(error_body("server_error"), status=500))
PRICE = {"input": 1000, "output": 100_000}  # a call of 3 and 2 tokens: 0.203 dollars


@bounded()
async def test_calls_attempts_tokens_and_dollars_are_where_they_belong():
    async with scripted(DOWN) as bad, scripted(GOOD) as good:
        entries = [endpoint(bad, "bad"), endpoint(good, "good", price=PRICE)]
        async with serve_proxy(config_for(*entries, allowed_fails=1)) as proxy:
            for _ in range(4):
                assert (await ask(proxy.port, body=HELLO)).status == 200
            state = await told(proxy, "/admin/state")
    (group,) = state["groups"]
    here = {each["endpoint"]: each for each in group["endpoints"]}
    assert (state["status"], group["status"]) == ("degraded", "degraded")
    assert (group["recent"]["calls"], group["recent"]["errors"]) == (4, 0)
    assert (here["bad"]["recent"]["calls"], here["bad"]["recent"]["errors"]) == (1, 1)
    assert (here["good"]["recent"]["calls"], here["good"]["recent"]["errors"]) == (4, 0)
    assert (here["bad"]["state"], here["bad"]["breaker"]) == ("open", "open")
    assert here["bad"]["why"].startswith("server_error, breaker open for ")
    assert (here["bad"]["reason"], here["bad"]["probing"]) == ("server_error", False)
    assert 30 < here["bad"]["ready_in_s"] < 90  # a minute, or so
    assert (here["good"]["state"], here["good"]["why"], here["good"]["reason"]) == (
        "ok",
        None,
        None,
    )
    totals = state["totals"]
    assert (totals["calls"], totals["errors"], totals["failovers"]) == (4, 0, 1)
    assert (totals["input_tokens"], totals["output_tokens"]) == (12, 8)
    assert totals["cost_usd"] == pytest.approx(4 * 0.203)
    assert here["good"]["recent"]["cost_usd"] == pytest.approx(4 * 0.203)


@bounded()
async def test_an_endpoint_that_throttles_cools_and_says_since_when():
    async with scripted(always(refuses(("retry-after", "9")))) as busy, scripted(GOOD) as good:
        async with serve_proxy(config_for(endpoint(busy, "busy"), endpoint(good, "good"))) as proxy:
            before = (await endpoints_of(proxy))["busy"]
            await ask(proxy.port, body=HELLO)
            await asyncio.sleep(1.1)  # twice the time between two looks
            after = (await endpoints_of(proxy))["busy"]
    assert (before["state"], after["state"]) == ("ok", "cooling")
    assert after["why"].startswith("throttled, cooling down for ")
    assert after["reason"] == "throttled"
    assert 7 < after["ready_in_s"] < 9
    assert after["since"] > before["since"]


@bounded()
async def test_limits_that_an_endpoint_tells_and_those_of_the_config_are_told_with_what_is_left():
    async with scripted(tells(7, "1m", limit=10)) as vendor:
        entry = endpoint(vendor, "only", limits={"tpm": 6000, "concurrent": 4})
        async with serve_proxy(config_for(entry)) as proxy:
            await ask(proxy.port, body=HELLO)
            levels = (await endpoints_of(proxy))["only"]["capacity"]
    assert levels["requests"]["limit"] == 10
    assert 6 < levels["requests"]["left"] < 8.1
    assert levels["requests"]["configured"] is None
    assert (levels["tokens"]["limit"], levels["tokens"]["configured"]) == (6000, 6000)
    assert levels["tokens"]["left"] < 6000
    assert levels["concurrent"] == {"limit": 4, "left": 4, "configured": 4}


@bounded()
async def test_what_is_under_way_and_who_waits_is_told():
    async with scripted(always("hang")) as vendor:
        entry = endpoint(vendor, "only", limits={"concurrent": 1})
        async with serve_proxy(config_for(entry)) as proxy:
            first, second = await begin(proxy.port), await begin(proxy.port)
            line = proxy.runtime.pool.groups["gpt-4.1"].queue
            await until(lambda: len(line) == 1)
            state = await told(proxy, "/admin/state")
            first.leave()
            second.leave()
    (group,) = state["groups"]
    assert (state["in_flight"], group["waiting"]) == (2, 1)
    assert group["endpoints"][0]["in_flight"] == 1
    assert group["endpoints"][0]["capacity"]["concurrent"]["left"] == 0
    assert group["endpoints"][0]["state"] == "full"


@bounded()
async def test_a_stream_that_breaks_is_an_error_of_its_endpoint_and_of_its_call():
    steps = [sse_head(), chunk(delta("a")), chunk(delta("b")), "reset"]
    async with scripted(always(*steps)) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            await ask(proxy.port, body=STREAM)
            state = await told(proxy, "/admin/state")
    assert state["totals"]["streams_interrupted"] == 1
    assert state["groups"][0]["recent"]["errors"] == 1
    assert state["groups"][0]["endpoints"][0]["recent"]["errors"] == 1


@bounded()
async def test_what_the_cache_saved_is_told_and_is_no_attempt():
    async with scripted(numbered()) as vendor:
        config = cached(vendor)
        config["model_groups"][0]["models"][0]["price"] = PRICE
        async with serve_proxy(config) as proxy:
            for _ in range(3):
                await ask(proxy.port, body=FIXED)
            state = await told(proxy, "/admin/state")
            history = await told(proxy, "/admin/history")
    totals = state["totals"]
    assert (totals["calls"], totals["cache_hits"], totals["cache_misses"]) == (3, 2, 1)
    assert (totals["saved_tokens"], totals["saved_usd"]) == (10, pytest.approx(0.406))
    assert totals["cost_usd"] == pytest.approx(0.203)
    assert state["groups"][0]["endpoints"][0]["recent"]["calls"] == 1
    assert state["cache"]["entries"] == 1
    assert state["cache"]["store"] is None
    assert history["step_s"] == 5


@bounded()
async def test_a_group_whose_endpoints_are_all_out_is_down():
    async with scripted(DOWN) as one, scripted(DOWN) as other:
        config = config_for(endpoint(one, "one"), endpoint(other, "other"), allowed_fails=1)
        async with serve_proxy(config) as proxy:
            assert (await ask(proxy.port, body=HELLO)).status == 503
            state = await told(proxy, "/admin/state")
    assert (state["status"], state["groups"][0]["status"]) == ("down", "down")
    assert state["totals"]["errors"] == 1


@bounded()
async def test_what_clients_make_up_leaves_no_trace_in_the_names():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        await ask(proxy.port, body=HELLO)
        for number in range(20):
            await ask(proxy.port, body=said("x", model=f"no-such-{number}"))
            await ask(proxy.port, f"/v1/nowhere/{number}", body=HELLO)
        state = await told(proxy, "/admin/state")
        assert "no-such" not in str(state)
        assert state["totals"]["calls"] == 41
        assert [group["group"] for group in state["groups"]] == ["gpt-4.1"]


@bounded()
async def test_no_secret_is_in_any_answer():
    async with scripted(GOOD) as vendor:
        callers = [{"name": "alice", "key": "sk-alice-secret"}]
        config = config_for(vendor.base_url, callers=callers, admin_key="sk-admin-secret")
        async with serve_proxy(config) as proxy:
            bearer = ("authorization", "Bearer sk-alice-secret")
            await ask(proxy.port, body=said("a private word"), headers=[bearer])
            key = ("authorization", "Bearer sk-admin-secret")
            for path in ("state", "calls", "history", "explain?model=gpt-4.1", "session", "cache"):
                answer = str(await told(proxy, f"/admin/{path}", headers=[key]))
                for secret in ("sk-upstream", "sk-alice", "sk-admin", "a private word"):
                    assert secret not in answer
            assert (await post(proxy, "/admin/drain", {"endpoint": "x"})).status == 401


@bounded()
async def test_the_curves_have_a_point_for_each_step_and_zeros_where_nothing_was():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        for _ in range(3):
            await ask(proxy.port, body=HELLO)

        async def counted():
            points = (await told(proxy, "/admin/history?span=15m&group=gpt-4.1"))["points"]
            return points, sum(point["calls"] for point in points)

        points, calls = await counted()
        while calls < 3:  # until the step that they belong to is over
            await asyncio.sleep(0.2)
            points, calls = await counted()
        assert calls == 3
        assert len(points) == 180
        assert {b["at"] - a["at"] for a, b in zip(points, points[1:], strict=False)} == {5}
        busy = next(point for point in points if point["calls"])
        assert busy["input_tokens"] == 9
        assert busy["total_p50_ms"] > 0
        assert points[0]["total_p50_ms"] is None
        reply = await ask(
            proxy.port, "/admin/history?group=no-such", method="GET", host="localhost"
        )
        assert reply.status == 404


@bounded()
async def test_a_whole_stream_is_counted_with_what_it_used():
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}\n\n'
    steps = [sse_head() + b"".join(map(chunk, (delta("a"), usage, DONE))) + LAST_CHUNK]
    async with (
        scripted(always(*steps)) as vendor,
        serve_proxy(config_for(vendor.base_url)) as proxy,
    ):
        await ask(proxy.port, body=STREAM)
        totals = (await told(proxy, "/admin/state"))["totals"]
        assert (totals["input_tokens"], totals["output_tokens"]) == (7, 5)

"""`/admin/state` and `/admin/history` show what happened."""

import asyncio

import pytest

from tests.admin.watching import endpoints_of, get_json, post
from tests.support.cached import FIXED, numbered_answers, with_cache
from tests.support.client import HELLO, STREAM, ask, begin, question
from tests.support.groups import endpoint
from tests.support.limits import refusal, reports_limits
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.under_way import queued
from tests.support.vendor import (
    DONE,
    DOWN,
    GOOD,
    LAST_CHUNK,
    always,
    chunk,
    delta,
    scripted,
    sse_head,
)

PRICE = {"input": 1000, "output": 100_000}  # a call of 3 and 2 tokens: 0.203 dollars


@bounded()
async def test_calls_attempts_tokens_and_costs_are_counted_at_the_right_endpoint():
    async with scripted(DOWN) as bad, scripted(GOOD) as good:
        entries = [endpoint(bad, "bad"), endpoint(good, "good", price=PRICE)]
        async with serve_proxy(config_for(*entries, allowed_fails=1)) as proxy:
            for _ in range(4):
                assert (await ask(proxy.port, body=HELLO)).status == 200
            state = await get_json(proxy, "/admin/state")
    (group,) = state["groups"]
    here = {entry["endpoint"]: entry for entry in group["endpoints"]}
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
async def test_a_throttling_endpoint_cools_down_and_shows_since_when():
    async with scripted(always(refusal(("retry-after", "9")))) as busy, scripted(GOOD) as good:
        async with serve_proxy(config_for(endpoint(busy, "busy"), endpoint(good, "good"))) as proxy:
            before = (await endpoints_of(proxy))["busy"]
            await ask(proxy.port, body=HELLO)
            after = before
            while after["since"] == before["since"]:  # it is sampled twice a second
                await asyncio.sleep(0.05)
                after = (await endpoints_of(proxy))["busy"]
    assert (before["state"], after["state"]) == ("ok", "cooling")
    assert after["why"].startswith("throttled, cooling down for ")
    assert after["reason"] == "throttled"
    assert 0 < after["ready_in_s"] < 9
    assert after["since"] > before["since"]


@bounded()
async def test_reported_and_configured_limits_are_shown_with_what_is_left():
    async with scripted(reports_limits(7, "1m", limit=10)) as vendor:
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
async def test_calls_in_flight_and_waiting_calls_are_counted():
    async with scripted(always("hang")) as vendor:
        entry = endpoint(vendor, "only", limits={"concurrent": 1})
        async with serve_proxy(config_for(entry)) as proxy:
            first, second = await begin(proxy.port), await begin(proxy.port)
            await queued(proxy, 1)
            state = await get_json(proxy, "/admin/state")
            first.leave()
            second.leave()
    (group,) = state["groups"]
    assert (state["in_flight"], group["waiting"]) == (2, 1)
    assert group["endpoints"][0]["in_flight"] == 1
    assert group["endpoints"][0]["capacity"]["concurrent"]["left"] == 0
    assert group["endpoints"][0]["state"] == "full"


@bounded()
async def test_a_broken_stream_is_an_error_of_its_endpoint_and_of_its_call():
    steps = [sse_head(), chunk(delta("a")), chunk(delta("b")), "reset"]
    async with scripted(always(*steps)) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            await ask(proxy.port, body=STREAM)
            state = await get_json(proxy, "/admin/state")
    assert state["totals"]["streams_interrupted"] == 1
    assert state["groups"][0]["recent"]["errors"] == 1
    assert state["groups"][0]["endpoints"][0]["recent"]["errors"] == 1


@bounded()
async def test_savings_of_the_cache_are_shown_and_hits_are_not_attempts():
    async with scripted(numbered_answers()) as vendor:
        config = with_cache(vendor)
        config["model_groups"][0]["models"][0]["price"] = PRICE
        async with serve_proxy(config) as proxy:
            for _ in range(3):
                await ask(proxy.port, body=FIXED)
            state = await get_json(proxy, "/admin/state")
            history = await get_json(proxy, "/admin/history")
    totals = state["totals"]
    assert (totals["calls"], totals["cache_hits"], totals["cache_misses"]) == (3, 2, 1)
    assert (totals["saved_tokens"], totals["saved_usd"]) == (10, pytest.approx(0.406))
    assert totals["cost_usd"] == pytest.approx(0.203)
    assert state["groups"][0]["endpoints"][0]["recent"]["calls"] == 1
    assert state["cache"]["entries"] == 1
    assert state["cache"]["store"] is None
    assert history["step_s"] == 5


@bounded()
async def test_a_group_without_an_available_endpoint_is_down():
    async with scripted(DOWN) as one, scripted(DOWN) as other:
        config = config_for(endpoint(one, "one"), endpoint(other, "other"), allowed_fails=1)
        async with serve_proxy(config) as proxy:
            assert (await ask(proxy.port, body=HELLO)).status == 503
            state = await get_json(proxy, "/admin/state")
    assert (state["status"], state["groups"][0]["status"]) == ("down", "down")
    assert state["totals"]["errors"] == 1


@bounded()
async def test_names_from_clients_appear_nowhere_in_the_state():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        await ask(proxy.port, body=HELLO)
        for number in range(20):
            await ask(proxy.port, body=question("x", model=f"no-such-{number}"))
            await ask(proxy.port, f"/v1/nowhere/{number}", body=HELLO)
        state = await get_json(proxy, "/admin/state")
        assert "no-such" not in str(state)
        assert state["totals"]["calls"] == 41
        assert [group["group"] for group in state["groups"]] == ["gpt-4.1"]


@bounded()
async def test_no_response_contains_a_secret():
    async with scripted(GOOD) as vendor:
        callers = [{"name": "alice", "key": "sk-alice-secret"}]
        config = config_for(vendor.base_url, callers=callers, admin_key="sk-admin-secret")
        async with serve_proxy(config) as proxy:
            bearer = ("authorization", "Bearer sk-alice-secret")
            await ask(proxy.port, body=question("a private word"), headers=[bearer])
            key = ("authorization", "Bearer sk-admin-secret")
            for path in ("state", "calls", "history", "explain?model=gpt-4.1", "session", "cache"):
                answer = str(await get_json(proxy, f"/admin/{path}", headers=[key]))
                for secret in ("sk-upstream", "sk-alice", "sk-admin", "a private word"):
                    assert secret not in answer
            assert (await post(proxy, "/admin/drain", {"endpoint": "x"})).status == 401


@bounded()
async def test_the_history_has_a_point_for_each_step_and_zeros_without_traffic():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        for _ in range(3):
            await ask(proxy.port, body=HELLO)

        async def counted():
            points = (await get_json(proxy, "/admin/history?span=15m&group=gpt-4.1"))["points"]
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
async def test_a_complete_stream_is_counted_with_its_usage():
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}\n\n'
    steps = [sse_head() + b"".join(map(chunk, (delta("a"), usage, DONE))) + LAST_CHUNK]
    async with (
        scripted(always(*steps)) as vendor,
        serve_proxy(config_for(vendor.base_url)) as proxy,
    ):
        await ask(proxy.port, body=STREAM)
        totals = (await get_json(proxy, "/admin/state"))["totals"]
        assert (totals["input_tokens"], totals["output_tokens"]) == (7, 5)

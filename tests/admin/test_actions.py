"""What an operator does to an endpoint takes effect with the next call."""

import pytest

from tests.admin.watching import endpoints_of, post
from tests.support.client import HELLO, ask, begin
from tests.support.groups import endpoint
from tests.support.limits import refusal
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.under_way import queued
from tests.support.vendor import DOWN, GOOD, always, chat, http, scripted
from tests.support.waiting import until


@bounded()
async def test_a_drained_endpoint_gets_no_calls_until_enabled_and_calls_in_flight_finish():
    async with scripted(always(0.5, http(chat("one")))) as one, scripted(GOOD) as other:
        config = config_for(endpoint(one, "one", weight=100), endpoint(other, "other"))
        async with serve_proxy(config) as proxy:
            call = await begin(proxy.port)
            await until(lambda: one.received)
            reply = await post(proxy, "/admin/drain", {"endpoint": "one"})
            assert (reply.status, reply.json) == (200, {"endpoints": 1})
            for _ in range(5):
                assert (await ask(proxy.port, body=HELLO)).status == 200
            assert (len(one.received), len(other.received)) == (1, 5)
            assert (await call.reply()).status == 200
            drained = (await endpoints_of(proxy))["one"]
            assert (drained["state"], drained["drained"]) == ("drained", True)
            assert drained["ready_in_s"] is None
            await post(proxy, "/admin/enable", {"group": "gpt-4.1", "endpoint": "one"})
            assert (await endpoints_of(proxy))["one"]["state"] == "ok"
            await ask(proxy.port, body=HELLO)
            assert len(one.received) == 2
            assert [change.state for change in proxy.events.changes] == ["drained", "enabled"]
            call.leave()


@bounded()
async def test_a_drain_is_ended_neither_by_a_clear_nor_by_time():
    async with scripted(GOOD) as one, scripted(GOOD) as other:
        async with serve_proxy(config_for(endpoint(one, "one"), endpoint(other, "other"))) as proxy:
            await post(proxy, "/admin/drain", {"endpoint": "one"})
            await post(proxy, "/admin/clear", {"endpoint": "one"})
            assert (await endpoints_of(proxy))["one"]["state"] == "drained"


@bounded()
async def test_when_all_endpoints_are_drained_calls_fail_with_the_reason():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            await post(proxy, "/admin/drain", {"endpoint": "only"})
            reply = await ask(proxy.port, body=HELLO)
            assert reply.status == 503
            assert "only: skipped, drained by the operator" in reply.error["message"]
            assert not vendor.received


@pytest.mark.parametrize("answer", [always(refusal(("retry-after", "60"))), DOWN])
@bounded()
async def test_a_cleared_endpoint_is_tried_again_at_once(answer):
    async with scripted(answer) as bad, scripted(GOOD) as good:
        config = config_for(endpoint(bad, "bad"), endpoint(good, "good"), allowed_fails=1)
        async with serve_proxy(config) as proxy:
            for _ in range(3):
                await ask(proxy.port, body=HELLO)
            assert len(bad.received) == 1
            await post(proxy, "/admin/clear", {"endpoint": "bad"})
            assert (await endpoints_of(proxy))["bad"]["state"] in ("ok", "half-open")
            for _ in range(12):  # a breaker that was open lets the first calls through slowly
                await ask(proxy.port, body=HELLO)
            assert len(bad.received) >= 2


@bounded()
async def test_a_call_that_waits_goes_to_a_cleared_endpoint_at_once():
    script = {1: refusal(("retry-after", "30"))}
    answer = lambda _received, number: [script.get(number, http(chat()))]  # noqa: E731
    async with scripted(answer) as vendor:
        config = config_for(endpoint(vendor, "only"), queue={"max_wait_s": 60})
        async with serve_proxy(config) as proxy:
            waiting = await begin(proxy.port)
            await queued(proxy, 1)
            await post(proxy, "/admin/clear", {"endpoint": "only"})
            assert (await waiting.reply()).status == 200
            waiting.leave()


@bounded()
async def test_an_unknown_name_is_an_error_and_changes_nothing():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            for target, words in (
                ({"endpoint": "other"}, "No group has an endpoint 'other'."),
                (
                    {"endpoint": "only", "group": "g"},
                    "Group 'g' has no endpoint 'only'.",
                ),
            ):
                reply = await post(proxy, "/admin/drain", target)
                assert (reply.status, reply.json["detail"]) == (404, words)
            assert (await post(proxy, "/admin/drain", {})).status == 422
            assert (await endpoints_of(proxy))["only"]["state"] == "ok"

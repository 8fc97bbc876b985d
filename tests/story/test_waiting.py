"""A call waits in a queue when every endpoint is full, unless that would take too long."""

import asyncio
from time import monotonic

import pytest

from llmproxy.routing import CallDemand
from llmproxy.tools.simulator import VendorSettings, serve
from tests.support.client import HELLO, ask, begin, question, question_in
from tests.support.groups import endpoint, one_endpoint
from tests.support.limits import refusal, reports_limits
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.slow_answers import OnRequest
from tests.support.under_way import idle, queued, waiting_calls
from tests.support.vendor import always, chat, error_body, http, scripted
from tests.support.waiting import until

HANGS = always("hang")


@pytest.mark.clock
@bounded()
async def test_a_call_waits_until_its_endpoint_has_room_again():
    async with scripted(reports_limits(0, "400ms")) as vendor:
        async with serve_proxy(one_endpoint(vendor)) as proxy:
            assert (await ask(proxy.port, body=HELLO)).status == 200
            began_at = monotonic()
            reply = await ask(proxy.port, body=HELLO)
            assert reply.status == 200
            assert reply.header("x-llmproxy-attempts") == "1"
            assert 0.3 < monotonic() - began_at < 1.0


@bounded()
async def test_a_throttled_endpoint_is_waited_for_and_asked_once_more():
    def answer(received, number):
        return [refusal(("retry-after-ms", "400")) if number == 1 else http(chat("good"))]

    async with scripted(answer) as vendor:
        async with serve_proxy(one_endpoint(vendor)) as proxy:
            began_at = monotonic()
            reply = await ask(proxy.port, body=HELLO)
            assert reply.status == 200
            assert monotonic() - began_at >= 0.4
            assert len(vendor.received) == 2


@bounded()
async def test_no_more_calls_run_at_a_time_than_the_operator_allows():
    at_once = most_at_once = 0

    def answer(received, number):
        nonlocal at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        yield 0.03
        at_once -= 1
        yield http(chat("good"))

    async with scripted(answer) as vendor:
        async with serve_proxy(one_endpoint(vendor, limits={"concurrent": 3})) as proxy:
            replies = await asyncio.gather(*(ask(proxy.port, body=HELLO) for _ in range(20)))
            assert {reply.status for reply in replies} == {200}
            assert most_at_once == 3


async def _in_order(proxy, vendor, answer, calls):
    """Send calls (text, priority) while the only place is taken; return the order of service."""
    first = await begin(proxy.port, question("first"))
    await until(lambda: vendor.received)
    waiting = []
    for number, (text, priority) in enumerate(calls, 1):
        headers = [("x-llmproxy-priority", str(priority))] if priority is not None else []
        waiting.append(await begin(proxy.port, question(text), headers=headers))
        await queued(proxy, number)
    answer.go_on.set()
    for connection in (first, *waiting):
        assert (await connection.reply()).status == 200
        connection.leave()
    return "".join(question_in(request) for request in vendor.received[1:])


@bounded()
async def test_waiting_calls_are_served_in_their_order():
    answer = OnRequest(http(chat("good")))
    async with scripted(answer) as vendor:
        async with serve_proxy(one_endpoint(vendor, limits={"concurrent": 1})) as proxy:
            calls = [(letter, None) for letter in "abcdef"]
            assert await _in_order(proxy, vendor, answer, calls) == "abcdef"


@bounded()
async def test_a_higher_priority_goes_before_a_lower_one_and_equals_keep_their_order():
    answer = OnRequest(http(chat("good")))
    async with scripted(answer) as vendor:
        async with serve_proxy(one_endpoint(vendor, limits={"concurrent": 1})) as proxy:
            calls = [("a", None), ("b", -3), ("c", 5), ("d", 0), ("e", 5)]
            assert await _in_order(proxy, vendor, answer, calls) == "ceadb"


@bounded()
async def test_a_client_that_leaves_frees_its_place_and_nothing_of_it_is_sent():
    answer = OnRequest(http(chat("good")))
    async with scripted(answer) as vendor:
        async with serve_proxy(one_endpoint(vendor, limits={"concurrent": 1})) as proxy:
            first = await begin(proxy.port, question("first"))
            await until(lambda: vendor.received)
            leaving = await begin(proxy.port, question("leaving"))
            await queued(proxy, 1)
            staying = await begin(proxy.port, question("staying"))
            await queued(proxy, 2)
            leaving.leave()
            await queued(proxy, 1)
            answer.go_on.set()
            assert (await first.reply()).status == 200
            assert (await staying.reply()).status == 200
            assert [question_in(request) for request in vendor.received] == ["first", "staying"]
            assert waiting_calls(proxy) == 0
            await idle(proxy)


@pytest.mark.clock
@bounded()
async def test_a_client_that_leaves_during_its_call_lets_the_next_one_in():
    def answer(received, number):
        return ["hang"] if number == 1 else [http(chat("good"))]

    async with scripted(answer) as vendor:
        async with serve_proxy(one_endpoint(vendor, limits={"concurrent": 1})) as proxy:
            leaving = await begin(proxy.port)
            await until(lambda: vendor.received)
            waiting = await begin(proxy.port)
            await queued(proxy, 1)
            leaving.leave()
            left_at = monotonic()
            assert (await waiting.reply()).status == 200
            assert monotonic() - left_at < 0.3


@pytest.mark.clock
@bounded()
async def test_when_the_queue_is_full_the_next_call_is_refused_at_once_with_the_true_time():
    async with scripted(reports_limits(0, "1500ms")) as vendor:
        async with serve_proxy(one_endpoint(vendor, max_waiting=2)) as proxy:
            await ask(proxy.port, body=HELLO)
            refills_at = monotonic() + 1.5
            waiting = [await begin(proxy.port) for _ in range(2)]
            await queued(proxy, 2)
            asked_at = monotonic()
            reply = await ask(proxy.port, body=HELLO)
            assert monotonic() - asked_at < 0.3
            assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
            assert "full for" in reply.error["message"]
            told_s = float(reply.header("retry-after-ms")) / 1000
            assert told_s == pytest.approx(refills_at - asked_at, rel=0.1)
            assert reply.header("retry-after") == "2"
            assert {(await call.reply()).status for call in waiting} == {200}
            await asyncio.sleep(max(0.0, asked_at + told_s - monotonic()))
            assert (await ask(proxy.port, body=HELLO)).status == 200


@pytest.mark.clock
@bounded()
async def test_a_wait_that_would_be_too_long_is_refused_at_once_with_the_true_time():
    async with scripted(reports_limits(0, "8.7s")) as vendor:
        async with serve_proxy(one_endpoint(vendor, max_wait_s=2)) as proxy:
            await ask(proxy.port, body=HELLO)
            asked_at = monotonic()
            reply = await ask(proxy.port, body=HELLO)
            assert monotonic() - asked_at < 0.3
            assert reply.status == 429
            assert float(reply.header("retry-after-ms")) == pytest.approx(8700, rel=0.1)
            assert reply.header("retry-after") == "9"
            assert len(vendor.received) == 1


@pytest.mark.clock
@bounded()
async def test_a_client_that_retries_after_retry_after_is_served_without_waiting():
    async with scripted(reports_limits(0, "700ms")) as vendor:
        async with serve_proxy(one_endpoint(vendor, max_wait_s=0)) as proxy:
            await ask(proxy.port, body=HELLO)
            reply = await ask(proxy.port, body=HELLO)
            assert reply.status == 429
            await asyncio.sleep(float(reply.header("retry-after-ms")) / 1000)
            assert (await ask(proxy.port, body=HELLO)).status == 200


@pytest.mark.clock
@bounded()
async def test_a_client_whose_timeout_is_shorter_than_the_wait_is_refused_at_once():
    async with scripted(reports_limits(0, "3500ms")) as vendor:
        async with serve_proxy(one_endpoint(vendor)) as proxy:
            await ask(proxy.port, body=HELLO)
            asked_at = monotonic()
            reply = await ask(proxy.port, body=HELLO, headers=[("x-llmproxy-timeout-s", "1")])
            assert monotonic() - asked_at < 0.5
            assert reply.status == 429
            assert float(reply.header("retry-after-ms")) == pytest.approx(3500, rel=0.1)


@pytest.mark.clock
@bounded()
async def test_a_call_that_has_waited_for_max_wait_s_is_refused():
    async with scripted(HANGS) as vendor:
        config = one_endpoint(vendor, limits={"concurrent": 1}, max_wait_s=1.2)
        async with serve_proxy(config) as proxy:
            first = await begin(proxy.port)
            await until(lambda: vendor.received)
            asked_at = monotonic()
            reply = await ask(proxy.port, body=HELLO)
            assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
            assert 1.1 < monotonic() - asked_at < 2.0
            assert reply.header("retry-after-ms")
            assert waiting_calls(proxy) == 0
            first.leave()


@pytest.mark.clock
@bounded()
async def test_a_place_that_frees_just_as_the_wait_ends_is_taken():
    async with scripted(always(http(chat("good")))) as vendor:
        config = one_endpoint(vendor, limits={"concurrent": 1}, max_wait_s=1.2)
        async with serve_proxy(config) as proxy:
            group = proxy.runtime.pool.groups["gpt-4.1"]
            place = group.take_as_newcomer(CallDemand(0, 0, monotonic()), monotonic())
            waiting = await begin(proxy.port)
            await queued(proxy, 1)
            frees_at = monotonic() + 1.2  # a little after the call gives up
            asyncio.get_running_loop().call_later(1.2, lambda: place.end(monotonic()))
            while monotonic() < frees_at + 0.05:
                pass  # block the loop: both timers are due before the call runs again
            assert (await waiting.reply()).status == 200


@pytest.mark.parametrize("dialect", ["openai", "azure"])
@bounded()
async def test_no_herd_arrives_when_room_comes_back(dialect):
    settings = VendorSettings(name="v", dialect=dialect, rpm=1200, latency_s=0.02)
    async with serve(settings) as vendor:
        base_url = vendor.azure_v1_url if dialect == "azure" else vendor.base_url
        entry = {
            "model": "gpt-4.1",
            "params": {"base_url": base_url, "api_key": "sk-upstream"},
            **({"provider": "azure"} if dialect == "azure" else {}),
        }
        async with serve_proxy(config_for(entry)) as proxy:
            assert (await ask(proxy.port, body=HELLO)).status == 200
            for _ in range(0 if dialect == "azure" else 12):  # a full bucket holds a minute's calls
                await asyncio.gather(*(ask(proxy.port, body=HELLO) for _ in range(100)))
            replies = await asyncio.gather(*(ask(proxy.port, body=HELLO) for _ in range(60)))
            assert {reply.status for reply in replies} == {200}
            assert vendor.counts.total(429) <= 1  # a herd would be dozens


@pytest.mark.clock
@bounded()
async def test_a_retry_with_excluded_endpoints_does_not_block_the_queue():
    def without_the_model(received, number):
        return [http(error_body("model_not_found"), status=404) if number == 1 else http(chat("b"))]

    async with scripted(HANGS) as busy, scripted(without_the_model) as other:
        a, b = endpoint(busy, "a", limits={"concurrent": 1}), endpoint(other, "b")
        del a["model"], b["model"]
        config = config_for(a, b, group="*")
        async with serve_proxy(config) as proxy:
            hanging = await begin(proxy.port)  # takes the only place at a
            await until(lambda: busy.received)
            stuck = await begin(proxy.port)  # b does not have its model, and a is full
            await queued(proxy, 1, "*")
            asked_at = monotonic()
            for _ in range(3):
                reply = await ask(proxy.port, body=HELLO)
                assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "b")
            assert monotonic() - asked_at < 0.5
            hanging.leave()
            await until(lambda: len(busy.received) == 2)
            stuck.leave()

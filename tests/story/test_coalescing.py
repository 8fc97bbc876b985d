"""Equal calls that arrive together are sent once, and all clients get the answer."""

import asyncio
import json
import random
from time import monotonic

import pytest

from tests.support.cached import FIXED, text_of, with_cache
from tests.support.client import ask, begin, connect, question, request
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.slow_answers import EVENTS, FIXED_STREAM, WHOLE, OnRequest, slow, slow_stream
from tests.support.under_way import clients_of_shared_calls, idle
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
from tests.support.waiting import until


async def many(proxy, number, body=FIXED, **options):
    return await asyncio.gather(*(ask(proxy.port, body=body, **options) for _ in range(number)))


def words_of(replies):
    return sorted(reply.header("x-llmproxy-cache") for reply in replies)


@bounded()
async def test_five_hundred_equal_calls_ask_once_although_ten_clients_leave():
    draw, here, all_here = random.Random(4), [], asyncio.Event()

    def answer(received, number):
        yield sse_head()
        for event in EVENTS[:-1]:
            yield chunk(event)
            yield 0.02
        while not all_here.is_set():
            yield 0.01
        yield chunk(EVENTS[-1])
        yield LAST_CHUNK

    async def stays(number):
        await asyncio.sleep(0.001 * (number // 10))
        connection = await begin(proxy.port, FIXED_STREAM)
        _, headers = await connection.head()
        here.append(dict(headers)["x-llmproxy-cache"])
        if len(here) == 490:
            all_here.set()
        body = b""
        while piece := await connection.chunk():
            body += piece
        connection.leave()
        return body

    async def leaves(after_s):
        connection = await begin(proxy.port, FIXED_STREAM)
        await asyncio.sleep(after_s)
        connection.leave()

    async with scripted(answer) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            first = await begin(proxy.port, FIXED_STREAM)
            await until(lambda: vendor.received)
            going = [leaves(draw.uniform(0.0, 0.6)) for _ in range(9)]
            staying = [stays(number) for number in range(490)]
            everyone = asyncio.gather(*staying, *going)
            await until(lambda: clients_of_shared_calls(proxy) > 1)
            first.leave()
            bodies = (await everyone)[:490]
            assert set(bodies) == {WHOLE}
            assert set(here) == {"coalesced"}
            assert len(vendor.received) == 1
            assert vendor.received[0].gone_at is None
            assert (await ask(proxy.port, body=FIXED_STREAM)).header("x-llmproxy-cache") == "hit"
            await idle(proxy)


@bounded()
async def test_a_late_follower_gets_the_beginning_at_once_and_the_rest_as_it_comes():
    gate = asyncio.Event()

    def answer(received, number):
        yield sse_head() + b"".join(map(chunk, EVENTS[:10]))
        while not gate.is_set():
            yield 0.01
        yield b"".join(map(chunk, EVENTS[10:])) + LAST_CHUNK

    async with scripted(answer) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        leader, late = await begin(proxy.port, FIXED_STREAM), None
        await leader.head()
        late = await begin(proxy.port, FIXED_STREAM)
        _, headers = await late.head()
        assert ("x-llmproxy-cache", "coalesced") in headers
        beginning = b""
        while len(beginning) < len(b"".join(EVENTS[:10])):
            beginning += await late.chunk()
        gate.set()
        rest = b""
        while piece := await late.chunk():
            rest += piece
        assert beginning + rest == WHOLE
        leader.leave()


@bounded()
async def test_json_answers_are_shared_too():
    answer = OnRequest(http(chat("good")))
    async with scripted(answer) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            asking = asyncio.create_task(many(proxy, 20))
            await until(lambda: clients_of_shared_calls(proxy) == 20)
            answer.go_on.set()
            replies = await asking
            assert {text_of(reply) for reply in replies} == {"good"}
            assert words_of(replies) == ["coalesced"] * 19 + ["miss"]
            assert len({reply.header("x-request-id") for reply in replies}) == 20
            assert {reply.header("age") for reply in replies} == {None}
            assert (await ask(proxy.port, body=FIXED)).header("age") == "0"
            assert len(vendor.received) == 1
            cache_results = [event.record.cache for event in proxy.events.calls]
            assert sorted(cache_results) == ["coalesced"] * 19 + ["hit", "miss"]
            assert sum(event.record.attempts for event in proxy.events.calls) == 1


@pytest.mark.clock
@pytest.mark.parametrize("before_s", [0.3, 0.0], ids=["before its answer", "in its answer"])
@bounded()
async def test_followers_get_their_answer_after_the_leader_left(before_s):
    async with scripted(slow_stream(before_s=before_s, pause_s=0.03)) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            leader = await begin(proxy.port, FIXED_STREAM)
            await until(lambda: vendor.received)
            follower = asyncio.create_task(ask(proxy.port, body=FIXED_STREAM))
            await asyncio.sleep(0.15)
            leader.leave()
            reply = await follower
            assert (reply.status, reply.body) == (200, WHOLE)
            assert len(vendor.received) == 1


@bounded()
async def test_the_call_is_cancelled_when_the_last_client_leaves():
    async with scripted(slow_stream(pause_s=0.5)) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            clients = [await begin(proxy.port, FIXED_STREAM) for _ in range(3)]
            await clients[2].head()
            for client in clients:
                client.leave()
            await until(lambda: vendor.received[0].gone_at is not None, within_s=5.0)
            await idle(proxy)
            assert len(vendor.received) == 1


@bounded()
async def test_a_client_that_leaves_at_the_last_event_does_not_spoil_the_answer():
    vendor_s = always(sse_head(), *map(chunk, EVENTS), 0.5, LAST_CHUNK)
    async with scripted(vendor_s) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        client = await begin(proxy.port, FIXED_STREAM)
        await client.head()
        while DONE not in await client.chunk():
            pass
        client.leave()  # as openai-python does
        await idle(proxy)
        assert (await ask(proxy.port, body=FIXED_STREAM)).header("x-llmproxy-cache") == "hit"
        assert len(vendor.received) == 1


@bounded()
async def test_a_follower_leads_after_the_leader_failed():
    def answer(received, number):
        failed = http(error_body("server_error", kind="server_error"), status=500)
        return [0.15, failed if number == 1 else http(chat("good"))]

    async with scripted(answer) as vendor:
        config = with_cache(vendor)
        config["general_settings"] |= {"num_retries": 0}
        async with serve_proxy(config) as proxy:
            leader = asyncio.create_task(ask(proxy.port, body=FIXED))
            await until(lambda: vendor.received)
            others = await many(proxy, 10)
            assert (await leader).status == 500
            assert {reply.status for reply in others} == {200}
            assert words_of(others) == ["coalesced"] * 9 + ["miss"]
            assert len(vendor.received) == 2


@pytest.mark.clock
@bounded()
async def test_a_follower_waits_for_two_failing_leaders_at_most():
    refusal = http(error_body("server_error", kind="server_error"), status=500)
    async with scripted(slow(refusal, after_s=0.1)) as vendor:
        config = with_cache(vendor)
        config["general_settings"] |= {"num_retries": 0}
        async with serve_proxy(config) as proxy:
            began_at = monotonic()
            replies = await many(proxy, 12)
            assert {reply.status for reply in replies} == {500}
            assert monotonic() - began_at < 0.8
            assert len(vendor.received) == 12


@bounded()
async def test_a_slow_reader_delays_no_other_client():
    events = [delta("x" * 20_000) for _ in range(60)]
    events += [delta(finish="stop"), DONE]
    async with scripted(slow_stream(pause_s=0.001, events=events)) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            slow_reader = await begin(
                proxy.port, FIXED_STREAM
            )  # the leader, which does not read yet
            await until(lambda: vendor.received)
            reply = await asyncio.wait_for(ask(proxy.port, body=FIXED_STREAM), 5)
            assert reply.body == b"".join(events)
            assert (await slow_reader.reply()).body == b"".join(events)
            assert len(vendor.received) == 1


@bounded()
async def test_an_answer_too_big_to_be_kept_reaches_all_subscribers():
    events = [delta("y" * 60_000) for _ in range(100)] + [delta(finish="stop"), DONE]
    async with scripted(slow_stream(pause_s=0.001, before_s=0.2, events=events)) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            replies = await many(proxy, 3, FIXED_STREAM)
            assert {reply.body for reply in replies} == {b"".join(events)}
            assert len(vendor.received) == 1
            again = await begin(proxy.port, FIXED_STREAM)
            await until(lambda: len(vendor.received) == 2)
            again.leave()


@bounded()
async def test_every_subscriber_gets_the_error_of_a_broken_stream():
    broken = always(0.1, sse_head(), *(chunk(event) for event in EVENTS[:5]), 0.1, "close")
    async with scripted(broken) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            replies = await many(proxy, 4, FIXED_STREAM)
            for reply in replies:
                assert reply.body.startswith(b"".join(EVENTS[:5]))
                assert b"upstream_stream_interrupted" in reply.body
            assert {event.record.answer.error for event in proxy.events.calls} == {
                "upstream_stream_interrupted"
            }
            assert len(vendor.received) == 1
            again = await begin(proxy.port, FIXED_STREAM)  # nothing was cached
            await until(lambda: len(vendor.received) == 2)
            again.leave()


@bounded()
async def test_answers_that_are_not_kept_are_still_shared():
    filtered = http({**chat("no"), "choices": [{"index": 0, "finish_reason": "content_filter"}]})
    async with scripted(slow(filtered)) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            replies = await many(proxy, 5)
            assert words_of(replies) == ["coalesced"] * 4 + ["miss"]
            assert len(vendor.received) == 1
            assert (await ask(proxy.port, body=FIXED)).header("x-llmproxy-cache") == "miss"


@pytest.mark.parametrize(
    "other",
    [FIXED_STREAM, {**FIXED, "seed": 5}, {**FIXED, "model": "gpt-4.1", "n": 2}],
    ids=["another form", "another seed", "more choices"],
)
@bounded()
async def test_calls_that_differ_are_not_coalesced(other):
    async with scripted(slow(http(chat("good")))) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            await asyncio.gather(ask(proxy.port, body=FIXED), ask(proxy.port, body=other))
            assert len(vendor.received) == 2


@bounded()
async def test_an_impatient_call_does_not_lead_but_may_follow():
    answer = OnRequest(http(chat("good")))
    async with scripted(answer) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            hurried = [("x-llmproxy-timeout-s", "0.2")]
            impatient = asyncio.create_task(ask(proxy.port, body=FIXED, headers=hurried))
            await until(lambda: vendor.received)
            patient = asyncio.create_task(ask(proxy.port, body=FIXED))
            await until(lambda: len(vendor.received) == 2)
            too_short = await ask(proxy.port, body=FIXED, headers=hurried)
            long_enough = [("x-llmproxy-timeout-s", "60")]
            following = asyncio.create_task(ask(proxy.port, body=FIXED, headers=long_enough))
            await until(lambda: clients_of_shared_calls(proxy) == 2)
            answer.go_on.set()
            following = await following
            assert (await impatient).status == 504
            assert too_short.status == 504
            assert (await patient).status == following.status == 200
            assert following.header("x-llmproxy-cache") == "coalesced"
            assert len(vendor.received) == 2


@pytest.mark.parametrize("control", ["no-store", "no-cache"])
@bounded()
async def test_cache_control_opts_out_of_coalescing(control):
    async with scripted(slow(http(chat("good")))) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            headers = [("cache-control", control)]
            replies = await many(proxy, 3, headers=headers)
            assert words_of(replies) == ["miss"] * 3
            assert len(vendor.received) == 3


@bounded()
async def test_random_arrivals_and_departures_leave_every_answer_whole():
    """Random arrivals, departures and readers of several answers at once."""
    draw = random.Random(7)

    async def client(number):
        await asyncio.sleep(draw.uniform(0, 1.0))
        body = {**question(f"question {number % 5}", temperature=0), "stream": True}
        connection = await connect(proxy.port)
        try:
            await connection.send(request(body=body))
            if draw.random() < 0.3:
                await asyncio.sleep(draw.uniform(0, 0.4))
                return None
            if draw.random() < 0.3:
                await asyncio.sleep(draw.uniform(0, 0.5))  # reads late
            return (number % 5, (await connection.reply()).body)
        finally:
            connection.leave()

    def answer(received, number):
        text = json.loads(received.body)["messages"][0]["content"]
        events = [
            delta(role="assistant"),
            *(delta(f"{text} {number} ") for number in range(20)),
        ]
        steps = [sse_head()]
        for event in [*events, delta(finish="stop"), DONE]:
            steps += [chunk(event), 0.01]
        return [*steps, LAST_CHUNK]

    async with scripted(answer) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        done = await asyncio.gather(*(client(number) for number in range(300)))
        for number in range(5):
            bodies = {client[1] for client in done if client is not None and client[0] == number}
            assert len(bodies) == 1
            (body,) = bodies
            assert body.endswith(DONE)
            assert body.count(b"question %d" % number) == 20
        await idle(proxy)

"""Heartbeats that keep the connection of a waiting client open."""

import openai
import pytest

from tests.support.client import CHAT, STREAM, ask, begin
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
from tests.support.waiting import until

BEAT = b": ka\n\n"
WHOLE = [delta(role="assistant"), delta("hello"), delta(finish="stop"), DONE]
ANSWER = [sse_head(), *map(chunk, WHOLE), LAST_CHUNK]
FAILURE = http(error_body("server_error", kind="server_error"), status=500)


def beating(*endpoints, **settings):
    return config_for(*endpoints, queue={"heartbeat_s": 0.05}, **settings)


@pytest.mark.clock
@bounded()
async def test_a_stream_that_waits_gets_comments_and_then_the_whole_answer():
    async with scripted(always(0.3, *ANSWER)) as vendor:
        async with serve_proxy(beating(vendor.base_url)) as proxy:
            reply = await ask(proxy.port, body=STREAM)

    comments, rest = reply.body[: reply.body.rfind(BEAT) + len(BEAT)], b"".join(WHOLE)
    assert reply.status == 200
    assert reply.header("content-type") == "text/event-stream"
    assert comments == BEAT * (len(comments) // len(BEAT))
    assert 3 <= len(comments) // len(BEAT) <= 6
    assert reply.body == comments + rest


@bounded()
async def test_a_quick_answer_has_the_endpoints_own_headers_and_no_comment():
    head = sse_head([("x-vendor", "v")])
    async with scripted(always(head, *ANSWER[1:])) as vendor:
        async with serve_proxy(config_for(vendor.base_url, queue={"heartbeat_s": 5})) as proxy:
            reply = await ask(proxy.port, body=STREAM)

    assert reply.header("x-vendor") == "v"
    assert reply.body == b"".join(WHOLE)


@pytest.mark.parametrize(
    ("config", "body"),
    [(beating, CHAT), (config_for, STREAM)],
    ids=["a call without a stream", "a proxy without heartbeats"],
)
@bounded()
async def test_no_comment_is_sent_to(config, body):
    answer = ANSWER if body is STREAM else [http(chat("whole"))]
    async with scripted(always(0.2, *answer)) as vendor:
        async with serve_proxy(config(vendor.base_url)) as proxy:
            reply = await ask(proxy.port, body=body)

    assert BEAT not in reply.body
    assert reply.header("x-llmproxy-endpoint")


@bounded()
async def test_a_failure_after_a_comment_is_an_error_event():
    async with scripted(always(0.2, FAILURE)) as vendor:
        async with serve_proxy(beating(vendor.base_url, num_retries=0)) as proxy:
            reply = await ask(proxy.port, body=STREAM)
            (call,) = proxy.events.calls

    assert reply.status == 200
    assert reply.body.startswith(BEAT)
    assert b'data: {"error":' in reply.body
    assert b"[DONE]" not in reply.body
    answer = call.record.answer
    assert (answer.status, answer.error) == (200, "server_error")


@bounded()
async def test_an_answer_without_a_stream_is_an_error_event():
    async with scripted(always(0.2, http(chat("whole")))) as vendor:
        async with serve_proxy(beating(vendor.base_url)) as proxy:
            reply = await ask(proxy.port, body=STREAM)

    assert b"without a stream" in reply.body


@bounded()
async def test_a_client_that_leaves_during_the_comments_ends_the_call():
    async with scripted(always("hang")) as vendor:
        async with serve_proxy(beating(vendor.base_url)) as proxy:
            client = await begin(proxy.port, STREAM)
            await client.head()
            assert await client.chunk() == BEAT
            client.leave()
            await until(lambda: vendor.received and vendor.received[0].gone_at)


@bounded()
async def test_openais_client_does_not_notice_the_comments():
    async with scripted(always(0.3, *ANSWER)) as vendor:
        async with serve_proxy(beating(vendor.base_url)) as proxy:
            client = openai.AsyncOpenAI(base_url=proxy.base_url, api_key="k", max_retries=0)
            async with client:
                stream = await client.chat.completions.create(
                    model="gpt-4.1", messages=[{"role": "user", "content": "hi"}], stream=True
                )
                texts = [piece.choices[0].delta.content async for piece in stream]

    assert texts == [None, "hello", None]


@pytest.mark.clock
@bounded()
async def test_a_stream_that_pauses_in_the_middle_gets_heartbeats_between_its_events():
    pieces = [chunk(WHOLE[0] + WHOLE[1]), 0.3, *map(chunk, WHOLE[2:]), LAST_CHUNK]
    async with scripted(always(sse_head(), *pieces)) as vendor:
        async with serve_proxy(beating(vendor.base_url)) as proxy:
            reply = await ask(proxy.port, body=STREAM)

    beats = reply.body.count(BEAT)
    assert 3 <= beats <= 6
    assert reply.body == b"".join([*WHOLE[:2], BEAT * beats, *WHOLE[2:]])


@pytest.mark.parametrize(
    "first",
    [b"id: 1\n" + WHOLE[1], WHOLE[1] + b"data: half", WHOLE[1] + WHOLE[2] + DONE],
    ids=["after an id", "within an event", "after the last event"],
)
@bounded()
async def test_no_heartbeat_is_sent_where_it_would_harm(first):
    rest = b" of it\n\n" + WHOLE[2] + DONE
    async with scripted(always(sse_head(), chunk(first), 0.3, chunk(rest), LAST_CHUNK)) as vendor:
        async with serve_proxy(beating(vendor.base_url)) as proxy:
            reply = await ask(proxy.port, body=STREAM)

    assert reply.body.replace(BEAT, b"") == first + rest
    assert reply.body.count(BEAT) == (0 if b"half" not in first else reply.body.count(BEAT))
    assert b"half" + BEAT not in reply.body

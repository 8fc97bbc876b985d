"""Signs of life: they renew an attempt's patience, and reach the client that waits."""

import asyncio
import json
from time import monotonic

import openai
import pytest

from tests.support.client import CHAT, STREAM, ask, begin
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    GOOD,
    LAST_CHUNK,
    always,
    chat,
    chunk,
    delta,
    error_body,
    event,
    http,
    scripted,
    sse_head,
)

COMMENT = b": PROCESSING\n\n"
ROLE, WORD = delta(role="assistant"), delta("hello")
ANSWER = [*map(chunk, [ROLE, WORD, delta(finish="stop"), DONE]), LAST_CHUNK]
# What an SDK with a timeout of 0.8 s sends: half of it is waited before comments pass.
IMPATIENT = [("x-stainless-read-timeout", "0.8")]
BACKGROUND = {"model": "gpt-4.1", "input": "x", "background": True, "stream": True}


def commenting(count=10):
    return [step for _ in range(count) for step in (chunk(COMMENT), 0.15)]


@pytest.mark.clock
@bounded()
async def test_comments_reach_a_waiting_client_and_renew_its_patience():
    async with scripted(always(sse_head(), *commenting(), *ANSWER)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            began_at = monotonic()
            connection = await begin(proxy.port, STREAM, headers=IMPATIENT)
            status, _ = await connection.head()
            first_after_s = monotonic() - began_at
            body = b""
            while piece := await connection.chunk():
                body += piece

    assert (status, first_after_s < 0.7) == (200, True)
    assert body == COMMENT * 10 + ROLE + WORD + delta(finish="stop") + DONE
    assert monotonic() - began_at > 1.3
    assert len(vendor.received) == 1


@bounded()
async def test_openais_client_with_a_short_timeout_gets_what_it_gets_from_the_vendor():
    async with scripted(always(sse_head(), *commenting(), *ANSWER)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            for base_url in (vendor.base_url, proxy.base_url):
                client = openai.AsyncOpenAI(
                    base_url=base_url, api_key="k", max_retries=0, timeout=0.8
                )
                async with client:
                    stream = await client.chat.completions.create(
                        model="gpt-4.1", messages=[{"role": "user", "content": "x"}], stream=True
                    )
                    texts = [piece.choices[0].delta.content async for piece in stream]
                assert texts == [None, "hello", None]


@bounded()
async def test_comments_bind_a_call_to_no_endpoint():
    async with scripted(always(sse_head(), *commenting(6), "reset")) as bad:
        async with scripted(always(sse_head(), *ANSWER)) as good:
            async with serve_proxy(group_of(bad, good)) as proxy:
                reply = await ask(proxy.port, body=STREAM, headers=IMPATIENT)

    assert len(bad.received) == len(good.received) == 1
    comments, answer = reply.body[: -len(b"".join(GOOD_BODY))], b"".join(GOOD_BODY)
    assert reply.body == comments + answer
    assert 0 < comments.count(COMMENT) <= 6
    assert comments == COMMENT * comments.count(COMMENT)


GOOD_BODY = [ROLE, WORD, delta(finish="stop"), DONE]


@pytest.mark.clock
@bounded()
async def test_a_preamble_is_held_for_a_while_then_passed_on_and_is_the_answer():
    async with scripted(always(sse_head(), chunk(ROLE), 0.7, "reset")) as slow:
        async with scripted(GOOD) as other:
            async with serve_proxy(group_of(slow, other)) as proxy:
                began_at = monotonic()
                connection = await begin(proxy.port, STREAM, headers=IMPATIENT)
                await connection.head()
                first_after_s = monotonic() - began_at
                first, error = await connection.chunk(), await connection.chunk()

    assert 0.2 < first_after_s < 0.6
    assert first == ROLE
    assert b"upstream_stream_interrupted" in error
    assert not other.received


@pytest.mark.clock
@bounded()
async def test_the_id_of_a_background_response_reaches_the_client_at_once():
    queued = event({"type": "response.queued", "response": {"id": "resp_1"}})
    async with scripted(always(sse_head(), chunk(queued), "hang")) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            connection = await begin(proxy.port, BACKGROUND, path="/v1/responses")
            async with asyncio.timeout(0.5):
                await connection.head()
                assert await connection.chunk() == queued


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["unary", "stream"])
@bounded()
async def test_informational_answers_renew_the_patience(body):
    answer = [http(chat("good"))] if body is CHAT else [sse_head(), *ANSWER]
    processing = [step for _ in range(6) for step in (0.2, b"HTTP/1.1 102 Processing\r\n\r\n")]
    async with scripted(always(*processing, *answer)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, body=body)

    assert reply.status == 200
    assert len(vendor.received) == 1


@bounded()
async def test_blank_lines_before_a_whole_answer_renew_the_patience():
    head = sse_head().replace(b"text/event-stream", b"application/json")
    blanks = [step for _ in range(6) for step in (0.2, chunk(b"\n"))]
    text = json.dumps(chat("good")).encode()
    async with scripted(always(head, *blanks, chunk(text), LAST_CHUNK)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, body=CHAT)

    assert reply.body == b"\n" * 6 + text
    assert len(vendor.received) == 1


@pytest.mark.parametrize("sign", [b"\n", b" "], ids=["blank lines", "spaces"])
@bounded()
async def test_blanks_before_a_whole_answer_keep_a_client_with_a_short_timeout(sign):
    head = sse_head().replace(b"text/event-stream", b"application/json")
    blanks = [step for _ in range(10) for step in (0.15, chunk(sign))]
    text = json.dumps(chat("good")).encode()
    async with scripted(always(head, *blanks, chunk(text), LAST_CHUNK)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            for base_url in (vendor.base_url, proxy.base_url):
                client = openai.AsyncOpenAI(
                    base_url=base_url, api_key="k", max_retries=0, timeout=0.8
                )
                async with client:
                    answer = await client.chat.completions.create(
                        model="gpt-4.1", messages=[{"role": "user", "content": "x"}]
                    )
                assert answer.choices[0].message.content == "good"

    assert len(vendor.received) == 2


@bounded()
async def test_a_model_may_think_for_longer_than_idle_s_after_the_preamble():
    queued = event({"type": "response.queued", "response": {"id": "resp_1"}})
    completed = event({"type": "response.completed", "response": {"id": "resp_1"}})
    steps = [sse_head(), chunk(queued), 0.6, chunk(completed), LAST_CHUNK]
    async with scripted(always(*steps)) as vendor:
        async with serve_proxy(group_of(vendor, timeouts={"idle_s": 0.2})) as proxy:
            reply = await ask(proxy.port, "/v1/responses", BACKGROUND)

    assert reply.body == queued + completed


REFUSAL = error_body("context_length_exceeded", message="Too long.")
PATHS = {
    "/v1/chat/completions": b"",
    "/v1/responses": b"event: error\n",
    "/v1/messages": b"event: error\n",
}


@pytest.mark.parametrize("path", PATHS)
@bounded()
async def test_after_a_heartbeat_an_endpoints_refusal_is_an_event_with_its_own_words(path):
    async with scripted(always(0.2, http(REFUSAL, status=400))) as vendor:
        async with serve_proxy(group_of(vendor, queue={"heartbeat_s": 0.05})) as proxy:
            reply = await ask(proxy.port, path, {**STREAM, "input": "x"})

    *_, last, end = reply.body.split(b"\n\n")
    told = json.loads(last.split(b"data: ")[1])
    assert (reply.status, end) == (200, b"")
    assert (last + b"\n").startswith(PATHS[path])
    assert told["error"] == REFUSAL["error"]
    assert told.get("type") == ("error" if PATHS[path] else None)


@bounded()
async def test_without_heartbeats_a_refusal_keeps_its_status():
    async with scripted(always(0.2, http(REFUSAL, status=400))) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, body=STREAM)

    assert (reply.status, reply.json) == (400, REFUSAL)

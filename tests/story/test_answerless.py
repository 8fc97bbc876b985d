"""A success that holds no answer is a failed attempt; if nobody can answer, it is passed on."""

import json

import pytest

from tests.support.client import CHAT, STREAM, ask
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
    event,
    http,
    scripted,
    sse_head,
)

HTML = b"<!DOCTYPE html><html><body>Just a moment...</body></html>"
WHOLE = {
    "an error": http({"error": {"message": "Provider returned error", "code": 502}}),
    "an error in a list": http(b'[{"error": {"code": 503, "message": "busy"}}]'),
    "no choices": http(chat(choices=[])),
    "null choices": http({"id": None, "choices": None}),
    "nothing": http(b""),
    "blank lines": http(b"\n\n"),
    "HTML": http(HTML, content_type="text/html; charset=UTF-8"),
    "HTML as JSON": http(HTML),
    "much HTML": http(HTML + b" " * 300_000, content_type="text/html"),
    "cut JSON": http(json.dumps(chat("bad")).encode()[:-9]),
    "text": http(b"upstream connect error", content_type="text/plain"),
    "text without a type": http(b"upstream connect error", content_type=None),
}
ROLE = delta(role="assistant", content="")
FAILED = event({"error": {"message": "Provider disconnected", "code": 502}})
USAGE = event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}})


def stream(*events, content_type="text/event-stream", pause_s=0.0):
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
    steps = [head.encode()]
    for one in events:
        steps += [chunk(one), pause_s]
    return [*steps, LAST_CHUNK]


STREAMS = {
    "nothing": stream(),
    "blank lines": stream(b"\n\n"),
    "comments": stream(b": PROCESSING\n\n"),
    "only its end": stream(DONE),
    "a role and its end": stream(ROLE, DONE),
    "a role, usage and its end": stream(ROLE, USAGE, DONE),
    "an error": stream(FAILED),
    "a role, an error and its end": stream(ROLE, FAILED, DONE, pause_s=0.02),
    "an error without a blank line": stream(FAILED.rstrip()),
    "bare JSON": stream(b'{"error": {"message": "busy", "type": "overloaded_error"}}\n'),
    "HTML": stream(HTML + b"\n\n"),
    "an error as text": stream(FAILED, content_type="text/plain"),
    "an error as JSON": stream(FAILED, content_type="application/json"),
    "a role and its end as text": stream(ROLE, DONE, content_type="text/plain"),
    "JSON": [http({"error": {"message": "busy", "code": 503}})],
    "an HTML page": [http(HTML, content_type="text/html")],
}
GOOD_STREAM = always(*stream(ROLE, delta("good"), delta(finish="stop"), DONE))


@pytest.mark.parametrize("what", WHOLE)
@bounded()
async def test_another_endpoint_answers_where_a_whole_answer_holds(what):
    async with scripted(always(WHOLE[what])) as bad, scripted(GOOD) as fine:
        async with serve_proxy(group_of(bad, fine)) as proxy:
            reply = await ask(proxy.port, body=CHAT)
    assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "e1")
    assert len(bad.received) == 1


@pytest.mark.parametrize("what", STREAMS)
@bounded()
async def test_another_endpoint_answers_where_a_stream_holds(what):
    async with scripted(always(*STREAMS[what])) as bad, scripted(GOOD_STREAM) as fine:
        async with serve_proxy(group_of(bad, fine)) as proxy:
            reply = await ask(proxy.port, body=STREAM)
    assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "e1")
    assert reply.body == ROLE + delta("good") + delta(finish="stop") + DONE


@pytest.mark.parametrize("what", WHOLE)
@pytest.mark.parametrize("endpoints", [1, 2])
@bounded()
async def test_what_came_is_passed_on_whole_if_nobody_can_answer(what, endpoints):
    head, _, body = WHOLE[what].partition(b"\r\n\r\n")
    async with scripted(always(WHOLE[what])) as bad:
        async with serve_proxy(group_of(*[bad] * endpoints, num_retries=1)) as proxy:
            reply = await ask(proxy.port, body=CHAT)
    assert (reply.status, reply.body) == (200, body)
    assert (reply.header("content-type") or "").encode() in head
    assert reply.header("x-llmproxy-error-source") == "upstream"


@pytest.mark.parametrize("pause_s", [0, 0.4])
@bounded()
async def test_the_rest_of_a_stream_that_began_with_an_error_is_passed_on(pause_s):
    events = [
        event({"type": "response.created", "response": {"id": "r", "status": "in_progress"}}),
        event({"type": "error", "code": "insufficient_quota", "message": "Quota exceeded."}),
        event({"type": "response.failed", "response": {"id": "r", "status": "failed"}}),
    ]
    steps = stream(*events, pause_s=pause_s)
    async with scripted(always(*steps)) as spent:
        async with serve_proxy(group_of(spent)) as proxy:
            body = {"model": "gpt-4.1", "input": "hi", "stream": True}
            reply = await ask(proxy.port, "/v1/responses", body)
    assert (reply.status, reply.body) == (200, b"".join(events))
    assert reply.header("content-type") == "text/event-stream"


@bounded()
async def test_the_call_moves_on_without_waiting_for_the_rest():
    steps = [sse_head(), chunk(FAILED), "hang"]
    async with scripted(always(*steps)) as bad, scripted(GOOD_STREAM) as fine:
        async with serve_proxy(group_of(bad, fine)) as proxy:
            reply = await ask(proxy.port, body=STREAM)
            assert proxy.events.failures[0].attempt.took_s < 0.25
    assert reply.header("x-llmproxy-endpoint") == "e1"


@bounded()
async def test_a_prompt_that_gets_no_choices_shuts_no_endpoint():
    def picky(received, number):
        return [http(chat(choices=[]) if b"blocked" in received.body else chat("good"))]

    async with scripted(picky) as first, scripted(picky) as second:
        async with serve_proxy(group_of(first, second, allowed_fails=1)) as proxy:
            blocked = {**CHAT, "messages": [{"role": "user", "content": "blocked"}]}
            for _ in range(5):
                assert (await ask(proxy.port, body=blocked)).json == chat(choices=[])
            served = [await ask(proxy.port, body=CHAT) for _ in range(4)]
    assert {reply.header("x-llmproxy-attempts") for reply in served} == {"1"}
    assert {reply.header("x-llmproxy-endpoint") for reply in served} == {"e0", "e1"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/files", b'{"error": {"message": "a stored object"}}'),
        ("/v1/audio/speech", b"\x00\xff{"),
        ("/v1/rerank", b'{"data": []}'),
    ],
)
@bounded()
async def test_an_answer_that_promises_no_form_is_passed_on(path, body):
    async with scripted(always(http(body, content_type=None))) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, path, {"model": "gpt-4.1", "input": "x"})
    assert (reply.status, reply.body) == (200, body)
    assert reply.header("x-llmproxy-error-source") is None
    assert len(vendor.received) == 1

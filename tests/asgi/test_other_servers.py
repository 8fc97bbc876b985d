"""The same data plane under another ASGI server: here plain uvicorn with its own protocols."""

import asyncio

import pytest

from tests.asgi.uvicorn_server import under_uvicorn
from tests.support.client import CHAT, STREAM, ask, connect, request
from tests.support.forms import FORM, FORM_MODEL, FORM_START
from tests.support.groups import group_of
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    always,
    chat,
    chunk,
    delta,
    http,
    scripted,
    sse_head,
)


@pytest.mark.parametrize("implementation", ["h11", "httptools"])
@bounded()
async def test_calls_streams_uploads_and_pages_work_alike(implementation):
    stream = [delta(role="assistant"), delta("hel"), delta("lo"), DONE]
    answers = {
        "unary": http(chat("good")),
        "stream": sse_head() + b"".join(map(chunk, stream)) + LAST_CHUNK,
    }

    def answer(received, number):
        return [answers["stream" if b'"stream": true' in received.body else "unary"]]

    async with scripted(answer) as vendor:
        async with under_uvicorn(group_of(vendor, max_body_bytes=2000), implementation) as (
            port,
            _,
        ):
            assert (await ask(port, body=CHAT)).json == chat("good")
            reply = await ask(port, body=STREAM)
            assert reply.body == b"".join(stream)
            form = FORM_START + b"x" * 300_000 + FORM_MODEL.replace(b"whisper-1", b"gpt-4.1")
            assert (await ask(port, "/v1/audio/transcriptions", form, headers=FORM)).status == 200
            assert vendor.received[-1].body == form
            assert (await ask(port, body=b"x" * 3000)).status == 413
            assert (await ask(port, body=b"{")).status == 400
            assert (await ask(port, "/livez", method="GET")).status == 200
            assert (await ask(port, "/v1/models", method="GET")).status == 200


@bounded()
async def test_chunks_come_as_they_come_and_a_break_is_told():
    steps = [sse_head(), chunk(delta("a")), 0.3, chunk(delta("b")), "reset"]
    async with scripted(always(*steps)) as vendor:
        async with under_uvicorn(group_of(vendor), "h11") as (port, _):
            client = await connect(port)
            await client.send(request(body=STREAM))
            await client.head()
            assert await client.chunk() == delta("a")
            assert not vendor.received[0].gone_at
            assert await client.chunk() == delta("b")
            assert b"upstream_stream_interrupted" in await client.chunk()


@bounded()
async def test_a_client_that_leaves_cancels_its_upstream():
    async with scripted(always("hang")) as vendor:
        async with under_uvicorn(group_of(vendor, timeouts={}), "h11") as (port, events):
            client = await connect(port)
            await client.send(request(body=CHAT))
            while not vendor.received:
                await asyncio.sleep(0.01)
            client.leave()
            while vendor.received[0].gone_at is None:
                await asyncio.sleep(0.005)
            assert events.calls[-1].record.answer.status == 499


@bounded()
async def test_a_body_cut_short_is_not_passed_off_as_whole():
    cut = http(b"x" * 600_000, content_type="application/octet-stream")[:-1000]
    async with scripted(always(cut, "close")) as vendor:
        async with under_uvicorn(group_of(vendor), "h11") as (port, _):
            with pytest.raises(asyncio.IncompleteReadError):
                await ask(port, "/v1/audio/speech", CHAT)

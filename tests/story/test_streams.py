"""Streams: the commit point, errors in the client's dialect, back-pressure, cancellation."""

import asyncio
import json

import pytest

from tests.support.client import STREAM, ask, connect, request
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.under_way import idle, under_way
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    always,
    chunk,
    delta,
    event,
    http,
    scripted,
    sse_head,
)

HELLO = [delta(role="assistant", content=""), delta("Hel"), delta("lo")]
BREAKS = {
    "reset": [0.05, "reset"],
    "closed": ["close"],
    "silent": ["hang"],
    "ended early": [LAST_CHUNK],
}


@pytest.mark.parametrize("how", BREAKS)
@bounded()
async def test_after_the_commit_point_a_broken_chat_stream_ends_with_an_error_unspliced(
    how,
):
    steps = [sse_head(), *map(chunk, HELLO), *BREAKS[how]]
    async with scripted(always(*steps)) as bad, scripted(always(*steps)) as other:
        async with serve_proxy(group_of(bad, other, timeouts={"idle_s": 0.3})) as proxy:
            reply = await ask(proxy.port, body=STREAM)
            assert reply.status == 200
            whole, last = b"".join(HELLO), reply.body[len(b"".join(HELLO)) :]
            assert reply.body.startswith(whole)
            error = json.loads(last.removeprefix(b"data: "))["error"]
            assert error["code"] == "upstream_stream_interrupted"
            assert error["type"] == "server_error"
            assert b"[DONE]" not in reply.body
            assert not other.received
            assert proxy.events.calls[-1].record.answer.error == "upstream_stream_interrupted"


@bounded()
async def test_a_stream_is_asked_for_without_compression_so_that_an_error_event_can_follow():
    async with scripted(always(sse_head(), chunk(HELLO[1]), chunk(DONE), LAST_CHUNK)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            await ask(proxy.port, body=STREAM, headers=[("accept-encoding", "gzip")])
            assert vendor.received[0].header("accept-encoding") is None


@bounded()
async def test_half_an_event_never_reaches_the_client():
    torn = HELLO[2][: len(HELLO[2]) // 2]
    steps = [sse_head(), *map(chunk, [*HELLO[:2], torn]), "close"]
    async with scripted(always(*steps)) as bad:
        async with serve_proxy(group_of(bad)) as proxy:
            reply = await ask(proxy.port, body=STREAM)
            events = reply.body.split(b"\n\n")
            assert events[-1] == b""
            for event_bytes in events[:-1]:
                json.loads(event_bytes.removeprefix(b"data: "))


@bounded()
async def test_a_broken_responses_stream_ends_with_response_failed():
    created = event(
        {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1"}}
    )
    text = event({"type": "response.output_text.delta", "sequence_number": 1, "delta": "Hel"})
    async with scripted(always(sse_head(), chunk(created + text), "close")) as bad:
        async with serve_proxy(group_of(bad)) as proxy:
            reply = await ask(
                proxy.port, "/v1/responses", {"model": "gpt-4.1", "input": "x", "stream": True}
            )
            data = reply.body.split(b"data: ")[-1]
            failed = json.loads(data)
            assert failed["type"] == "response.failed"
            assert failed["response"]["id"] == "resp_1"
            assert failed["response"]["error"]["message"]


@pytest.mark.parametrize("size", [1, 2, 5, 13, 1000])
@bounded()
async def test_a_stream_arrives_byte_for_byte_at_any_split(size):
    stream = (
        b": a comment\n\n"
        + delta(role="assistant")
        + delta("héllo \U0001f600")
        + b'data: {"choices":[],\r\ndata: "usage":null}\r\n\r\n'
        + event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 9}})
        + DONE
        + b"\n: the end, without a blank line"
    )
    pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
    steps = [sse_head()]
    for piece in pieces:
        steps += [chunk(piece), 0.0005]
    async with scripted(always(*steps, LAST_CHUNK)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, body=STREAM)
            assert reply.body == stream
            usage = proxy.events.calls[-1].record.answer.usage
            assert (usage.input_tokens, usage.output_tokens) == (7, 9)


@bounded()
async def test_without_its_battery_a_stream_passes_and_its_usage_is_unknown():
    counted = event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 9}})
    stream = delta("hello") + counted + DONE
    async with scripted(always(sse_head(), chunk(stream), LAST_CHUNK)) as vendor:
        async with serve_proxy(group_of(vendor), without=["usage_of_streams"]) as proxy:
            reply = await ask(proxy.port, body=STREAM)
            assert reply.body == stream
            assert proxy.events.calls[-1].record.answer.usage is None


@pytest.mark.clock
@bounded()
async def test_chunks_are_relayed_as_they_come():
    steps = [sse_head()]
    for number in range(5):
        steps += [chunk(delta(str(number))), 0.15]
    async with scripted(always(*steps, chunk(DONE), LAST_CHUNK)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            client = await connect(proxy.port)
            await client.send(request(body=STREAM))
            await client.head()
            loop = asyncio.get_running_loop()
            moments = []
            while await client.chunk():
                moments.append(loop.time())
            gaps = [b - a for a, b in zip(moments, moments[1:], strict=False)]
            assert sum(gap > 0.1 for gap in gaps) == 5


def _waiting_vendor(where):
    """Return the steps of a vendor that stalls at some point."""
    return {
        "streaming": [sse_head(), chunk(delta("a")), "hang"],
        "in the preamble": [sse_head(), chunk(delta(role="assistant")), "hang"],
        "waiting for the first byte": ["hang"],
        "in a unary body": [
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
            "hang",
        ],
    }[where]


@pytest.mark.clock
@pytest.mark.parametrize(
    "where", ["streaming", "in the preamble", "waiting for the first byte", "in a unary body"]
)
@pytest.mark.parametrize("how", ["reset", "closed"])
@bounded()
async def test_a_client_that_leaves_cancels_its_upstream_within_100_ms(where, how):
    async with scripted(always(*_waiting_vendor(where))) as vendor:
        async with serve_proxy(group_of(vendor, timeouts={})) as proxy:
            client = await connect(proxy.port)
            await client.send(request(body=STREAM))
            while not vendor.received:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            left_at = asyncio.get_running_loop().time()
            if how == "reset":
                client.leave()
            else:
                client.writer.close()
            while vendor.received[0].gone_at is None:
                await asyncio.sleep(0.005)
            assert vendor.received[0].gone_at - left_at < 0.1
            assert proxy.events.calls[-1].record.answer.status == 499
            assert not proxy.events.failures, (
                "a client that leaves does not count against the endpoint"
            )
            await idle(proxy, within_s=0.1)


@bounded()
async def test_a_client_that_leaves_in_back_off_ends_the_call():
    async with scripted(always("reset")) as vendor:
        async with serve_proxy(group_of(vendor, num_retries=50)) as proxy:
            client = await connect(proxy.port)
            await client.send(request(body=STREAM))
            while len(vendor.received) < 3:
                await asyncio.sleep(0.005)
            client.leave()
            await idle(proxy)
            tried = len(vendor.received)
            await asyncio.sleep(0.5)
            assert len(vendor.received) == tried
            assert not under_way(proxy)


@bounded()
async def test_a_client_that_does_not_read_pauses_its_upstream():
    sent = 0
    piece = delta("x" * 1000)

    def endless(received, number):
        nonlocal sent
        yield sse_head()
        while True:
            sent += len(piece)
            yield chunk(piece)

    async with scripted(endless) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            client = await connect(proxy.port)
            client.reader._limit = 1024  # the reader stops reading its socket early
            await client.send(request(body=STREAM))
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.5)
            # What may be under way: the kernel buffers of both sockets, and our own.
            assert sent < 16 * 2**20
            client.leave()


@bounded()
async def test_an_unknown_stream_is_relayed_as_it_is():
    steps = [sse_head(), chunk(b"data: \x00\xff not json\n\n"), chunk(b"event: x\n"), LAST_CHUNK]
    async with scripted(always(*steps)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, "/v1/audio/speech", {"model": "gpt-4.1", "input": "x"})
            assert reply.body == b"data: \x00\xff not json\n\nevent: x\n"


@pytest.mark.parametrize("framing", ["length", "chunks"])
@bounded()
async def test_a_truncated_body_is_not_passed_on_as_complete(framing):
    body = b"x" * 600_000
    if framing == "length":
        steps = [http(body, content_type="audio/mpeg")[:-1000], "close"]
    else:
        head = sse_head().replace(b"text/event-stream", b"audio/mpeg")
        steps = [head + chunk(body), "close"]
    async with scripted(always(*steps)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            with pytest.raises((asyncio.IncompleteReadError, ValueError)):
                await ask(proxy.port, "/v1/audio/speech", {"model": "gpt-4.1", "input": "x"})
            assert proxy.events.calls[-1].record.answer.error == "upstream_stream_interrupted"

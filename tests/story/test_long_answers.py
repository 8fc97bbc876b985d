"""Nothing healthy is cut: an answer that has begun may take as long as its pieces come."""

import json
from time import monotonic

import pytest

from tests.support.client import CHAT, STREAM, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import DONE, LAST_CHUNK, always, chunk, delta, http, scripted, sse_head

TIMEOUTS = {"first_byte_s": 0.4, "unary_first_byte_s": 0.4, "total_s": 0.5, "idle_s": 0.4}
BEGINNING = delta(role="assistant", content="x")
END = [chunk(delta(finish="stop")), chunk(DONE), LAST_CHUNK]
PIECES = {
    "words": delta("word"),
    "comments": b": thinking\n\n",
    "blank lines": b"\n",
    "pings": b'event: ping\ndata: {"type": "ping"}\n\n',
    "half events": b"data: ",
}


def slow_stream(piece, *, count=8):
    pieces = [step for _ in range(count) for step in (0.15, chunk(piece))]
    closing = chunk(b'{"choices": []}\n\n') if piece == b"data: " else chunk(b"\n")
    return [sse_head(), chunk(BEGINNING), *pieces, closing, *END]


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
@bounded()
async def test_a_stream_outlives_total_s_while_anything_comes(piece):
    async with scripted(always(*slow_stream(piece))) as vendor:
        async with serve_proxy(group_of(vendor, timeouts=TIMEOUTS)) as proxy:
            began_at = monotonic()
            reply = await ask(proxy.port, body=STREAM)

            assert monotonic() - began_at > 1.1
            assert reply.body.startswith(BEGINNING)
            assert reply.body.count(piece) >= 8
            assert reply.body.endswith(DONE)
            assert proxy.events.calls[-1].record.answer.error is None
            assert len(vendor.received) == 1


@bounded()
async def test_other_long_answers_are_not_cut_either():
    sound = [http(b"", content_type="audio/mpeg", headers=[("transfer-encoding", "chunked")])]
    head = sound[0].replace(b"content-length: 0\r\n", b"")
    pieces = [step for _ in range(8) for step in (0.15, chunk(b"tone"))]
    async with scripted(always(head, *pieces, LAST_CHUNK)) as vendor:
        async with serve_proxy(group_of(vendor, timeouts=TIMEOUTS)) as proxy:
            reply = await ask(proxy.port, "/v1/audio/speech", body=CHAT)

    assert reply.body == b"tone" * 8


@pytest.mark.clock
@bounded()
async def test_a_silence_longer_than_idle_s_ends_a_stream():
    steps = [sse_head(), chunk(BEGINNING), 0.2, chunk(delta("word")), "hang"]
    async with scripted(always(*steps)) as vendor:
        async with serve_proxy(group_of(vendor, timeouts=TIMEOUTS)) as proxy:
            began_at = monotonic()
            reply = await ask(proxy.port, body=STREAM)

    assert 0.5 < monotonic() - began_at < 1.0
    assert json.loads(reply.body.split(b"data: ")[-1])["error"]["code"] == (
        "upstream_stream_interrupted"
    )


@pytest.mark.clock
@bounded()
async def test_a_client_that_limits_its_call_limits_the_answer_too():
    async with scripted(always(*slow_stream(delta("word")))) as vendor:
        async with serve_proxy(group_of(vendor, timeouts=TIMEOUTS)) as proxy:
            began_at = monotonic()
            headers = [("x-llmproxy-timeout-s", "0.4")]
            reply = await ask(proxy.port, body=STREAM, headers=headers)

    assert monotonic() - began_at < 0.8
    assert DONE not in reply.body


@bounded()
async def test_a_timeout_that_ends_with_the_head_does_not_cut_the_silences_of_an_answer():
    steps = [sse_head(), chunk(BEGINNING), 0.35, *END]
    async with scripted(always(*steps)) as vendor:
        async with serve_proxy(group_of(vendor, timeouts=TIMEOUTS)) as proxy:
            headers = [("x-stainless-timeout", "0.25")]
            reply = await ask(proxy.port, body=STREAM, headers=headers)

    assert reply.body.endswith(DONE)

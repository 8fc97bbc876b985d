"""What the vendor counts, and how its connections begin and end."""

import asyncio
import json

import openai
import pytest

from llmproxy.tools.simulator import Fault, VendorSettings, serve
from tests.support.run import bounded
from tests.support.waiting import until
from tests.tools.simulator.wires import (
    HELLO,
    chat_request,
    connected,
    everything,
    head_and_body,
    openai_client,
    request,
)


@pytest.mark.clock
@pytest.mark.parametrize("fault", ["stall-before", "stall-mid"])
@bounded()
async def test_a_peer_that_leaves_early_is_noticed_at_once(fault):
    async with serve() as vendor:
        loop = asyncio.get_running_loop()
        async with connected(vendor) as (_, writer):
            writer.write(chat_request(fault=fault, stream=True))
            await until(lambda: vendor.counts.total() == 1)
            await asyncio.sleep(0.02)
            assert vendor.counts.aborted == 0
        left = loop.time()
        await until(lambda: vendor.counts.aborted == 1)
        assert loop.time() - left < 0.1
    assert vendor.counts.streams_open == 0


@bounded()
async def test_a_peer_that_leaves_while_it_waits_for_the_first_token_is_noticed():
    async with serve(VendorSettings(latency_s=30)) as vendor:
        async with openai_client(vendor, timeout=0.1) as client:
            with pytest.raises(openai.APITimeoutError):
                await client.chat.completions.create(model="m", messages=HELLO)
        await until(lambda: vendor.counts.aborted == 1)


@bounded()
async def test_a_peer_that_leaves_during_its_upload_is_noticed():
    async with serve() as vendor:
        async with connected(vendor) as (_, writer):
            writer.write(b"POST /v1/files HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc")
            await until(lambda: vendor.counts.connections_open == 1)
            await asyncio.sleep(0.02)
        await until(lambda: vendor.counts.aborted == 1)
    assert vendor.counts.total() == 0


@bounded()
async def test_a_peer_that_reads_to_the_end_is_not_counted_as_aborted():
    async with serve() as vendor, openai_client(vendor) as client:
        stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
        assert [chunk async for chunk in stream]
        await client.close()
        await until(lambda: vendor.counts.connections_open == 0)
        assert vendor.counts.aborted == 0


@bounded()
async def test_open_streams_are_counted():
    async with serve() as vendor:
        async with connected(vendor) as (reader, writer):
            writer.write(chat_request(fault="stall-mid", stream=True))
            await reader.readuntil(b"\r\n\r\n")
            assert vendor.counts.streams_open == 1
        await until(lambda: vendor.counts.streams_open == 0)
        assert vendor.counts.requests == {"chat/completions": {200: 1}}


@bounded()
async def test_pipelined_requests_are_answered_in_order():
    async with serve(VendorSettings(latency_s=0.02)) as vendor:
        sent = chat_request(stream=True) + request("/v1/models", method="GET") + request("/v1/no")
        received, _ = await everything(vendor, sent)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.index(b"[DONE]") < received.index(b'"list"') < received.index(b"404 Not Found")


@bounded()
async def test_connection_close_closes_the_connection():
    async with serve() as vendor:
        sent = request("/v1/models", method="GET", headers=[("connection", "close")])
        received, ending = await everything(vendor, sent)
        assert head_and_body(received)[1]["connection"] == "close"
        assert ending == "closed"


@bounded()
async def test_http_1_0_gets_a_stream_without_chunks():
    async with serve() as vendor:
        received, ending = await everything(vendor, chat_request(stream=True, version="1.0"))
    _, headers, body = head_and_body(received)
    assert "transfer-encoding" not in headers
    assert body.endswith(b"data: [DONE]\n\n")
    assert ending == "closed"


@bounded()
async def test_head_has_no_body_and_expect_is_answered():
    async with serve() as vendor:
        received, _ = await everything(vendor, request("/v1/models", method="HEAD"))
        _, headers, body = head_and_body(received)
        assert body == b""
        assert int(headers["content-length"]) > 0
        sent = chat_request(stream=False).replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n")
        received, _ = await everything(vendor, sent)
        assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


@bounded()
async def test_bytes_that_are_not_http_get_a_400():
    async with serve() as vendor:
        received, ending = await everything(vendor, b"\x16\x03\x01 hello\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 400 ")
    assert ending == "closed"


@bounded()
async def test_a_slow_reader_pauses_the_stream():
    async with serve(VendorSettings(answer_tokens=200_000)) as vendor:
        async with connected(vendor) as (reader, writer):
            writer.write(chat_request(stream=True))
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.2)
            assert vendor.counts.streams_open == 1
        await until(lambda: vendor.counts.aborted == 1)


@bounded()
async def test_settings_and_faults_can_change_at_run_time():
    async with serve() as vendor:
        vendor.settings = VendorSettings(dialect="azure")
        received, _ = await everything(vendor, chat_request())
        assert head_and_body(received)[0] == 404
        vendor.settings = VendorSettings()
        vendor.faults.append(Fault("refusal"))
        received, _ = await everything(vendor, chat_request())
    body = json.loads(head_and_body(received)[2])
    assert body["choices"][0]["message"]["refusal"]

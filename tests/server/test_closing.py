"""Connections whose client does not end them: it reads nothing, drips, or has left unseen."""

import asyncio

import pytest

from llmproxy.server import closing, connection
from tests.support.client import CHAT, STREAM, connect, request
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, always, chunk, delta, scripted, sse_head
from tests.support.waiting import until

TRAILERS = b"a:b\r\n" * 10_000


@bounded()
async def test_endless_trailers_get_a_431_without_a_key_and_are_not_kept():
    async with scripted(GOOD) as vendor, serve_proxy(group_of(vendor)) as proxy:
        client = await connect(proxy.port)
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        await client.send(head + b"2\r\n{}\r\n0\r\n")
        for _ in range(4):
            await client.send(TRAILERS)
        reply = await client.reply()
        assert (reply.status, reply.error["code"]) == (431, "request_header_fields_too_large")
        assert await client.at_end()


@bounded()
async def test_endless_trailers_of_an_endpoint_end_its_stream_with_an_error():
    steps = [sse_head() + chunk(delta("hi")) + b"0\r\n", *[TRAILERS] * 12, "hang"]
    async with scripted(always(*steps)) as vendor, serve_proxy(group_of(vendor)) as proxy:
        client = await connect(proxy.port)
        await client.send(request(body=STREAM))
        reply = await client.reply()
        assert b"upstream_stream_interrupted" in reply.body
        assert b"trailers" in reply.body


@bounded()
async def test_a_client_that_never_reads_loses_its_connection():
    endless = [sse_head(), *[chunk(delta("x" * 60_000))] * 400, "hang"]
    timeouts = {"total_s": 2, "body_progress_s": 1}
    async with scripted(always(*endless)) as vendor:
        async with serve_proxy(group_of(vendor, timeouts=timeouts)) as proxy:
            client = await connect(proxy.port)
            client.writer.transport.pause_reading()
            await client.send(request(body=STREAM))
            connections = proxy.server.server_state.connections
            await until(lambda: len(connections) == 1)
            await until(lambda: proxy.events.calls)
            assert proxy.events.calls[0].record.answer.error == "client_too_slow"
            await until(lambda: not connections, within_s=connection.LINGER_S + 2)


async def closed_after(stuck_after_s, read):
    """Send 12 MB to a client and close the connection; return whether the server's end was cut.

    `read`: how the client reads, as a function of its reader.
    """
    lost = asyncio.get_running_loop().create_future()

    class Sender(asyncio.Protocol):
        def connection_made(self, transport):
            transport.write(b"x" * 12_000_000)
            closing.close(transport, stuck_after_s)

        def connection_lost(self, exc):
            lost.set_result(exc)

    server = await asyncio.get_running_loop().create_server(Sender, "127.0.0.1", 0)
    async with server:
        client = await connect(server.sockets[0].getsockname()[1])
        await read(client.reader)
        await asyncio.wait_for(lost, 10)


@bounded()
async def test_a_whole_answer_that_nobody_reads_does_not_keep_its_connection():
    await closed_after(0.2, lambda reader: asyncio.sleep(0))


@bounded()
async def test_a_slow_reader_gets_its_whole_answer_although_the_connection_is_closing():
    got = 0

    async def read(reader):
        nonlocal got
        while piece := await reader.read(2_000_000):
            got += len(piece)
            await asyncio.sleep(0.01)

    await closed_after(0.2, read)
    assert got == 12_000_000


@bounded()
async def test_a_body_that_drips_after_its_answer_has_one_bound_in_all():
    async with (
        scripted(GOOD) as vendor,
        serve_proxy(group_of(vendor, timeouts={"body_progress_s": 1})) as proxy,
    ):
        client = await connect(proxy.port)
        head = b"POST /v1/none HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data\r\n"
        await client.send(head + b"content-length: 100000\r\n\r\n")
        connections = proxy.server.server_state.connections
        await until(lambda: len(connections) == 1)

        async def drip():
            while connections:
                await client.send(b"x")
                await asyncio.sleep(0.05)

        async with asyncio.timeout(5):
            await drip()


@pytest.mark.parametrize("leave", ["close", "abort"])
@bounded()
async def test_a_client_that_leaves_with_a_second_request_behind_is_noticed(leave):
    async with scripted(always("hang")) as vendor, serve_proxy(group_of(vendor)) as proxy:
        client = await connect(proxy.port)
        await client.send(request(body=CHAT) + request("/livez", method="GET") + b"GET /x")
        await until(lambda: vendor.received)
        getattr(client.writer.transport, leave)()
        await until(lambda: proxy.events.calls, within_s=closing.LOOK_S + 1.5)
        assert proxy.events.calls[0].record.answer.error == "client_closed_request"
        await until(lambda: vendor.received[0].gone_at is not None)

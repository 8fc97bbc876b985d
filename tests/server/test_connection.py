"""The server on real sockets: framing, limits, timeouts, pipelining, early answers, shutdown."""

import asyncio
import json

import pytest

from tests.support.client import CHAT, ask, connect, request
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, always, chat, http, scripted

BODY = json.dumps(CHAT).encode()
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"

SMUGGLING = {
    "a length and chunks": b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths that differ": b"content-length: 4\r\ncontent-length: 5\r\n\r\nabcd",
    "a coding other than chunked": b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "identity": b"transfer-encoding: identity\r\n\r\n",
    "a folded header": b"x-a: 1\r\n 2\r\ncontent-length: 0\r\n\r\n",
    "a bare line feed": b"x-a: 1\ncontent-length: 0\r\n\r\n",
    "a bare carriage return": b"x-a: 1\rx-b: 2\r\ncontent-length: 0\r\n\r\n",
    "a space before the colon": b"content-length : 4\r\n\r\nabcd",
    "a negative length": b"content-length: -4\r\n\r\nabcd",
    "a length with a plus": b"content-length: +4\r\n\r\nabcd",
    "a chunk size of letters": b"transfer-encoding: chunked\r\n\r\nxyz\r\n",
    "two hosts": b"host: y\r\ncontent-length: 0\r\n\r\n",
    "a NUL in a value": b"x-a: a\0b\r\ncontent-length: 0\r\n\r\n",
}


@pytest.mark.parametrize("what", SMUGGLING)
@bounded()
async def test_ambiguous_framing_is_refused_and_the_connection_closed(what):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            client = await connect(proxy.port)
            await client.send(POST + SMUGGLING[what])
            reply = await client.reply()
            assert reply.status == 400
            assert reply.error["type"] == "invalid_request_error"
            assert reply.header("connection") == "close"
            assert await client.at_end()
            assert not vendor.received


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /livez\r\n\r\n", 505),
        (b"GET /livez HTTP/2.0\r\nhost: x\r\n\r\n", 505),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
    ],
)
@bounded()
async def test_versions_and_hosts_are_checked(line, status):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            client = await connect(proxy.port)
            await client.send(line)
            assert (await client.reply()).status == status


@bounded()
async def test_requests_on_one_connection_are_answered_in_order_even_when_pipelined():
    def slow_first(received, number):
        return [0.2 if number == 1 else 0, http(chat(str(number)))]

    async with scripted(slow_first) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            client = await connect(proxy.port)
            livez = request("/livez", method="GET")
            await client.send(request(body=CHAT) + livez + request(body=CHAT) + request(body=CHAT))
            replies = [await client.reply() for _ in range(4)]
            assert [reply.status for reply in replies] == [200] * 4
            texts = [
                r.json["choices"][0]["message"]["content"] for r in replies if b"choi" in r.body
            ]
            assert texts == ["1", "2", "3"]
            assert replies[1].json == {"status": "alive"}
            assert len({received.connection for received in vendor.received}) == 1


@bounded()
async def test_a_connection_is_kept_and_reused():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            client = await connect(proxy.port)
            for _ in range(5):
                await client.send(request(body=CHAT))
                assert (await client.reply()).status == 200
            await client.send(request(body=CHAT, headers=[("connection", "close")]))
            reply = await client.reply()
            assert reply.header("connection") == "close"
            assert await client.at_end()


@bounded()
async def test_an_http_1_0_client_gets_a_plain_answer_and_the_end():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            client = await connect(proxy.port)
            head = POST.replace(b"HTTP/1.1", b"HTTP/1.0")
            await client.send(head + b"content-length: %d\r\n\r\n" % len(BODY) + BODY)
            reply = await client.reply()
            assert reply.json == chat("good")
            assert reply.header("transfer-encoding") is None
            assert await client.at_end()


@bounded()
async def test_a_client_that_expects_100_continue_gets_it():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            client = await connect(proxy.port)
            await client.send(
                POST + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY)
            )
            assert (await client.head())[0] == 100
            await client.send(BODY)
            assert (await client.reply()).status == 200
            assert vendor.received[0].header("expect") is None


@bounded()
async def test_a_body_that_is_too_large_is_refused_before_it_is_read():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor, max_body_bytes=2000)) as proxy:
            client = await connect(proxy.port)
            await client.send(POST + b"expect: 100-continue\r\ncontent-length: 5000\r\n\r\n")
            reply = await client.reply()
            assert reply.status == 413
            assert "2000" in reply.error["message"]
            assert not vendor.received


@bounded()
async def test_after_a_refused_body_its_connection_is_still_usable():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor, max_body_bytes=2000)) as proxy:
            client = await connect(proxy.port)
            await client.send(request(body=b"x" * 300_000))
            assert (await client.reply()).status == 413
            await client.send(request(body=CHAT))
            assert (await client.reply()).status == 200
            chunks = b"".join(b"%x\r\n%b\r\n" % (500, b"y" * 500) for _ in range(100))
            await client.send(POST + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
            assert (await client.reply()).status == 413
            await client.send(request(body=CHAT))
            assert (await client.reply()).status == 200


@bounded()
async def test_a_head_that_is_too_large_is_refused():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor, max_header_bytes=4096)) as proxy:
            for pieces in (1, 20):
                client = await connect(proxy.port)
                wire = POST + b"x: " + b"a" * 8000
                for i in range(0, len(wire), len(wire) // pieces):
                    await client.send(wire[i : i + len(wire) // pieces])
                await client.send(b"\r\ncontent-length: 0\r\n\r\n")
                assert (await client.reply()).status == 431


@bounded()
async def test_a_connection_without_a_complete_head_times_out():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor, timeouts={"header_s": 0.3})) as proxy:
            client = await connect(proxy.port)
            assert await client.at_end(), "a connection without a request"
            client = await connect(proxy.port)
            for byte in POST:
                await client.send(bytes([byte]))
                await asyncio.sleep(0.005)
                if client.reader._buffer:
                    break
            reply = await client.reply()
            assert reply.status == 408


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=XX"])
@bounded()
async def test_a_body_that_stops_arriving_is_answered_with_408(kind):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor, timeouts={"body_progress_s": 0.3})) as proxy:
            client = await connect(proxy.port)
            head = request(
                headers=[("content-type", kind), ("content-length", "500")], framed=False
            )
            await client.send(head + b"--XX\r\n")
            reply = await client.reply()
            assert reply.status == 408
            assert "0.3 s" in reply.error["message"]
            assert not vendor.received


@pytest.mark.clock
@bounded()
async def test_an_idle_connection_is_closed():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor, timeouts={"keep_alive_s": 0.3})) as proxy:
            client = await connect(proxy.port)
            await client.send(request(body=CHAT))
            await client.reply()
            began_at = asyncio.get_running_loop().time()
            assert await client.at_end()
            assert 0.2 < asyncio.get_running_loop().time() - began_at < 2


@bounded()
async def test_part_of_the_next_request_may_arrive_while_the_first_is_answered():
    async with scripted(always(0.3, http(chat("slow")))) as vendor:
        async with serve_proxy(group_of(vendor, timeouts={"header_s": 0.1})) as proxy:
            client = await connect(proxy.port)
            second = request(body=CHAT)
            await client.send(request(body=CHAT) + second[:20])
            assert (await client.reply()).status == 200
            await client.send(second[20:])
            assert (await client.reply()).status == 200


@pytest.mark.parametrize(("upgrade", "method"), [("h2c", "GET"), ("websocket", "POST")])
@bounded()
async def test_an_upgrade_is_refused_with_501(upgrade, method):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            client = await connect(proxy.port)
            headers = [("connection", "upgrade"), ("upgrade", upgrade)]
            await client.send(request("/v1/realtime?model=x", method=method, headers=headers))
            reply = await client.reply()
            assert reply.status == 501
            assert reply.error["code"] == "upgrade_not_supported"


@bounded()
async def test_paths_and_methods_are_checked_before_any_endpoint_is_asked():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            for path in ("/nowhere", "/v2/x", "/favicon"):
                reply = await ask(proxy.port, path, method="GET")
                assert reply.status == 404, path
                assert set(reply.error) == {"message", "type", "param", "code"}
            reply = await ask(proxy.port, "/v1/embeddings", method="GET")
            assert reply.status == 405
            reply = await ask(proxy.port, "/v1/chat/completions", method="OPTIONS")
            assert reply.status == 204
            assert "POST" in reply.header("allow")
            for path in (
                "/v1/models",
                "/models",
                "/openai/v1/models",
                "/openai/models?api-version=1",
            ):
                reply = await ask(proxy.port, path, method="GET")
                assert [model["id"] for model in reply.json["data"]] == ["gpt-4.1"], path
            assert (await ask(proxy.port, "/v1/models/gpt-4.1", method="GET")).json[
                "id"
            ] == "gpt-4.1"
            assert (await ask(proxy.port, "/v1/models/no", method="GET")).status == 404
            client = await connect(proxy.port)
            await client.send(request("/v1/models", method="HEAD"))
            reply = await client.reply(head_only=True)
            assert reply.status == 200
            assert int(reply.header("content-length")) > 0
            assert not vendor.received


@bounded()
async def test_the_admin_application_is_served_by_the_same_server():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            for path in ("/livez", "/readyz", "/health", "/docs", "/openapi.json", "/"):
                assert (await ask(proxy.port, path, method="GET")).status == 200, path
            health = (await ask(proxy.port, "/health", method="GET")).json
            assert health["status"] == "ok"
            assert health["endpoints"][0]["endpoint"] == "e0"
            assert "sk-" not in json.dumps(health)


@bounded()
async def test_a_shutdown_lets_calls_finish_and_announces_itself():
    go_on = asyncio.Event()

    def answer(received, number):
        while not go_on.is_set():
            yield 0.01
        yield http(chat("late"))

    async with scripted(answer) as vendor:
        config = group_of(vendor, drain_delay_s=0.4, drain_timeout_s=5, timeouts={})
        async with serve_proxy(config) as proxy:
            client, idle = await connect(proxy.port), await connect(proxy.port)
            await client.send(request(body=CHAT))
            while not vendor.received:
                await asyncio.sleep(0.01)
            proxy.server.should_exit = True
            while not proxy.app.live.draining:
                await asyncio.sleep(0.01)
            assert (await ask(proxy.port, "/readyz", method="GET")).status == 503
            assert await idle.at_end()
            go_on.set()
            reply = await client.reply()
            assert reply.json == chat("late")
            assert reply.header("connection") == "close"


@bounded()
async def test_a_stream_that_outlasts_the_shutdown_ends_with_an_error_event():
    from tests.support.client import STREAM
    from tests.support.vendor import chunk, delta, sse_head

    async with scripted(always(sse_head(), chunk(delta("a")), "hang")) as vendor:
        async with serve_proxy(group_of(vendor, drain_timeout_s=0.3, timeouts={})) as proxy:
            client = await connect(proxy.port)
            await client.send(request(body=STREAM))
            await client.head()
            assert await client.chunk() == delta("a")
            proxy.server.should_exit = True
            error = await client.chunk()
            assert b"shutting down" in error
            assert await client.chunk() == b""


@bounded()
async def test_a_call_that_is_unanswered_at_the_end_of_the_shutdown_gets_503():
    async with scripted(always("hang")) as vendor:
        async with serve_proxy(group_of(vendor, drain_timeout_s=0.3, timeouts={})) as proxy:
            client = await connect(proxy.port)
            await client.send(request(body=CHAT))
            while not vendor.received:
                await asyncio.sleep(0.01)
            proxy.server.should_exit = True
            reply = await client.reply()
            assert (reply.status, reply.error["code"]) == (503, "proxy_shutting_down")
            assert proxy.events.calls[-1].record.answer.error == "proxy_shutting_down"

"""Requests that scanners and broken clients send: refused in one line, without a traceback."""

import json

import pytest

from tests.support.client import CHAT, ask, connect
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted

BODY = json.dumps(CHAT).encode()
POST = b"POST /v1/chat/completions "
CHAT_HEAD = b"host: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(BODY)


async def answer_to(proxy, raw):
    """The status of the answer to raw bytes."""
    connection = await connect(proxy.port)
    await connection.send(raw)
    return (await connection.reply()).status


@pytest.mark.parametrize(
    "raw",
    [
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: 127.0.0.1:22\r\n\r\n",
        b"CONNECT [::1]:22 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET http:///v1/models HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /admin/state HTTP/1.1\r\nhost: [::1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: a b\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x:port\r\n\r\n",
        POST + b"RTSP/1.0\r\n" + CHAT_HEAD + b"\r\n" + BODY,
        POST + b"RTSP/1.1\r\n" + CHAT_HEAD + b"\r\n" + BODY,
        b"\r\n" + POST + b"RTSP/1.0\r\n" + CHAT_HEAD + b"\r\n" + BODY,
        b"GET /v1/models ICE/1.0\r\nhost: x\r\n\r\n",
    ],
)
@bounded()
async def test_it_gets_a_400_and_no_traceback(raw, caplog):
    async with scripted(always(http(chat("hi")))) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            assert await answer_to(proxy, raw) == 400
            assert vendor.received == []
    assert "Traceback" not in caplog.text
    assert "bug" not in caplog.text


@pytest.mark.parametrize("host", ["x", "[::1]:4000", "127.0.0.1:4000", "a_b.example:80", "x:"])
@bounded()
async def test_hosts_that_exist_are_served(host):
    async with scripted(always(http(chat("hi")))) as vendor:
        async with serve_proxy(group_of(vendor, allowed_hosts=["x", "a_b.example"])) as proxy:
            raw = f"GET /livez HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
            assert await answer_to(proxy, raw) == 200


@bounded()
async def test_a_request_line_that_arrives_in_pieces_is_read_as_whole():
    async with scripted(always(http(chat("hi")))) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            for protocol, status in ((b"RTSP/1.0", 400), (b"HTTP/1.1", 200)):
                connection = await connect(proxy.port)
                for piece in (b"GET /li", b"vez ", protocol[:3], protocol[3:] + b"\r\nhost: x\r\n"):
                    await connection.send(piece)
                await connection.send(b"\r\n")
                assert (await connection.reply()).status == status


@bounded()
async def test_a_client_of_http_1_0_gets_no_100():
    async with scripted(always(http(chat("hi")))) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            for version, first in ((b"HTTP/1.0", b"HTTP/1.1 200"), (b"HTTP/1.1", b"HTTP/1.1 100")):
                connection = await connect(proxy.port)
                head = CHAT_HEAD + b"expect: 100-continue\r\n\r\n"
                await connection.send(POST + version + b"\r\n" + head)
                if version == b"HTTP/1.0":
                    await connection.send(BODY)
                assert (await connection.reader.readline()).startswith(first)


@bounded()
async def test_a_key_that_is_not_utf_8_is_no_fault_of_ours(caplog):
    body = b'{"\xb8\\u0020":5,"mod\\u0065l":"gpt-4.1","messages":[]}'
    async with scripted(always(http(chat("hi")))) as vendor:
        config = group_of(vendor)
        config["model_groups"][0]["models"][0]["model"] = "another-name"
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=body)

    assert reply.status in (200, 400)
    assert "Traceback" not in caplog.text


@bounded()
async def test_a_login_with_a_lone_surrogate_is_a_wrong_key(caplog):
    async with scripted(always(http(chat("hi")))) as vendor:
        async with serve_proxy(group_of(vendor, admin_key="the-admin-key")) as proxy:
            body = b'{"key":"\\ud83d"}'
            reply = await ask(proxy.port, method="POST", path="/admin/login", body=body)

    assert reply.status in (400, 401, 422)
    assert "Traceback" not in caplog.text


@bounded()
async def test_control_bytes_of_a_client_reach_no_log():
    odd = b"a\x9b31mb\x90c\x9d"
    async with scripted(always(http({"error": {}}, status=500))) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            connection = await connect(proxy.port)
            head = POST + b"HTTP/1.1\r\n" + CHAT_HEAD + b"x-request-id: " + odd + b"\r\n\r\n"
            await connection.send(head + BODY)
            await connection.reply()
            assert proxy.events.calls[-1].record.request.id == "a?31mb?c?"


STAYS_HERE = [
    *("cf-connecting-ip", "cf-ipcountry", "referer", "origin", "x-amzn-trace-id"),
    *("x-goog-user-project", "sec-fetch-mode", "x-azure-clientip", "x-cloud-trace-context"),
    "x-envoy-external-address",
]


@bounded()
async def test_where_a_client_is_and_came_from_stays_here():
    async with scripted(always(http(chat("hi")))) as vendor:
        async with serve_proxy(group_of(vendor, callers=[{"name": "t", "key": "k1"}])) as proxy:
            headers = [(name, "a value") for name in STAYS_HERE]
            headers += [("authorization", "Bearer k1"), ("http-referer", "stays"), ("x-own", "y")]
            reply = await ask(proxy.port, body=CHAT, headers=headers)

    assert reply.status == 200
    (received,) = vendor.received
    assert [name for name in STAYS_HERE if received.header(name)] == []
    assert received.header("http-referer") == "stays"
    assert received.header("x-own") == "y"

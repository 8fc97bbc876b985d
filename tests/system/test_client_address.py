"""The client's address in logs, the audit and limits, behind proxies that are trusted or not."""

import asyncio
import signal
import socket
import struct

import pytest

from tests.support.certificates import Authority
from tests.support.client import CHAT, Connection, request
from tests.support.process import running
from tests.support.proxy import config_for
from tests.support.proxy_header import v2
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted

V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 51234 443\r\n"


async def said(port, *pieces, ssl=None, header=b"", pause_s=0.0):
    """Send pieces on a connection of its own; return the reply, None if it is closed without one.

    `header`: sent before TLS.
    """
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", port))
    for piece in [header[:9], header[9:]] if pause_s else [header]:
        await loop.sock_sendall(sock, piece)
        await asyncio.sleep(pause_s)
    options = {} if ssl is None else {"ssl": ssl, "server_hostname": "localhost"}
    connection = Connection(*await asyncio.open_connection(sock=sock, **options))
    try:
        for piece in pieces:
            await connection.send(piece)
            await asyncio.sleep(pause_s)
        return await asyncio.wait_for(connection.reply(), 30)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    finally:
        connection.leave()


def settings(vendor, **more):
    return config_for(vendor.base_url, log_format="json", **more)


@pytest.mark.parametrize("header", [V1, v2("203.0.113.7", "198.51.100.1")], ids=["v1", "v2"])
@pytest.mark.parametrize("pause_s", [0.0, 0.05], ids=["whole", "in pieces"])
@pytest.mark.parametrize("workers", ["1", "2"])
@bounded()
async def test_a_load_balancer_names_the_client(tmp_path, header, pause_s, workers):
    async with scripted(always(http(chat("hello")))) as vendor:
        config = settings(vendor, proxy_protocol=["127.0.0.0/8"])
        arguments = ("serve", "--port", "0", "--workers", workers)
        async with running(tmp_path, *arguments, config=config) as proxy:
            reply = await said(proxy.port, request(body=CHAT), header=header, pause_s=pause_s)
            assert reply.json == chat("hello")
            (call,) = await proxy.logged(1)
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0
    assert call["client"] == "203.0.113.7"


@bounded()
async def test_the_header_comes_before_tls(tmp_path):
    authority = Authority(tmp_path)
    pair = authority.pair("localhost", "localhost")
    tls = {"cert": str(pair[0]), "key": str(pair[1])}
    async with scripted(always(http(chat("hello")))) as vendor:
        config = settings(vendor, proxy_protocol=["127.0.0.1"], tls=tls)
        async with running(tmp_path, config=config) as proxy:
            context = authority.client_context()
            reply = await said(proxy.port, request(body=CHAT), header=V1, ssl=context)
            assert reply.json == chat("hello")
            (call,) = await proxy.logged(1)
    assert call["client"] == "203.0.113.7"


@bounded()
async def test_an_untrusted_peer_is_no_load_balancer(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor:
        config = settings(vendor, proxy_protocol=["10.0.0.0/8"], forwarded_allow_ips=["10.0.0.1"])
        async with running(tmp_path, config=config) as proxy:
            assert (await said(proxy.port, V1 + request(body=CHAT))).status == 400
            forged = [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=203.0.113.7")]
            reply = await said(proxy.port, request(body=CHAT, headers=forged))
            assert reply.status == 200
            (call,) = await proxy.logged(1)
    assert call["client"] == "127.0.0.1"


@bounded()
async def test_a_load_balancer_that_sends_no_header_is_told_of_and_others_are_served(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor:
        config = settings(vendor, proxy_protocol=["127.0.0.1"])
        async with running(tmp_path, config=config) as proxy:
            waiting = socket.create_connection(("127.0.0.1", proxy.port))  # says nothing
            assert await said(proxy.port, request(body=CHAT)) is None
            assert await said(proxy.port, header=b"PROXY TCP4 a b c d\r\n") is None
            reset = socket.create_connection(("127.0.0.1", proxy.port))
            reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reset.close()
            reply = await said(proxy.port, request(body=CHAT), header=b"PROXY UNKNOWN\r\n")
            assert reply.status == 200
            waiting.close()
            (call,) = await proxy.logged(1)
    assert call["client"] == "127.0.0.1"
    assert "The PROXY header of a connection from 127.0.0.1 failed: it begins with" in proxy.stderr
    assert "Traceback" not in proxy.stderr


@bounded()
async def test_a_trusted_proxy_names_the_client_of_each_request(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor:
        config = settings(vendor, forwarded_allow_ips=["127.0.0.1"])
        async with running(tmp_path, config=config) as proxy:
            connection = Connection(*await asyncio.open_connection("127.0.0.1", proxy.port))
            for address in ("203.0.113.7", "198.51.100.9", None):
                headers = [("x-forwarded-for", f"1.1.1.1, {address}")] if address else []
                await connection.send(request(body=CHAT, headers=headers))
                assert (await connection.reply()).status == 200
            connection.leave()
            calls = await proxy.logged(3)
    assert [call["client"] for call in calls] == ["203.0.113.7", "198.51.100.9", "127.0.0.1"]


@bounded()
async def test_wrong_keys_are_counted_by_client_not_by_proxy(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor:
        config = settings(
            vendor, forwarded_allow_ips=["127.0.0.1"], admin_key="sk-admin-0123456789"
        )
        async with running(tmp_path, config=config) as proxy:

            async def state(address, key):
                headers = [("x-forwarded-for", address), ("authorization", f"Bearer {key}")]
                sent = request("/admin/state", method="GET", headers=headers)
                return (await said(proxy.port, sent)).status

            guesses = [await state("203.0.113.7", f"guess-{number}") for number in range(9)]
            assert guesses[-1] == 429
            assert await state("198.51.100.9", "sk-admin-0123456789") == 200
            assert "from 203.0.113.7" in proxy.stderr


@bounded()
async def test_nobody_becomes_a_program_of_this_machine_by_a_header(tmp_path):
    """While nobody has a key for /admin, it answers to this machine only."""
    async with scripted(always(http(chat("hello")))) as vendor:
        config = settings(vendor, proxy_protocol=["127.0.0.1"], forwarded_allow_ips=["127.0.0.1"])
        async with running(tmp_path, config=config) as proxy:
            sent = request("/admin/state", method="GET", host=f"127.0.0.1:{proxy.port}")
            local = await said(proxy.port, sent, header=b"PROXY UNKNOWN\r\n")
            outside = await said(proxy.port, sent, header=V1)
            claimed = request(
                "/admin/state", method="GET", host=f"127.0.0.1:{proxy.port}",
                headers=[("x-forwarded-for", "127.0.0.1")],
            )  # fmt: skip
            forged = await said(proxy.port, claimed, header=V1)
    assert (local.status, outside.status, forged.status) == (200, 403, 403)


@bounded()
async def test_the_trusted_proxies_change_with_the_config(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor:
        config = settings(vendor, forwarded_allow_ips=["10.0.0.1"])
        async with running(tmp_path, config=config) as proxy:
            headers = [("x-forwarded-for", "203.0.113.7")]
            await said(proxy.port, request(body=CHAT, headers=headers))
            file = proxy.folder / "config.yaml"
            file.write_text(file.read_text().replace("10.0.0.1", "127.0.0.1"))
            count = 1
            async with asyncio.timeout(30):
                while True:
                    await said(proxy.port, request(body=CHAT, headers=headers))
                    count += 1
                    if (await proxy.logged(count))[-1]["client"] == "203.0.113.7":
                        break
                    await asyncio.sleep(0.1)
            assert proxy.calls[0]["client"] == "127.0.0.1"

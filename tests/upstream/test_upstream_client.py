"""The upstream client over real sockets: pooling, timeouts, TLS, name lookup."""

import asyncio
import socket
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.resolver import CachingResolver
from llmproxy.calls import Outgoing
from llmproxy.config import Timeouts
from llmproxy.errors import ConnectFailed, TimedOut, UpstreamFailed
from llmproxy.providers import endpoints_of
from llmproxy.upstream import UpstreamClient
from tests.support.certificates import Authority
from tests.support.run import bounded
from tests.support.vendor import always, http, scripted
from tests.support.waiting import until

POST = Outgoing(b"POST", b"/v1/x", b"host: h\r\n", b"{}")
OK = http({"ok": True})


def endpoint_at(base_url):
    text = f"model_groups: [{{model_group: g, models: [{{params: {{base_url: '{base_url}'}}}}]}}]"
    return endpoints_of(parse_config(text, {}, file="x"))["g"][0]


@asynccontextmanager
async def client_of(*, resolver=None, tls=None, max_connections=100, **timeouts):
    client = UpstreamClient(
        Timeouts(**timeouts),
        resolver=resolver,
        tls=tls,
        max_connections=max_connections,
    )
    try:
        yield client
    finally:
        client.close()
        await asyncio.sleep(0)


async def ask(client, vendor, outgoing=POST, *, within=5, base_url=None):
    """Send a request and return the status and the whole body."""
    until = monotonic() + within
    endpoint = endpoint_at(base_url or vendor.base_url)
    response = await client.send(endpoint, outgoing, until=until)
    try:
        body = b""
        while chunk := await response.chunk(until):
            body += chunk
        return response.status, body
    finally:
        response.close()


@bounded()
async def test_connections_are_kept_and_the_newest_is_used_first():
    async with scripted(always(0.02, OK)) as vendor, client_of() as client:
        await asyncio.gather(*(ask(client, vendor) for _ in range(3)))
        assert vendor.connections == 3
        for _ in range(5):
            await ask(client, vendor)
        assert vendor.connections == 3
        assert len({received.connection for received in vendor.received[3:]}) == 1


@bounded()
async def test_an_idle_connection_expires():
    async with scripted(always(OK)) as vendor, client_of(upstream_idle_s=0.1) as client:
        await ask(client, vendor)
        assert client.open_connections == 1
        await until(lambda: client.open_connections == 0)


@pytest.mark.clock
@bounded()
async def test_calls_above_the_cap_wait_in_order_and_time_out():
    async with scripted(always(0.1, OK)) as vendor:
        async with client_of(max_connections=2) as client:
            began_at = monotonic()
            results = await asyncio.gather(*(ask(client, vendor) for _ in range(6)))
            assert [status for status, _ in results] == [200] * 6
            assert vendor.connections == 2
            assert 0.28 < monotonic() - began_at < 1
        async with client_of(max_connections=1, pool_s=0.05) as client:
            first = asyncio.ensure_future(ask(client, vendor))
            await asyncio.sleep(0.01)
            with pytest.raises(TimedOut) as caught:
                await ask(client, vendor)
            assert caught.value.phase == "pool"
            assert "all 1 connections were busy: half of the files" in str(caught.value)
            assert not caught.value.sent
            assert (await first)[0] == 200


@bounded()
async def test_a_cancelled_waiter_passes_its_connection_on():
    async with scripted(always(0.05, OK)) as vendor, client_of(max_connections=1) as client:
        first = asyncio.ensure_future(ask(client, vendor))
        await asyncio.sleep(0.01)
        second = asyncio.ensure_future(ask(client, vendor))
        third = asyncio.ensure_future(ask(client, vendor))
        await asyncio.sleep(0.01)
        second.cancel()
        assert (await first)[0] == (await third)[0] == 200


@bounded()
async def test_a_call_that_must_not_be_sent_twice_gets_a_fresh_connection():
    async with scripted(always(OK)) as vendor, client_of() as client:
        await ask(client, vendor)
        await ask(client, vendor, Outgoing(b"POST", b"/", b"host: h\r\n", b"{}", fresh=True))
        assert vendor.connections == 2


@bounded()
async def test_a_stale_connection_is_replaced_silently_and_the_other_kept_ones_are_dropped():
    closing = False

    def answer(received, number):
        return ["close"] if closing and received.connection <= 3 else [0.02, OK]

    async with scripted(answer) as vendor, client_of() as client:
        await asyncio.gather(*(ask(client, vendor) for _ in range(3)))
        closing = True
        assert (await ask(client, vendor))[0] == 200
        assert vendor.connections == 4
        assert client.open_connections == 1


@bounded()
async def test_a_kept_connection_that_closes_after_some_work_is_a_failure_of_the_endpoint():
    def works_then_closes(received, number):
        return [OK] if number == 1 else [0.4, "close"]

    async with scripted(works_then_closes) as vendor, client_of() as client:
        await ask(client, vendor)
        with pytest.raises(UpstreamFailed) as caught:
            await ask(client, vendor)
        assert caught.value.sent
        assert len(vendor.received) == 2


@bounded()
async def test_a_kept_connection_that_closes_before_the_body_was_written_is_replaced():
    large = Outgoing(b"POST", b"/v1/x", b"host: h\r\n", b"x" * 30_000_000)
    asked = 0

    async def converse(reader, writer):
        nonlocal asked
        while head := await reader.readuntil(b"\r\n\r\n"):
            asked += 1
            if asked == 2:  # it reads nothing of the body
                await asyncio.sleep(0.4)
                writer.transport.abort()
                return
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
            await reader.readexactly(length)
            writer.write(OK)

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with client_of() as client:
        await ask(client, None, base_url=base_url)
        assert await ask(client, None, large, base_url=base_url) == (200, b'{"ok": true}')
    server.close()
    assert asked == 3


@bounded()
async def test_a_fresh_connection_that_dies_is_a_failure():
    async with scripted(always("close")) as vendor, client_of() as client:
        with pytest.raises(UpstreamFailed):
            await ask(client, vendor)
        assert len(vendor.received) == 1


@bounded()
async def test_cancelling_closes_the_connection():
    async with scripted(always("hang")) as vendor, client_of() as client:
        call = asyncio.ensure_future(ask(client, vendor))
        while not vendor.received:
            await asyncio.sleep(0.01)
        call.cancel()
        while vendor.received[0].gone_at is None:
            await asyncio.sleep(0.01)
        assert client.open_connections == 0


@bounded()
async def test_informational_answers_are_skipped_and_the_end_of_the_connection_ends_a_body():
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    plain = http(b"all of it", framed=False)
    async with scripted(always(early + plain, "close")) as vendor, client_of() as client:
        assert await ask(client, vendor) == (200, b"all of it")


@bounded()
async def test_a_timeout_names_its_phase():
    async with scripted(always("hang")) as vendor, client_of() as client:
        with pytest.raises(TimedOut) as caught:
            await ask(client, vendor, within=0.2)
        assert caught.value.phase == "first byte"
    async with scripted(always(OK[:-3], "hang")) as vendor, client_of() as client:
        with pytest.raises(TimedOut) as caught:
            await ask(client, vendor, within=0.2)
        assert caught.value.phase == "idle"


@bounded()
async def test_connections_that_are_refused_or_never_accepted_are_connect_failures():
    async with client_of(connect_s=0.2) as client:
        with pytest.raises(ConnectFailed) as caught:
            await ask(client, None, base_url="http://127.0.0.1:9/v1")
        assert "cannot connect to 127.0.0.1:9" in str(caught.value)
        full = socket.create_server(("127.0.0.1", 0), backlog=0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with pytest.raises(ConnectFailed) as caught:
            await ask(client, None, base_url=f"http://127.0.0.1:{port}/v1")
        assert "no connection" in str(caught.value)
        for sock in (*fillers, full):
            sock.close()


@bounded()
async def test_tls_checks_the_certificate(tmp_path):
    authority, stranger = Authority(tmp_path), Authority(tmp_path)
    context = authority.server_context("127.0.0.1")
    async with scripted(always(OK), tls=context) as vendor:
        url = vendor.base_url.replace("http:", "https:")
        async with client_of(tls=authority.client_context()) as client:
            assert (await ask(client, vendor, base_url=url))[0] == 200
        async with client_of(tls=stranger.client_context()) as client:
            with pytest.raises(ConnectFailed, match="not trusted"):
                await ask(client, vendor, base_url=url)
    for names, expired in ((["elsewhere.test"], False), (["127.0.0.1"], True)):
        context = authority.server_context(*names, expired=expired)
        async with scripted(always(OK), tls=context) as vendor:
            url = vendor.base_url.replace("http:", "https:")
            async with client_of(tls=authority.client_context()) as client:
                with pytest.raises(ConnectFailed, match="not trusted"):
                    await ask(client, vendor, base_url=url)
                assert not vendor.received


@bounded()
async def test_a_name_is_looked_up_once_and_all_its_addresses_are_tried():
    looked_up = []

    def lookup(host, port):
        looked_up.append(host)
        return ["127.0.0.9", "127.0.0.1"]  # nothing listens on the first

    async with scripted(always(OK, "close")) as vendor:
        async with client_of(resolver=CachingResolver(lookup)) as client:
            url = f"http://some.test:{vendor.port}/v1"
            for _ in range(3):
                assert (await ask(client, vendor, base_url=url))[0] == 200
            assert looked_up == ["some.test"]


@bounded()
async def test_a_name_that_cannot_be_resolved_is_a_connect_failure():
    def lookup(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    async with client_of(resolver=CachingResolver(lookup)) as client:
        with pytest.raises(ConnectFailed, match=r"cannot resolve 'nowhere\.test'"):
            await ask(client, None, base_url="http://nowhere.test/v1")


@bounded()
async def test_without_a_resolver_the_system_is_asked():
    async with scripted(always(OK)) as vendor, client_of() as client:
        url = f"http://localhost:{vendor.port}/v1"
        assert (await ask(client, vendor, base_url=url))[0] == 200

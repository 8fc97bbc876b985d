"""Sessions with an endpoint that is reached by TLS, and with clients of our own TLS."""

import signal

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import BINARY, Frame

from tests.support.certificates import Authority
from tests.support.process import running
from tests.support.proxy import config_for
from tests.support.run import bounded
from tests.support.tls import config_with_tls
from tests.websockets.frames import bare, echoing, raw_session
from tests.websockets.realtime import realtime_vendor


@bounded()
async def test_a_session_with_an_https_endpoint(tmp_path):
    authority = Authority(tmp_path)
    (tmp_path / "authority.pem").write_text(authority.pem)
    async with echoing(tls=authority.server_context("localhost")) as vendor:
        params = {"base_url": f"https://localhost:{vendor.port}/v1", "api_key": "sk-upstream"}
        config = config_for({"name": "e0", "params": params})
        environ = {"SSL_CERT_FILE": str(tmp_path / "authority.pem")}
        async with running(tmp_path, config=config, environ=environ) as proxy:
            async with raw_session(proxy.port) as session:
                frame = Frame(BINARY, b"x" * 300_000)
                for _ in range(3):
                    await session.send(frame)
                    assert bare(await session.event()) == bare(frame)
                await session.close(1000, "done")
            (call,) = await proxy.logged(1)
    assert (call["status"], call["close_code"]) == (101, 1000)
    assert vendor.closes == [(1000, "done")]


@bounded()
async def test_a_session_of_a_client_by_our_own_tls(tmp_path):
    authority = Authority(tmp_path)
    async with realtime_vendor() as vendor:
        config = config_with_tls(vendor, authority.pair("localhost", "localhost"))
        async with running(tmp_path, "serve", "--port", "0", config=config) as proxy:
            address = f"wss://localhost:{proxy.port}/v1/realtime?model=gpt-4.1"
            async with connect(address, ssl=authority.client_context()) as session:
                assert "session.created" in await session.recv()
                await session.send(
                    '{"type": "response.create", "event_id": "%s"}' % ("x" * 300_000)
                )
                while "response.done" not in await session.recv():
                    pass
                proxy.signal(signal.SIGTERM)
                with pytest.raises(ConnectionClosed) as closed:
                    while True:
                        await session.recv()
            assert await proxy.ended() == 0
    assert closed.value.rcvd.code in (1001, 1012)

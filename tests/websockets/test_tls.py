"""An endpoint that is reached by TLS."""

from websockets.frames import BINARY, Frame

from tests.support.certificates import Authority
from tests.support.process import running
from tests.support.proxy import config_for
from tests.support.run import bounded
from tests.websockets.frames import bare, echoing, raw_session


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

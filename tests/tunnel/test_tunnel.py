"""Https endpoints behind a proxy, over real sockets."""

import asyncio
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.tunnel import ProxyTunnels
from llmproxy.batteries.tunnel.connect import proxy_for
from llmproxy.calls import Outgoing
from llmproxy.config import Timeouts
from llmproxy.errors import ConnectFailed
from llmproxy.providers import endpoints_of
from llmproxy.upstream import UpstreamClient
from tests.support.certificates import Authority
from tests.support.run import bounded
from tests.support.vendor import always, http, scripted

POST = Outgoing(b"POST", b"/v1/x", b"host: h\r\n", b"{}")
OK = http({"ok": True})


async def status_of(base_url, environ, tls):
    """Send a request through the proxy of an environment, and return the status."""
    text = f"model_groups: [{{model_group: g, models: [{{params: {{base_url: '{base_url}'}}}}]}}]"
    (endpoint,) = endpoints_of(parse_config(text, {}, file="x"))["g"]
    client = UpstreamClient(Timeouts(), tunnels=ProxyTunnels(environ), tls=tls)
    try:
        return (await client.send(endpoint, POST, until=monotonic() + 5)).status
    finally:
        client.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def tunnel(answer=b"HTTP/1.1 200 Connection established\r\n\r\n"):
    """A CONNECT proxy; yields its port and the list of request heads that it receives."""
    heads = []

    async def serve(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if b" 200 " in answer:
            port = int(heads[-1].split(b" ")[1].rsplit(b":")[-1])
            from_origin, to_origin = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.wait(
                [
                    asyncio.ensure_future(_copy(reader, to_origin)),
                    asyncio.ensure_future(_copy(from_origin, writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
            to_origin.close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], heads
    server.close()


async def _copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)


@bounded()
async def test_an_https_origin_is_reached_by_connect_through_a_proxy(tmp_path):
    authority = Authority(tmp_path)
    async with scripted(always(OK), tls=authority.server_context("origin.test")) as vendor:
        url = f"https://origin.test:{vendor.port}/v1"
        trust = authority.client_context()
        async with tunnel() as (port, heads):
            environ = {"HTTPS_PROXY": f"http://user:p%40ss@127.0.0.1:{port}"}
            assert (await status_of(url, environ, trust)) == 200
            assert heads[0].startswith(b"CONNECT origin.test:%d HTTP/1.1\r\n" % vendor.port)
            assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in heads[0]
        async with tunnel(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as (port, _):
            environ = {"https_proxy": f"127.0.0.1:{port}"}
            with pytest.raises(ConnectFailed, match="407"):
                await status_of(url, environ, trust)


@bounded()
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense::::", "https_proxy names no host and port"),
        ("http://127.0.0.1:99999", "https_proxy names no host and port"),
        ("http://[::1", "https_proxy names no host and port"),
        ("http://", "https_proxy names no host and port"),
        ("http://user:secret@127.0.0.1:9", "the proxy 127.0.0.1:9: "),
        ("http://[::1]:9", r"the proxy \[::1\]:9: "),
        ("http://nowhere.invalid:9", "the proxy nowhere.invalid:9: "),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_named(url, words):
    with pytest.raises(ConnectFailed, match=words) as raised:
        await status_of("https://127.0.0.1:1", {"HTTPS_PROXY": url}, None)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("scheme", "host", "environ", "expected"),
    [
        ("https", "api.openai.com", {"HTTPS_PROXY": "http://p:1"}, "p"),
        ("https", "api.openai.com", {"https_proxy": "p:1"}, "p"),
        ("http", "api.openai.com", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https", "api.openai.com", {"HTTPS_PROXY": "p:1", "NO_PROXY": "openai.com"}, None),
        ("https", "api.openai.com", {"HTTPS_PROXY": "p:1", "no_proxy": "*"}, None),
        ("https", "api.openai.com", {"HTTPS_PROXY": "p:1", "NO_PROXY": "azure.com"}, "p"),
        ("https", "api.openai.com", {}, None),
    ],
)
def test_the_proxy_is_taken_from_the_usual_variables(scheme, host, environ, expected):
    proxy = proxy_for(scheme, host, environ)
    assert (proxy.hostname if proxy else None) == expected

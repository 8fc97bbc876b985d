"""TLS sessions with endpoints, over real sockets: what is resumed, and what is verified."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest
import uvloop

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.tls_sessions import LatestSessions
from llmproxy.calls import Outgoing
from llmproxy.config import Timeouts
from llmproxy.errors import ConnectFailed
from llmproxy.providers import endpoints_of
from llmproxy.upstream import UpstreamClient
from tests.support.certificates import Authority
from tests.support.run import bounded
from tests.support.vendor import always, http, scripted

FRESH = Outgoing(b"POST", b"/v1/x", b"host: h\r\n", b"{}", fresh=True)
HOUR_S = 3600
MOST_NAMES = 1000


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def endpoint_at(host, port):
    models = f"[{{params: {{base_url: 'https://{host}:{port}/v1'}}}}]"
    text = f"model_groups: [{{model_group: g, models: {models}}}]"
    return endpoints_of(parse_config(text, {}, file="x"))["g"][0]


@asynccontextmanager
async def client_of(tls, sessions):
    client = UpstreamClient(Timeouts(), tls=tls, sessions=sessions)
    try:
        yield client
    finally:
        client.close()
        await asyncio.sleep(0)


async def ask(client, port, host="127.0.0.1"):
    """Make a call on a new connection."""
    until = asyncio.get_running_loop().time() + 5
    response = await client.send(endpoint_at(host, port), FRESH, until=until)
    try:
        while await response.chunk(until):
            pass
    finally:
        response.close()


def resumed(context):
    """How many handshakes of a server were resumed."""
    return context.session_stats()["hits"]


def restarted_on(authority, *names, expired=False):
    return scripted(always(http({})), tls=authority.server_context(*names, expired=expired))


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_second_connection_resumes_the_session_of_the_first(tmp_path, loop, version):
    authority = Authority(tmp_path)
    context = authority.server_context("127.0.0.1")
    context.maximum_version = version

    async def twice():
        async with (
            scripted(always(http({})), tls=context) as vendor,
            client_of(authority.client_context(), LatestSessions()) as client,
        ):
            await ask(client, vendor.port)
            assert resumed(context) == 0
            await ask(client, vendor.port)
            await ask(client, vendor.port)
        return vendor.connections

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(twice()) == 3
    assert resumed(context) == 2


@bounded()
async def test_without_the_battery_every_handshake_is_whole(tmp_path):
    authority = Authority(tmp_path)
    context = authority.server_context("127.0.0.1")
    async with (
        scripted(always(http({})), tls=context) as vendor,
        client_of(authority.client_context(), None) as client,
    ):
        await ask(client, vendor.port)
        await ask(client, vendor.port)
    assert resumed(context) == 0


@bounded()
async def test_a_server_with_another_certificate_is_verified(tmp_path):
    authority, stranger = Authority(tmp_path), Authority(tmp_path)
    sessions = LatestSessions()
    async with client_of(authority.client_context(), sessions) as client:
        async with restarted_on(authority, "127.0.0.1") as vendor:
            await ask(client, vendor.port)
        for signer, name, expired in (
            (stranger, "127.0.0.1", False),
            (authority, "elsewhere.test", False),
            (authority, "127.0.0.1", True),
        ):
            async with restarted_on(signer, name, expired=expired) as vendor:
                with pytest.raises(ConnectFailed, match="not trusted"):
                    await ask(client, vendor.port)
                assert not vendor.received
        async with restarted_on(authority, "127.0.0.1") as vendor:
            await ask(client, vendor.port)


@bounded()
async def test_clients_with_other_settings_and_other_names_share_no_session(tmp_path):
    authority, stranger = Authority(tmp_path), Authority(tmp_path)
    context = authority.server_context("127.0.0.1", "localhost")
    sessions = LatestSessions()
    async with scripted(always(http({})), tls=context) as vendor:
        async with client_of(authority.client_context(), sessions) as client:
            await ask(client, vendor.port)
            await ask(client, vendor.port, host="localhost")
        async with client_of(authority.client_context(), sessions) as other:
            await ask(other, vendor.port)
        assert resumed(context) == 0
        async with client_of(stranger.client_context(), sessions) as distrustful:
            with pytest.raises(ConnectFailed, match="not trusted"):
                await ask(distrustful, vendor.port)


@bounded()
async def test_a_name_is_verified_anew_within_the_hour(tmp_path):
    authority, clock = Authority(tmp_path), Clock()
    context = authority.server_context("127.0.0.1")
    async with (
        scripted(always(http({})), tls=context) as vendor,
        client_of(authority.client_context(), LatestSessions(clock=clock)) as client,
    ):
        resumed_at = []
        for clock.now in (0, 1000, 2000, 3000, HOUR_S, HOUR_S + 1):
            before = resumed(context)
            await ask(client, vendor.port)
            if resumed(context) > before:
                resumed_at.append(clock.now)
    assert resumed_at == [1000, 2000, 3000, HOUR_S + 1]


@asynccontextmanager
async def hanging_up(port):
    """A server that closes each connection as soon as the client has begun TLS."""

    def hang_up(reader, writer):
        async def after_the_hello():
            await reader.read(1)
            writer.close()

        begun.append(asyncio.create_task(after_the_hello()))

    begun = []
    async with await asyncio.start_server(hang_up, "127.0.0.1", port):
        yield
    await asyncio.gather(*begun)


@bounded()
async def test_a_handshake_that_fails_is_tried_again_without_a_session(tmp_path):
    authority = Authority(tmp_path)
    context = authority.server_context("127.0.0.1")
    async with client_of(authority.client_context(), LatestSessions()) as client:
        async with scripted(always(http({})), tls=context) as vendor:
            await ask(client, vendor.port)
        async with hanging_up(vendor.port):
            with pytest.raises(ConnectFailed):
                await ask(client, vendor.port)
        async with scripted(always(http({})), tls=context, port=vendor.port):
            await ask(client, vendor.port)
    assert resumed(context) == 0


@bounded()
async def test_an_endpoint_that_is_down_costs_the_others_no_session(tmp_path):
    authority = Authority(tmp_path)
    context = authority.server_context("127.0.0.1")
    async with client_of(authority.client_context(), LatestSessions()) as client:
        async with scripted(always(http({})), tls=authority.server_context("localhost")) as down:
            await ask(client, down.port, host="localhost")
        async with scripted(always(http({})), tls=context) as vendor:
            await ask(client, vendor.port)
            with pytest.raises(ConnectFailed):
                await ask(client, down.port, host="localhost")
            await ask(client, vendor.port)
    assert resumed(context) == 1


@bounded()
async def test_many_names_share_a_bounded_number_of_sessions(tmp_path):
    authority = Authority(tmp_path)
    context = LatestSessions().resuming(authority.client_context())
    for number in range(2 * MOST_NAMES):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=f"h{number}.test")
        assert len(context.known) <= MOST_NAMES

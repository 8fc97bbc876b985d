"""Every way to write the shared server's address works, and none of them shows a password."""

import asyncio
import contextlib
import re
import ssl
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from llmproxy.batteries.masking import Secrets
from llmproxy.batteries.owners.redis_store import RedisOwners
from llmproxy.batteries.settings import FullSettings
from llmproxy.batteries.shared_state.address import client_of, secrets_of, shown
from llmproxy.batteries.shared_state.opening import open_shared_state
from llmproxy.batteries.shared_state.quota import Lease
from llmproxy.errors import ConfigError
from llmproxy.events import EndpointStateChanged
from tests.support.certificates import Authority
from tests.support.run import bounded
from tests.support.valkey import free_port, valkey, watched

WAIT_S = 30.0
INSTANCES = Path("docs/guides/many-instances.md").read_text(encoding="utf-8")


async def reaches(**settings):
    """Whether a view with these settings gets a grant and receives others' changes."""
    heard = []
    settings = FullSettings(**settings)
    async with open_shared_state(settings, apply_state=lambda *news: heard.append(news)) as view:
        lease = Lease()
        lease.set_limits(600, 100_000)
        view.add("account", lease)
        began = monotonic()
        while not lease.covers(10, monotonic()):
            lease.note_waiting(10)
            assert monotonic() - began < WAIT_S, view.status(monotonic())
            await asyncio.sleep(0.01)
        return lease.share is None


@bounded()
async def test_a_url(tmp_path):
    async with valkey(tmp_path) as server:
        assert await reaches(redis_url=server.url)


@bounded()
async def test_a_host_and_a_port(tmp_path):
    async with valkey(tmp_path) as server:
        assert await reaches(redis_host="127.0.0.1", redis_port=server.port)


@bounded()
async def test_a_unix_socket(tmp_path):
    path = tmp_path / "valkey.sock"
    async with valkey(tmp_path, "--unixsocket", str(path)):
        assert await reaches(redis_url=f"unix://{path}")


@bounded()
async def test_a_user_with_a_password(tmp_path):
    async with valkey(tmp_path) as server:
        await server.command("ACL", "SETUSER", "proxy", "on", ">p w", "~*", "&*", "+@all")
        await server.command("ACL", "SETUSER", "default", "off")
        assert await reaches(redis_url=f"redis://proxy:p%20w@127.0.0.1:{server.port}/0")
        assert await reaches(
            redis_host="127.0.0.1",
            redis_port=server.port,
            redis_username="proxy",
            redis_password="p w",
        )


@bounded()
async def test_a_user_with_no_more_rights_than_the_page_for_operators_gives_it(tmp_path):
    (rights,) = re.findall(r"^ACL SETUSER proxy (.*?)\n```", INSTANCES, re.M | re.S)
    async with valkey(tmp_path) as server:
        words = rights.replace("\\\n", " ").split()
        await server.command("ACL", "SETUSER", "proxy", *words)
        settings = FullSettings(redis_url=f"redis://proxy:SECRET@127.0.0.1:{server.port}/0")
        heard = []
        async with (
            open_shared_state(settings, apply_state=print) as one,
            open_shared_state(settings, apply_state=lambda *news: heard.append(news)) as other,
        ):
            one.endpoint_state_changed(
                EndpointStateChanged("gpt-4.1", "east", "cooling", "because", 60.0)
            )
            one.endpoint_state_changed(
                EndpointStateChanged("gpt-4.1", "east", "closed", "it answers", None)
            )
            while len(heard) < 2:
                await asyncio.sleep(0.01)
            assert other.status(monotonic()).instances == 2
        client = client_of(settings)
        owners = RedisOwners(client, namespace="llmproxy", keep_s=9, secrets=secrets_of(settings))
        await owners.write({"file-1": b"one"})
        assert await owners.read(["file-1", "file-2"]) == {"file-1": b"one"}
        await owners.close()
        assert await reaches(redis_url=settings.redis_url.get_secret_value())
        assert await server.command("ACL", "LOG") == []


@asynccontextmanager
async def encrypted(server, context):
    """A TLS front of a server that has none; yields its port."""

    async def relay(reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(_pour(reader, inner_writer), _pour(inner_reader, writer))

    listening = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def _pour(reader, writer):
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()
    writer.close()


@bounded()
async def test_tls_with_a_certificate_that_is_trusted(tmp_path):
    authority = Authority(tmp_path)
    trusted = tmp_path / "authority.pem"
    trusted.write_text(authority.pem)
    async with valkey(tmp_path) as server:
        async with encrypted(server, authority.server_context("localhost")) as port:
            assert await reaches(redis_url=f"rediss://localhost:{port}/0?ssl_ca_certs={trusted}")


@bounded()
async def test_tls_with_a_certificate_that_is_not_trusted_is_refused(tmp_path):
    authority = Authority(tmp_path)
    async with valkey(tmp_path) as server:
        async with encrypted(server, authority.server_context("localhost")) as port:
            settings = FullSettings(redis_url=f"rediss://localhost:{port}/0")
            async with open_shared_state(settings, apply_state=print) as view:
                await asyncio.sleep(0.5)
                status = view.status(monotonic())
                assert not status.connected
                assert "certificate" in status.why.lower()


@bounded()
async def test_the_master_that_sentinels_name_also_after_a_failover(tmp_path):
    async with watched(tmp_path) as (master, replica, sentinel):
        settings = {
            "redis_sentinels": [f"127.0.0.1:{free_port()}", f"127.0.0.1:{sentinel.port}"],
            "redis_sentinel_master": "main",
        }
        assert await reaches(**settings)
        async with open_shared_state(FullSettings(**settings), apply_state=print) as view:
            assert view.status(monotonic()).connected
            await master.kill()
            # It may go on to the new master before it notices that the old one is gone.
            while b"name=llmproxy" not in await replica.command("CLIENT", "LIST"):
                await asyncio.sleep(0.05)
            while not view.status(monotonic()).connected:
                await asyncio.sleep(0.05)
        assert (await replica.command("ROLE"))[0] == b"master"


@bounded()
async def test_a_cluster(tmp_path):
    # By default its second port is the first one plus 10,000, which may be above 65,535.
    bus = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    async with valkey(tmp_path, *bus) as server:
        await server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        while b"cluster_state:ok" not in await _cluster_info(server):
            await asyncio.sleep(0.05)
        assert await reaches(redis_host="127.0.0.1", redis_port=server.port, redis_cluster=True)


async def _cluster_info(server):
    reply = await server.command("CLUSTER", "INFO")
    return reply if isinstance(reply, bytes) else str(reply).encode()


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        (
            {"redis_url": "rediss://me:secret@db.example:7000/2?ssl_cert_reqs=none"},
            "db.example:7000",
        ),
        ({"redis_url": "redis://db.example"}, "db.example:6379"),
        ({"redis_url": "unix:///run/valkey.sock"}, "/run/valkey.sock"),
        ({"redis_host": "db.example", "redis_password": "secret"}, "db.example:6379"),
        (
            {"redis_sentinels": ["a:1", "b:2"], "redis_sentinel_master": "main"},
            "main at a:1, b:2",
        ),
    ],
)
def test_an_address_is_shown_without_the_login(settings, address):
    assert shown(FullSettings(**settings)) == address


def test_a_password_is_known_in_its_encoded_and_its_decoded_form():
    settings = FullSettings(redis_url="redis://me:p%40ss@db.example")
    assert secrets_of(settings) == Secrets(["p%40ss", "p@ss"])


@bounded()
async def test_an_unknown_option_is_refused_without_showing_the_password():
    settings = FullSettings(redis_url="redis://me:secret@db.example/0?fast=yes")
    with pytest.raises(ConfigError, match="fast") as refused:
        async with open_shared_state(settings, apply_state=print):
            pass
    assert "secret" not in str(refused.value)

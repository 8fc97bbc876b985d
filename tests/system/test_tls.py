"""TLS in the process: handshakes, renewal while calls go on, and callers named by certificates."""

import asyncio
import json
import signal
import ssl
import warnings
from hashlib import sha256

import pytest

from tests.support.certificates import Authority
from tests.support.client import CHAT, STREAM, request
from tests.support.process import command, running
from tests.support.run import bounded
from tests.support.tls import ask, config_with_tls, connect_to
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    always,
    chat,
    chunk,
    delta,
    http,
    scripted,
    sse_head,
)

SPIFFE = "spiffe://example.org/search"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def serial_of(connection):
    return connection.writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]


@pytest.mark.parametrize("workers", ["1", "2"])
@bounded()
async def test_calls_streams_and_the_operators_paths_are_served_by_tls(
    tmp_path, authority, workers
):
    stream = b"".join(map(chunk, [delta(role="assistant"), delta("hello"), DONE]))

    def answer(received, _number):
        return [sse_head() + stream + LAST_CHUNK] if b'"stream"' in received.body else [whole]

    pair, whole = authority.pair("localhost", "localhost"), http(chat("hello"))
    async with scripted(answer) as vendor:
        config = config_with_tls(vendor, pair)
        arguments = ("serve", "--port", "0", "--workers", workers)
        async with running(tmp_path, *arguments, config=config) as proxy:
            context = authority.client_context()
            assert proxy.base.startswith("https://127.0.0.1:")
            assert f"Use it as base_url: {proxy.base}/v1" in proxy.stderr
            assert (await ask(proxy, context, body=CHAT)).json == chat("hello")
            assert b"hello" in (await ask(proxy, context, body=STREAM)).body
            for path in ("/livez", "/metrics", "/dashboard"):
                assert (await ask(proxy, context, path, method="GET")).status == 200
            health = (await ask(proxy, context, "/health", method="GET")).json
            large = {**CHAT, "user": "x" * 3_000_000}
            assert (await ask(proxy, context, body=large)).status == 200
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0

    assert health["tls"]["names"] == ["localhost"]
    assert health["tls"]["error"] is None
    assert 59 < (health["tls"]["expires_at"] - health["tls"]["loaded_at"]) / 86400 < 61


@bounded()
async def test_old_versions_and_other_protocols_are_refused(tmp_path, authority):
    pair = authority.pair("localhost", "localhost")
    async with scripted(always(http(chat("hello")))) as vendor:
        async with running(tmp_path, config=config_with_tls(vendor, pair)) as proxy:
            context = authority.client_context()
            context.set_alpn_protocols(["h2", "http/1.1"])
            connection = await connect_to(proxy, context)
            chosen = connection.writer.get_extra_info("ssl_object")
            assert (chosen.selected_alpn_protocol(), chosen.version()) == ("http/1.1", "TLSv1.3")
            connection.leave()
            second = authority.client_context()
            second.maximum_version = ssl.TLSVersion.TLSv1_2
            connection = await connect_to(proxy, second)
            assert "ECDHE" in connection.writer.get_extra_info("cipher")[0]
            connection.leave()
            for weak in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"):
                third = authority.client_context()
                third.maximum_version = ssl.TLSVersion.TLSv1_2
                third.set_ciphers(weak)
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await connect_to(proxy, third)
            old = authority.client_context()
            old.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await connect_to(proxy, old)
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(request(body=CHAT))
            assert b"HTTP/1.1 200" not in await reader.read()
            writer.close()
            assert (await ask(proxy, context, body=CHAT)).status == 200
    assert "Traceback" not in proxy.stderr


@bounded()
async def test_a_malformed_request_is_answered_by_tls_too(tmp_path, authority):
    pair = authority.pair("localhost", "localhost")
    async with scripted(always(http(chat("hello")))) as vendor:
        async with running(tmp_path, config=config_with_tls(vendor, pair)) as proxy:
            connection = await connect_to(proxy, authority.client_context())
            await connection.send(b"GET / SPDY/3\r\n\r\n")
            assert (await connection.reply()).status == 400
            assert await connection.at_end()
    assert "Traceback" not in proxy.stderr


@bounded()
async def test_a_client_that_pools_connections_does_not_hold_up_the_end(tmp_path, authority):
    pair = authority.pair("localhost", "localhost")
    async with scripted(always(http(chat("hello")))) as vendor:
        async with running(tmp_path, config=config_with_tls(vendor, pair)) as proxy:
            connection = await connect_to(proxy, authority.client_context())
            await connection.send(request(body=CHAT))
            assert (await connection.reply()).status == 200
            connection.writer.transport.pause_reading()  # it does not see that we close
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended(15) == 0
            connection.leave()


@pytest.mark.parametrize("workers", ["1", "2"])
@bounded()
async def test_a_renewed_pair_is_served_without_a_lost_call(tmp_path, authority, workers):
    """Calls go on all the while, and a stream that began before ends after it."""
    finish = asyncio.Event()

    def answer(received, _number):
        if b'"stream"' in received.body:
            begun = sse_head() + chunk(delta("begun"))
            return [begun, finish, chunk(delta(" and ended")) + chunk(DONE) + LAST_CHUNK]
        return [http(chat("hello"))]

    pair = authority.pair("renewed", "localhost")
    context = authority.client_context()
    async with scripted(answer) as vendor:
        arguments = ("serve", "--port", "0", "--workers", workers)
        async with running(tmp_path, *arguments, config=config_with_tls(vendor, pair)) as proxy:
            before = await connect_to(proxy, context)
            old = serial_of(before)
            await before.send(request(body=STREAM))
            await before.head()
            await before.chunk()
            statuses, serials = [], set()
            authority.pair("renewed", "localhost")
            async with asyncio.timeout(30):
                while len(serials - {old}) == 0 or len(statuses) < 50:
                    connection = await connect_to(proxy, context)
                    serials.add(serial_of(connection))
                    await connection.send(request(body=CHAT))
                    statuses.append((await connection.reply()).status)
                    connection.leave()
            finish.set()
            rest = b""
            while piece := await before.chunk():
                rest += piece
            assert b"and ended" in rest
            assert set(statuses) == {200}
            assert len(serials) == 2
            before.leave()
    assert "A certificate was loaded" in proxy.stderr


@bounded()
async def test_a_broken_pair_keeps_the_old_one_and_says_so(tmp_path, authority):
    pair = authority.pair("broken", "localhost")
    good = pair[1].read_bytes()
    context = authority.client_context()
    async with scripted(always(http(chat("hello")))) as vendor:
        async with running(tmp_path, config=config_with_tls(vendor, pair)) as proxy:
            pair[1].write_bytes(authority.pair("other", "localhost")[1].read_bytes())
            health = await _health_when(proxy, context, lambda tls: tls["error"])
            assert "is not the one of the certificate" in health["error"]
            assert (await ask(proxy, context, body=CHAT)).status == 200
            metrics = (await ask(proxy, context, "/metrics", method="GET")).body.decode()
            assert "llmproxy_tls_certificate_refused 1" in metrics
            pair[1].write_bytes(good)
            await _health_when(proxy, context, lambda tls: tls["error"] is None)
            metrics = (await ask(proxy, context, "/metrics", method="GET")).body.decode()
    assert "llmproxy_tls_certificate_expires_seconds" in metrics
    assert "The certificate is not renewed; the one before is served." in proxy.stderr


async def _health_when(proxy, context, is_so):
    async with asyncio.timeout(30):
        while True:
            found = (await ask(proxy, context, "/health", method="GET")).json["tls"]
            if is_so(found):
                return found
            await asyncio.sleep(0.1)


@bounded()
async def test_a_hangup_loads_the_pair_where_files_are_not_watched(tmp_path, authority):
    pair = authority.pair("hangup", "localhost")
    context = authority.client_context()
    async with scripted(always(http(chat("hello")))) as vendor:
        config = config_with_tls(vendor, pair)
        config["general_settings"]["reload_on_change"] = False
        async with running(tmp_path, config=config) as proxy:
            loaded = (await ask(proxy, context, "/health", method="GET")).json["tls"]["loaded_at"]
            authority.pair("hangup", "localhost")
            await asyncio.sleep(2.5)
            again = (await ask(proxy, context, "/health", method="GET")).json["tls"]["loaded_at"]
            assert again == loaded
            proxy.signal(signal.SIGHUP)
            await _health_when(proxy, context, lambda tls: tls["loaded_at"] > loaded)


@bounded()
async def test_callers_are_named_by_their_certificates(tmp_path, authority):
    pair = authority.pair("localhost", "localhost")
    by_uri = authority.pair("a", SPIFFE)
    by_name = authority.pair("billing", "Billing.example.com")
    by_digest = authority.pair("pinned", "pinned.example.com")
    unknown = authority.pair("search", "search.example.com")
    der = ssl.PEM_cert_to_DER_cert(by_digest[0].read_text())
    callers = [
        {"name": "search", "certificates": [f"URI:{SPIFFE}"]},
        {"name": "billing", "certificates": ["dns:billing.example.com"], "key": "sk-billing"},
        {"name": "pinned", "certificates": [f"SHA256:{sha256(der).hexdigest().upper()}"]},
    ]
    async with scripted(always(http(chat("hello")))) as vendor:
        config = config_with_tls(vendor, pair, authority.file(), callers)
        async with running(tmp_path, config=config) as proxy:
            for own in (by_uri, by_name, by_digest):
                assert (await ask(proxy, authority.context_of(own), body=CHAT)).status == 200
            any_key = [("authorization", "Bearer any")]  # what SDKs want to be given
            reply = await ask(proxy, authority.context_of(by_uri), body=CHAT, headers=any_key)
            assert reply.status == 200
            own_key = [("authorization", "Bearer sk-billing")]
            reply = await ask(proxy, authority.context_of(by_uri), body=CHAT, headers=own_key)
            assert reply.status == 200
            refused = await ask(proxy, authority.context_of(unknown), body=CHAT)
            assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
            calls = await proxy.logged(6)

    names = [call.get("caller") for call in calls]
    assert names == ["search", "billing", "pinned", "search", "billing", None]


@bounded()
async def test_who_has_no_certificate_cannot_connect_or_is_like_anybody(tmp_path, authority):
    pair, client = authority.pair("localhost", "localhost"), authority.pair("c", SPIFFE)
    stranger = Authority(tmp_path)
    callers = [{"name": "search", "certificates": [f"URI:{SPIFFE}"]}]
    foreign = authority.client_context()
    foreign.load_cert_chain(*stranger.pair("c", SPIFFE))
    expired = authority.context_of(authority.pair("late", SPIFFE, days=(-9, -1)))
    async with scripted(always(http(chat("hello")))) as vendor:
        config = config_with_tls(vendor, pair, authority.file(), callers)
        async with running(tmp_path / "required", config=config) as proxy:
            for context in (authority.client_context(), foreign, expired):
                with pytest.raises((ssl.SSLError, OSError, EOFError)):
                    await ask(proxy, context, "/livez", method="GET")
            assert (await ask(proxy, authority.context_of(client), body=CHAT)).status == 200
        config["general_settings"]["tls"]["client_certificate"] = "optional"
        async with running(tmp_path / "optional", config=config) as proxy:
            probe = await ask(proxy, authority.client_context(), "/livez", method="GET")
            assert probe.status == 200
            assert (await ask(proxy, authority.client_context(), body=CHAT)).status == 401
            with pytest.raises((ssl.SSLError, OSError, EOFError)):
                await ask(proxy, foreign, "/livez", method="GET")
            assert (await ask(proxy, authority.context_of(client), body=CHAT)).status == 200


@bounded()
async def test_no_header_makes_a_client_a_caller_of_certificates(tmp_path, authority):
    pair = authority.pair("localhost", "localhost")
    callers = [{"name": "search", "certificates": ["CN:search"]}]
    forged = [
        ("x-client-cert", "CN=search"), ("x-ssl-client-s-dn", "CN=search"),
        ("x-forwarded-client-cert", "Subject=CN=search"), ("x-llmproxy-proven-names", "CN:search"),
    ]  # fmt: skip
    async with scripted(always(http(chat("hello")))) as vendor:
        config = config_with_tls(
            vendor, pair, authority.file(), callers, client_certificate="optional"
        )
        async with running(tmp_path, config=config) as proxy:
            reply = await ask(proxy, authority.client_context(), body=CHAT, headers=forged)
    assert reply.status == 401


@bounded()
async def test_commands_trust_the_certificate_of_the_config_and_no_other(tmp_path, authority):
    pair = authority.pair("somewhere.example.com", "somewhere.example.com")
    async with scripted(always(http(chat("hello")))) as vendor:
        config = config_with_tls(vendor, pair)
        async with running(tmp_path, config=config) as proxy:
            config["general_settings"]["bind_port"] = proxy.port
            (tmp_path / "ours.yaml").write_text(json.dumps(config))
            ours = await command("top", "--once", "--config", "ours.yaml", cwd=tmp_path)
            other = authority.pair("imposter", "somewhere.example.com")
            config["general_settings"]["tls"] |= {"cert": str(other[0]), "key": str(other[1])}
            (tmp_path / "theirs.yaml").write_text(json.dumps(config))
            theirs = await command("top", "--once", "--config", "theirs.yaml", cwd=tmp_path)
            named = await command("top", "--once", "--url", f"https://localhost:{proxy.port}")
    assert ours.status == 0, ours
    assert theirs.status == 1
    assert named.status == 1
    for refused in (theirs, named):
        assert "its certificate is not trusted" in refused.stderr
        assert "SSL_CERT_FILE" in refused.stderr


@pytest.mark.parametrize(
    ("days", "said"),
    [((-9, -1), "expired on"), ((-9, 3), "expires on"), ((1, 60), "is valid from")],
)
@bounded()
async def test_a_certificate_that_clients_will_refuse_is_warned_of_and_served(tmp_path, days, said):
    authority = Authority(tmp_path)
    pair = authority.pair("localhost", "localhost", days=days)
    (tmp_path / "c.yaml").write_text(
        "model_groups: [{model_group: a, models: [{name: m, params: {api_key: k}}]}]\n"
        f"general_settings:\n  tls:\n    cert: {pair[0]}\n    key: {pair[1]}\n"
    )
    checked = await command("check", "c.yaml", cwd=tmp_path)
    assert checked.status == 0
    assert "c.yaml:4: tls.cert: the certificate in" in checked.stderr
    assert said in checked.stderr
    async with scripted(always(http(chat("hello")))) as vendor:
        async with running(tmp_path, config=config_with_tls(vendor, pair)) as proxy:
            context = authority.client_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            assert (await ask(proxy, context, body=CHAT)).status == 200
            assert said in proxy.stderr

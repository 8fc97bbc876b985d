"""Handshakes that fail: both sides are told why, and the proxy counts them."""

import asyncio
import re
import socket
import ssl
import struct

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from tests.support.certificates import Authority
from tests.support.client import CHAT, request
from tests.support.process import command, running
from tests.support.run import bounded
from tests.support.tls import ask, config_with_tls, connect_to
from tests.support.vendor import always, chat, http, scripted

FAILED = re.compile(r'llmproxy_connections_failed_total\{reason="(\w+)"\} (\d+)')


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


async def failed(proxy, context):
    """Return how many connections have failed, by reason."""
    metrics = (await ask(proxy, context, "/metrics", method="GET")).body.decode()
    return {reason: int(count) for reason, count in FAILED.findall(metrics)}


async def said_to(proxy, sent, *, ends=False):
    """Send bytes without TLS; return what comes back until the proxy closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(sent)
    if ends:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def refused_by_client(proxy, context):
    """Connect as clients with OpenSSL do, which say why they refuse a certificate."""
    with socket.create_connection(("127.0.0.1", proxy.port)) as plain:
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(plain, server_hostname="localhost")


async def alert_of(proxy, context):
    """Return what a client is told whose handshake the proxy refuses."""
    with pytest.raises(ssl.SSLError) as error:
        await ask(proxy, context, body=CHAT)
    return error.value.reason


@bounded()
async def test_each_failed_handshake_is_counted_and_told_once_a_minute(tmp_path, authority):
    pair = authority.pair("localhost", "localhost")
    async with scripted(always(http(chat("hello")))) as vendor:
        config = config_with_tls(vendor, pair)
        config["general_settings"]["timeouts"] = {"header_s": 1}
        async with running(tmp_path, config=config) as proxy:
            slow = socket.create_connection(("127.0.0.1", proxy.port))
            slow.send(b"\x16")
            answer = await said_to(proxy, b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n")
            for _ in range(3):
                await said_to(proxy, b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n")
            await said_to(proxy, b"CONNECT api.openai.com:443 HTTP/1.1\r\n\r\n")
            await said_to(proxy, b"\x16\x03\x01\x02", ends=True)
            old = authority.client_context()
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            old.set_ciphers("ECDHE-ECDSA-AES128-SHA")
            assert await alert_of(proxy, old) == "SSLV3_ALERT_HANDSHAKE_FAILURE"
            await asyncio.to_thread(refused_by_client, proxy, ssl.create_default_context())
            async with asyncio.timeout(20):
                context = authority.client_context()
                while "timeout" not in (counts := await failed(proxy, context)):
                    await asyncio.sleep(0.1)
            slow.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"write https:// in the URL" in answer
    once = dict.fromkeys(("left", "cipher", "distrust", "timeout"), 1)
    assert counts == {"plain_http": 2, "no_tls": 3, **once}
    lines = [line for line in proxy.stderr.splitlines() if "handshake" in line]
    assert all("of a connection from 127.0.0.1 failed: it " in line for line in lines)
    assert len(lines) == 5
    for words in ("sent plain HTTP. Write https://", "something else than TLS", "cipher suite",
                  "refuses the proxy's certificate (unknown ca)", "took too long"):  # fmt: skip
        assert sum(words in line for line in lines) == 1, words
    assert "Traceback" not in proxy.stderr


@bounded()
async def test_a_client_whose_certificate_is_refused_is_told_why(tmp_path, authority):
    pair = authority.pair("localhost", "localhost")
    (tmp_path / "stranger").mkdir()
    stranger = Authority(tmp_path / "stranger").pair("stranger", "stranger")
    async with scripted(always(http(chat("hello")))) as vendor:
        config = config_with_tls(vendor, pair, client_ca=authority.file())
        async with running(tmp_path, config=config) as proxy:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):

                async def alert(pair, version=version):
                    context = authority.context_of(pair)
                    context.maximum_version = version
                    return await alert_of(proxy, context)

                expired = authority.pair("expired", "expired", days=(-3, -1))
                assert "ALERT_CERTIFICATE_EXPIRED" in await alert(expired)
                assert "ALERT_DECRYPT_ERROR" in await alert(stranger)  # the names are the same
                assert "ALERT" in await alert(None)
            good = authority.context_of(authority.pair("good", "good"))
            assert await failed(proxy, good) == {"certificate": 4, "no_certificate": 2}
    assert "its certificate is refused: certificate has expired." in proxy.stderr
    assert "it has no client certificate. Give it one of tls.client_ca" in proxy.stderr


ODD = {
    "UTF-8": b"\x82\x07" + "é.com".encode() + b"m",
    "zero": b"\x82\x07a.com\0b",
    "comma": b"\x82\x03a,b",
    "empty name": b"\x82\x00",
    "short address": b"\x87\x03abc",
    "registered id": b"\x88\x03\x2a\x03\x04",
    "none": b"",
}


def with_names(authority, der):
    """Return the context of a client whose alternative names are these bytes."""
    names = x509.UnrecognizedExtension(
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes([0x30, len(der)]) + der
    )
    return authority.context_of(authority.pair("odd", extensions=[names]))


@bounded()
async def test_odd_names_in_certificates_harm_nobody(tmp_path, authority):
    pair = authority.pair("localhost", "localhost")
    callers = [{"name": "zero", "certificates": ["DNS:a.com"]}]
    async with scripted(always(http(chat("hello")))) as vendor:
        config = config_with_tls(vendor, pair, client_ca=authority.file(), callers=callers)
        async with running(tmp_path, config=config) as proxy:
            for name, der in ODD.items():
                reply = await ask(proxy, with_names(authority, der), body=CHAT)
                assert reply.status == 401, name  # nobody's
            for der in (b"\x82\x02\xff\xfe", b"\x86\x0aspiffe://\xff"):
                with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                    await ask(proxy, with_names(authority, der), body=CHAT)
            named = authority.context_of(authority.pair("good", "a.com"))
            assert (await ask(proxy, named, body=CHAT)).status == 200
            assert (await failed(proxy, named))["certificate"] == 2
    assert "the names in its certificate are not UTF-8" in proxy.stderr
    assert "Traceback" not in proxy.stderr


@bounded()
async def test_thousands_of_aborted_handshakes_leave_nothing_behind(tmp_path, authority):
    pair = authority.pair("localhost", "localhost")
    async with scripted(always(http(chat("hello")))) as vendor:
        arguments = ("serve", "--port", "0", "--workers", "2")
        config = config_with_tls(vendor, pair)
        async with running(tmp_path, *arguments, config=config) as proxy:
            context = authority.client_context()
            connection = await connect_to(proxy, context)
            for _ in range(20):
                begun = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(100)]
                for plain in begun:
                    plain.send(b"\x16\x03\x01\x02\x00\x01")
                for plain in begun:
                    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    plain.close()
                await connection.send(request(body=CHAT))
                assert (await connection.reply()).status == 200
            connection.leave()
            async with asyncio.timeout(20):  # the workers add up their counts twice a second
                while (await failed(proxy, context)).get("left") != 2000:
                    await asyncio.sleep(0.1)
    assert "handshake" not in proxy.stderr  # load balancers look like this


@bounded()
async def test_commands_show_a_certificate_or_say_that_one_is_wanted(tmp_path, authority):
    pair = authority.pair("localhost", "localhost")
    (tmp_path / "stranger").mkdir()
    files = {}
    for name, signer in (("good", authority), ("bad", Authority(tmp_path / "stranger"))):
        own = signer.pair(name, name)
        files[name] = tmp_path / f"{name}.pem"
        files[name].write_bytes(own[0].read_bytes() + own[1].read_bytes())
    sealed = authority.pair("sealed", "sealed", password=b"secret")
    files["sealed"] = tmp_path / "sealed.pem"
    files["sealed"].write_bytes(sealed[0].read_bytes() + sealed[1].read_bytes())
    files["mixed"] = tmp_path / "mixed.pem"
    files["mixed"].write_bytes(pair[0].read_bytes() + authority.pair("another")[1].read_bytes())
    files |= {"half": authority.pair("half", "half")[0], "missing": tmp_path / "missing.pem"}
    async with scripted(always(http(chat("hello")))) as vendor:
        config = config_with_tls(vendor, pair, client_ca=authority.file())
        async with running(tmp_path / "proxy", config=config) as proxy:
            shown = {"SSL_CERT_FILE": str(authority.file())}
            url = f"https://localhost:{proxy.port}"

            async def run(*arguments, certificate=None):
                own = {} if certificate is None else {"LLMPROXY_CLIENT_CERT": str(certificate)}
                at = ("--url", url, "--config", str(tmp_path / "proxy" / "config.yaml"))
                return await command(*arguments, *at, environ={**shown, **own})

            for arguments in (("top", "--once"), ("keys", "list"), ("cache", "stats"), ("spend",)):
                done = await run(*arguments, certificate=files["good"])
                assert done.status == 0, done
            none = await run("top", "--once")
            said = {
                name: await run("top", "--once", certificate=files[name])
                for name in ("bad", "sealed", "mixed", "half", "missing")
            }
            plain = await command("top", "--once", "--url", url.replace("https", "http"))
    assert "it wants a client certificate" in none.stderr
    assert "LLMPROXY_CLIENT_CERT is the path of a PEM file" in none.stderr
    assert f"it refuses the certificate in {files['bad']} (decrypt error)" in said["bad"].stderr
    assert "has no certificate with its key. Write" in said["sealed"].stderr
    assert "has the key of another certificate. Write" in said["mixed"].stderr
    assert "has no certificate with its key. Write" in said["half"].stderr
    assert "missing.pem cannot be read: no such file" in said["missing"].stderr
    assert "This port speaks TLS: write https:// in the URL." in plain.stderr
    for wrong in (none, plain, *said.values()):
        assert wrong.status == (2 if wrong is plain else 1)  # 2: something has answered
        assert "Is it running?" not in wrong.stderr


@bounded()
async def test_a_client_of_http_2_alone_is_answered_in_words(tmp_path, authority):
    pair = authority.pair("localhost", "localhost")
    async with scripted(always(http(chat("hello")))) as vendor:
        async with running(tmp_path, config=config_with_tls(vendor, pair)) as proxy:
            context = authority.client_context()
            context.set_alpn_protocols(["h2"])
            connection = await connect_to(proxy, context)
            await connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            reply = await connection.reply()
            connection.leave()
    assert reply.status == 400
    assert b"HTTP/1.1" in reply.body

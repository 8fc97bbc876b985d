"""The fronts of the documentation, with the real programs where they are installed."""

import asyncio
import json
import re
import ssl
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which

import pytest
import yaml

from tests.deploy.fronts import CLIENT, HIDDEN, PATH, free_port, installed
from tests.support.certificates import Authority
from tests.support.client import CHAT, STREAM, Connection, request
from tests.support.process import running
from tests.support.proxy import config_for
from tests.support.run import bounded
from tests.support.vendor import DONE, LAST_CHUNK, chat, chunk, delta, http, scripted, sse_head

PAGE = Path(__file__).parents[2] / "docs/operations/fronts.md"
HEADINGS = {"nginx": "nginx", "haproxy": "HAProxy", "caddy": "Caddy"}


def block(front):
    """Return the config of a front in the page."""
    return re.search(rf"## {front}\n\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]


def config_of(front, folder, upstream, port):
    """Return the page's config with the ports and files of a test, and the command that runs it."""
    text = block(HEADINGS[front]).replace("127.0.0.1:4000", f"127.0.0.1:{upstream}")
    text = text.replace("/etc/ssl/llm.example.com.pem", f"{folder}/both.pem")
    text = text.replace("/etc/ssl/llm.example.com.key", f"{folder}/localhost.key")
    file = folder / f"{front}.conf"
    if front == "nginx":
        text = text.replace("listen 443", f"listen 127.0.0.1:{port}")
        text = (
            f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
            f"events {{}}\nhttp {{ access_log off; client_body_temp_path {folder}/body;\n{text}}}\n"
        )
        command = ("nginx", "-c", str(file), "-p", str(folder), "-e", f"{folder}/error.log")
    elif front == "haproxy":
        text = text.replace("bind :443", f"bind 127.0.0.1:{port}")
        command = ("haproxy", "-db", "-f", str(file))
    else:
        text = text.replace("llm.example.com {", f"https://localhost:{port} {{\n bind 127.0.0.1", 1)
        text = "{\n admin off\n auto_https disable_redirects\n}\n" + text
        command = ("caddy", "run", "--adapter", "caddyfile", "--config", str(file))
    file.write_text(text)
    return command


@asynccontextmanager
async def fronted(front, folder, upstream):
    """Run a front before a proxy; yield its port."""
    port = free_port()
    command = config_of(front, folder, upstream, port)
    with (folder / "front.log").open("wb") as log:
        program = await asyncio.create_subprocess_exec(
            *command,
            stdout=log,
            stderr=log,
            env={"PATH": PATH, "HOME": str(folder)},
        )
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert program.returncode is None, (folder / "front.log").read_text()
                    await asyncio.sleep(0.05)
                    continue
                writer.transport.abort()
                break
        yield port
    finally:
        if program.returncode is None:
            program.terminate()
        await program.wait()


async def curl(folder, port, path, *arguments):
    """Ask by HTTP/2 from CLIENT; return status, version and body."""
    program = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--http2", "--path-as-is", "--interface", CLIENT,
        "--cacert", f"{folder}/authority.pem",
        "-w", "\n%{http_code} %{http_version}", *arguments, f"https://localhost:{port}{path}",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(program.communicate(), 60)
    body, _, end = said.decode().rpartition("\n")
    status, version = end.split()
    return int(status), version, body


@pytest.mark.parametrize("front", installed(HEADINGS))
@pytest.mark.skipif(which("curl") is None, reason="curl is not installed")
@bounded()
async def test_a_front_speaks_http_2_and_passes_everything_on(tmp_path, front):
    authority = Authority(tmp_path)
    pair = authority.pair("localhost", "localhost")
    authority.file()
    (tmp_path / "both.pem").write_bytes(pair[0].read_bytes() + pair[1].read_bytes())
    go_on = asyncio.Event()

    def answer(received, _number):
        if b'"stream"' in received.body:
            end = chunk(delta("last")) + chunk(DONE) + LAST_CHUNK
            return [sse_head() + chunk(delta("first")), go_on, end]
        return [http(chat("hello"))]

    async with scripted(answer) as vendor:
        config = config_for(
            vendor.base_url, log_format="json", forwarded_allow_ips=["127.0.0.1"],
            allowed_hosts=["llm.example.com"],
        )  # fmt: skip
        async with (
            running(tmp_path / "p", config=config) as proxy,
            fronted(front, tmp_path, proxy.port) as port,
        ):
            sent = ("-H", "content-type: application/json", "-d", json.dumps(CHAT))
            status, version, body = await curl(tmp_path, port, "/v1/chat/completions", *sent)
            assert (status, version, json.loads(body)) == (200, "2", chat("hello"))
            forged = ("-H", "x-forwarded-for: 203.0.113.7", "-H", "forwarded: for=203.0.113.8")
            await curl(tmp_path, port, "/v1/chat/completions", *sent, *forged)
            (tmp_path / "large.json").write_text(json.dumps({**CHAT, "user": "x" * 5_000_000}))
            large = ("-H", "content-type: application/json", "-d", f"@{tmp_path}/large.json")
            assert (await curl(tmp_path, port, "/v1/chat/completions", *large))[0] == 200
            calls = await proxy.logged(3)
            for path in HIDDEN:
                assert (await curl(tmp_path, port, path))[0] == 404, path
            assert (await curl(tmp_path, port, "/v1/models"))[0] == 200
            await _streams(authority, port, go_on)
            await _upgrades(authority, port)
    assert [call["client"] for call in calls] == [CLIENT] * 3


async def _streams(authority, port, go_on):
    """The first bytes of a stream arrive before its last ones are written."""
    connection = await _connected(authority, port)
    await connection.send(request(body=STREAM, host="localhost"))
    status, _ = await connection.head()
    assert status == 200
    seen = b""
    async with asyncio.timeout(20):
        while b"first" not in seen:
            seen += await connection.reader.read(4096)
        assert b"last" not in seen
        go_on.set()
        while b"last" not in seen:
            seen += await connection.reader.read(4096)
    connection.leave()


async def _upgrades(authority, port):
    connection = await _connected(authority, port)
    headers = [
        ("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]  # fmt: skip
    await connection.send(request("/v1/responses", method="GET", headers=headers, host="localhost"))
    async with asyncio.timeout(20):
        status, _ = await connection.head()
    assert status == 101
    connection.leave()


async def _connected(authority, port):
    context = authority.client_context()
    context.set_alpn_protocols(["http/1.1"])
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return Connection(*await asyncio.open_connection("localhost", port, ssl=context, limit=2**24))


def test_envoy_s_config_is_yaml_and_hides_the_same_paths():
    """No package of Envoy can be installed here: it is only read."""
    read = yaml.safe_load(block("Envoy"))
    (listener,) = read["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    hidden, rest = manager["route_config"]["virtual_hosts"][0]["routes"]
    pattern = re.compile(hidden["match"]["safe_regex"]["regex"])
    for path in HIDDEN:
        assert pattern.fullmatch(path), path
    assert not pattern.fullmatch("/v1/chat/completions")
    assert rest["route"]["timeout"] == "0s"

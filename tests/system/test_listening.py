"""Where the proxy listens: UNIX sockets, IPv6, sockets from outside, and what it prints of them."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
from pathlib import Path
from shutil import which

import pytest

from tests.support.client import CHAT, Connection, request
from tests.support.process import LLMPROXY, command, running
from tests.support.proxy import config_for
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted

SERVE = ("serve", "--port", "0")


async def ask_at(path, *args, **options):
    """Send one request through a UNIX socket."""
    connection = Connection(*await asyncio.open_unix_connection(str(path), limit=2**24))
    try:
        await connection.send(request(*args, **options))
        return await asyncio.wait_for(connection.reply(), 60)
    finally:
        connection.leave()


def left_over(path):
    """Leave a socket's file behind, as a killed process does."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


@bounded()
async def test_calls_and_commands_go_through_a_unix_socket(tmp_path):
    path = tmp_path / "proxy.sock"
    left_over(path)
    async with scripted(always(http(chat("hello")))) as vendor:
        config = config_for(vendor.base_url, bind_address=f"unix:{path}", log_format="json")
        async with running(tmp_path, "serve", config=config) as proxy:
            assert proxy.base == f"unix:{path}"
            assert f"curl --unix-socket {path} http://localhost/v1/models" in proxy.stderr
            assert stat.S_IMODE(path.lstat().st_mode) == 0o660
            assert (await ask_at(path, body=CHAT)).json == chat("hello")
            (call,) = await proxy.logged(1)
            top = await command("top", "--once", "--config", "config.yaml", cwd=tmp_path)
            explained = await command("explain", "--model", "gpt-4.1", "--url", proxy.base)
            second = await command("serve", "--config", "config.yaml", cwd=tmp_path)
            assert (await ask_at(path, "/livez", method="GET")).status == 200
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0

    assert call["client"] == f"uid:{os.getuid()}"
    assert (top.status, explained.status) == (0, 0), (top, explained)
    assert second.status == 1
    assert f"Cannot listen on unix:{path}: address already in use." in second.stderr
    assert "Is another proxy running there?" in second.stderr
    assert not path.exists()


@bounded()
async def test_the_mode_of_the_socket_is_the_one_of_the_config(tmp_path):
    path = tmp_path / "proxy.sock"
    config = config_for("http://127.0.0.1:1/v1", bind_address=f"unix:{path}")
    config["general_settings"]["unix_socket_mode"] = "0600"
    async with running(tmp_path, "serve", config=config):
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600


@bounded()
async def test_a_file_that_is_no_socket_is_not_touched(tmp_path):
    (tmp_path / "precious").write_text("kept")
    said = await command("demo", "--host", f"unix:{tmp_path}/precious", cwd=tmp_path)

    assert said.status == 1
    assert "address already in use" in said.stderr
    assert (tmp_path / "precious").read_text() == "kept"


@bounded()
async def test_the_socket_of_a_proxy_that_came_later_is_left_in_place(tmp_path):
    path = tmp_path / "proxy.sock"
    config = config_for("http://127.0.0.1:1/v1", bind_address=f"unix:{path}")
    async with running(tmp_path / "a", "serve", config=config) as first:
        path.unlink()
        async with running(tmp_path / "b", "serve", config=config):
            first.signal(signal.SIGTERM)
            assert await first.ended() == 0
            assert (await ask_at(path, "/livez", method="GET")).status == 200


@bounded()
async def test_workers_share_a_unix_socket(tmp_path):
    path = tmp_path / "proxy.sock"
    async with scripted(always(http(chat("hello")))) as vendor:
        config = config_for(vendor.base_url, bind_address=f"unix:{path}")
        async with running(tmp_path, "serve", "--workers", "2", config=config) as proxy:
            for _ in range(4):
                assert (await ask_at(path, body=CHAT)).status == 200
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0
    assert not path.exists()


@pytest.mark.parametrize(
    "path", ["unix:relative.sock", "unix:", "unix:/", "unix:/run/" + "x" * 120]
)
@bounded()
async def test_a_path_that_no_socket_can_have_is_told_with_its_line(tmp_path, path):
    text = "model_groups: [{model_group: a, models: [{name: m, params: {api_key: k}}]}]\n"
    (tmp_path / "c.yaml").write_text(f"{text}general_settings:\n  bind_address: '{path}'\n")

    said = await command("check", "c.yaml", cwd=tmp_path)

    assert said.status == 2
    assert said.stderr.startswith("c.yaml:3: ")
    assert "unix:/run/llmproxy/llmproxy.sock" in said.stderr


@pytest.mark.parametrize(
    "host", ["unix:@abstract", "unix:here.sock", "unix:/a\x01.sock", "unix:/" + "x" * 107]
)
@bounded()
async def test_the_command_line_takes_the_sockets_that_a_config_takes(tmp_path, host):
    said = await command("demo", "--host", host, cwd=tmp_path)
    assert said.status == 2
    assert "expected unix:/path, of at most 107 bytes after unix:, found 'unix:" in said.stderr
    assert list(tmp_path.iterdir()) == []


@bounded()
async def test_an_ipv6_address_has_brackets_where_it_needs_them(tmp_path):
    text = "model_groups: [{model_group: a, models: [{name: m, params: {api_key: k}}]}]\n"
    (tmp_path / "c.yaml").write_text(f"{text}general_settings:\n  bind_address: '[::1]'\n")
    in_config = await command("check", "c.yaml", cwd=tmp_path)
    config = config_for("http://127.0.0.1:1/v1")
    async with running(tmp_path / "p", *SERVE, "--host", "[::1]", config=config) as proxy:
        assert proxy.base.startswith("http://[::1]:")
    assert "Write it without brackets: ::1." in in_config.stderr
    for url in ("http://::1:4000", "http://[::1", "http://:4000", "http://localhost:99999"):
        said = await command("top", "--once", "--url", url)
        assert said.status != 0
        assert f"found '{url}'; an IPv6 address has brackets" in said.stderr


@pytest.mark.parametrize("mode", ["660", '"rw"', '"0999"'])
@bounded()
async def test_a_mode_that_is_none_is_told(tmp_path, mode):
    text = "model_groups: [{model_group: a, models: [{name: m, params: {api_key: k}}]}]\n"
    (tmp_path / "c.yaml").write_text(f"{text}general_settings:\n  unix_socket_mode: {mode}\n")

    said = await command("check", "c.yaml", cwd=tmp_path)

    assert said.status == 2
    assert said.stderr.startswith("c.yaml:3: ")
    assert 'Write "0660"' in said.stderr


@pytest.mark.parametrize(
    ("host", "shown"),
    [("::1", "http://[::1]"), ("0.0.0.0", "http://127.0.0.1"), ("::", "http://[::1]")],
)
@bounded()
async def test_every_printed_address_is_one_that_a_client_can_use(tmp_path, host, shown):
    async with scripted(always(http(chat("hello")))) as vendor:
        config = config_for(vendor.base_url, bind_address=host)
        async with running(tmp_path, config=config) as proxy:
            assert proxy.base.startswith(shown), proxy.stderr
            assert f"Use it as base_url: {proxy.base}/v1 " in proxy.stderr
            assert f"Dashboard: {proxy.base}/dashboard" in proxy.stderr
            is_wildcard = host in ("0.0.0.0", "::")
            assert (f"every other address of this machine ({host})" in proxy.stderr) == is_wildcard
            said = await command("top", "--once", "--url", proxy.base)
            again = await command(
                "serve",
                "--host",
                host,
                "--port",
                str(proxy.port),
                cwd=tmp_path,
                environ={"LLMPROXY_CONFIG": "config.yaml"},
            )
    assert said.status == 0, said.stderr
    assert again.status == 1
    written = f"[{host}]" if ":" in host else host
    assert f"Cannot listen on {written}:" in again.stderr


activated = pytest.mark.skipif(
    which("systemd-socket-activate") is None, reason="systemd is not installed"
)


@activated
@pytest.mark.parametrize("workers", ["1", "2"])
@bounded()
async def test_systemd_passes_its_sockets(tmp_path, workers):
    """By the real systemd-socket-activate, which needs no running systemd."""
    path = tmp_path / "from-systemd.sock"
    async with scripted(always(http(chat("hello")))) as vendor:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        program = ("systemd-socket-activate", "-l", f"127.0.0.1:{port}", "-l", str(path))
        arguments = (LLMPROXY, "serve", "--workers", workers)
        config = config_for(vendor.base_url, bind_address="192.0.2.1", bind_port=1)
        folder = tmp_path / "proxy"
        folder.mkdir()
        waking = asyncio.create_task(_first_connection(port))
        async with running(
            folder,
            *arguments,
            config=config,
            program=program,
            environ={"VIRTUAL_ENV": str(Path(LLMPROXY).parent.parent)},
        ) as proxy:
            await waking
            assert proxy.base == f"http://127.0.0.1:{port}"
            assert f"It also listens on unix:{path}." in proxy.stderr
            assert (await ask_at(path, body=CHAT)).json == chat("hello")
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0
    assert path.exists()  # systemd's, not ours


async def _first_connection(port):
    """Connect, as soon as systemd-socket-activate listens: it starts the program then."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.transport.abort()
        return


@bounded()
async def test_a_passed_descriptor_that_does_not_listen_is_refused_with_a_remedy(tmp_path):
    ours, other = socket.socketpair()
    text = f"exec 3<&{ours.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec {LLMPROXY} demo"
    with ours, other:
        said = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", text],
            pass_fds=[ours.fileno()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
            env=dict(os.environ),
        )
    assert said.returncode == 1
    assert "without Accept=yes" in said.stderr

"""The private Valkey: only its user can open it, it leaves nothing behind, and it ends with
the process that started it."""

import asyncio
import signal
import stat
import sys
import tempfile
from pathlib import Path

import pytest
from redis import Redis

from llmproxy.batteries.shared_state.embedded import (
    EmbeddedServer,
    NotStartedError,
    embedded_server,
)
from tests.support.family import living
from tests.support.run import bounded


@pytest.fixture
def folder():
    """A temporary folder with a path that is short enough for a socket's."""
    with tempfile.TemporaryDirectory(prefix="t-") as path:
        yield Path(path)


@pytest.fixture
def server(folder):
    with embedded_server(folder) as server:
        yield server


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_only_this_user_can_reach_it_and_only_through_its_socket(folder, server):
    (own,) = folder.iterdir()
    assert mode_of(own) == 0o700
    assert mode_of(own / "valkey.sock") == 0o600
    client = Redis.from_url(server.url)
    assert client.config_get("port") == {"port": "0"}
    assert client.config_get("bind", "unixsocket")["unixsocket"] == str(own / "valkey.sock")


def test_it_keeps_nothing_on_disk_and_bounds_its_memory(server):
    settings = Redis.from_url(server.url).config_get("save", "appendonly", "maxmemory*")
    assert settings["save"] == ""
    assert settings["appendonly"] == "no"
    assert settings["maxmemory"] == str(64 * 1024 * 1024)
    assert settings["maxmemory-policy"] == "noeviction"


def test_it_sees_nothing_of_our_environment(server):
    environ = Path(f"/proc/{server.process.pid}/environ").read_bytes()
    assert environ.strip(b"\0") == b""


def test_when_the_block_ends_it_is_gone_with_its_folder(folder):
    with embedded_server(folder) as server:
        Redis.from_url(server.url).set("a", "b")
    assert server.process.poll() is not None
    assert list(folder.iterdir()) == []


def test_a_server_that_hangs_is_ended_all_the_same(folder):
    with embedded_server(folder) as server:
        server.process.send_signal(signal.SIGSTOP)
    assert server.process.poll() == -signal.SIGKILL


def test_after_its_death_it_can_be_started_again_at_the_same_address(server):
    client = Redis.from_url(server.url)
    client.set("a", "b")
    server.process.kill()
    server.process.wait()
    server.start_and_wait()
    assert client.get("a") is None


def test_the_error_for_an_unusable_folder_quotes_the_server_log(folder):
    deep = folder / ("x" * 100)
    deep.mkdir()
    with pytest.raises(NotStartedError) as refused, embedded_server(deep):
        pass
    message = str(refused.value)
    assert f"does not start in {deep}" in message
    assert "unix socket path too long" in message
    assert "redis_url" in message
    assert list(deep.iterdir()) == []


def test_a_program_that_cannot_be_run_is_reported(folder):
    program = folder / "valkey-server"
    program.write_bytes(b"for another machine")
    with pytest.raises(NotStartedError, match=f"does not start in {folder}.*valkey-server"):
        EmbeddedServer(program, folder).start_and_wait()


def test_a_worker_without_supervisor_can_shut_it_down(folder, server):
    server.clear_away()
    assert server.process.wait(5) == 0
    assert list(folder.iterdir()) == []
    server.clear_away()  # the next worker does the same


SCRIPT = """
import pathlib, sys, time
from llmproxy.batteries.shared_state.embedded import embedded_server
with embedded_server(pathlib.Path(sys.argv[1])) as server:
    print(server.process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's doing, on Linux")
@bounded()
async def test_it_ends_when_its_parent_is_killed(folder):
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT, str(folder)), stdout=asyncio.subprocess.PIPE
    )
    pid = int(await parent.stdout.readline())
    assert living([pid])
    parent.kill()
    await parent.wait()
    while living([pid]):
        await asyncio.sleep(0.01)

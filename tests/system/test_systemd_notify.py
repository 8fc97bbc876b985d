"""What systemd hears of the proxy, at a real socket."""

import asyncio
import signal
import socket
from contextlib import contextmanager

import pytest

from tests.support.process import running
from tests.support.proxy import config_for
from tests.support.run import bounded


@contextmanager
def manager(folder):
    """Yield a socket as systemd's, and its environment for a service."""
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.setblocking(False)
        yield listening, {"NOTIFY_SOCKET": str(path)}


async def heard(listening):
    """Return the next datagram as a dict."""
    data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(listening, 4096), 60)
    return dict(line.split("=", 1) for line in data.decode().splitlines())


async def heard_but_signs_of_life(listening):
    while "WATCHDOG" in (told := await heard(listening)):
        pass
    return told


@pytest.mark.parametrize("workers", ["1", "2"])
@bounded()
async def test_systemd_is_told_of_ready_reload_life_and_stop(tmp_path, workers):
    config = config_for("http://127.0.0.1:1/v1")
    with manager(tmp_path) as (listening, environ):
        arguments = ("serve", "--port", "0", "--workers", workers)
        environ |= {"WATCHDOG_USEC": "1000000"}
        async with running(tmp_path / "p", *arguments, config=config, environ=environ) as proxy:
            ready = await heard_but_signs_of_life(listening)
            assert ready["READY"] == "1"
            assert proxy.base in ready["STATUS"]
            assert ready["MAINPID"] == str(proxy.pid)
            assert (await heard(listening)) == {"WATCHDOG": "1"}
            assert (await heard(listening)) == {"WATCHDOG": "1"}
            proxy.signal(signal.SIGHUP)
            reloading = await heard_but_signs_of_life(listening)
            assert reloading["RELOADING"] == "1"
            assert int(reloading["MONOTONIC_USEC"]) > 0
            assert (await heard_but_signs_of_life(listening)) == {"READY": "1"}
            proxy.signal(signal.SIGTERM)
            assert (await heard_but_signs_of_life(listening))["STOPPING"] == "1"
            assert await proxy.ended() == 0


@bounded()
async def test_a_manager_that_is_gone_does_not_matter(tmp_path):
    config = config_for("http://127.0.0.1:1/v1")
    environ = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "100000"}
    async with running(tmp_path / "p", config=config, environ=environ) as proxy:
        await asyncio.sleep(0.5)
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
@bounded()
async def test_a_watchdog_that_does_not_wait_keeps_nobody_busy(tmp_path, workers):
    config = config_for("http://127.0.0.1:1/v1")
    with manager(tmp_path) as (listening, environ):
        arguments = ("serve", "--port", "0", "--workers", workers)
        environ |= {"WATCHDOG_USEC": "0"}
        async with running(tmp_path / "p", *arguments, config=config, environ=environ) as proxy:
            assert (await heard(listening))["READY"] == "1"
            used_s = proxy.used_s()
            await asyncio.sleep(1)
            assert proxy.used_s() - used_s < 0.5
            proxy.signal(signal.SIGTERM)
            assert (await heard(listening))["STOPPING"] == "1"


@bounded()
async def test_the_watchdog_of_another_process_is_not_ours(tmp_path):
    config = config_for("http://127.0.0.1:1/v1")
    with manager(tmp_path) as (listening, environ):
        environ |= {"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}
        async with running(tmp_path / "p", config=config, environ=environ) as proxy:
            assert (await heard(listening))["READY"] == "1"
            await asyncio.sleep(0.5)
            proxy.signal(signal.SIGTERM)
            assert (await heard(listening))["STOPPING"] == "1"

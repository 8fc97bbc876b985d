"""Each way to reload the config file, in a single process and in workers."""

import asyncio
import os
import signal
import sys

import pytest
import yaml

from tests.support.client import CHAT, ask
from tests.support.process import LLMPROXY, running
from tests.support.run import bounded
from tests.support.vendor import GOOD, scripted
from tests.system.config_file import SETTINGS, WRONG, config_now, write
from tests.system.vendors import group_of
from tests.system.workers import replaced, serving, workers_of


def config_of(vendor, *names, **settings):
    """Return a config with a group of one vendor by each name."""
    groups = [group_of([vendor], group=name, weights=[1]) for name in names]
    return {"model_groups": groups, "general_settings": {**SETTINGS, **settings}}


async def serves(proxy, name, *, times=1):
    """Wait until so many connections in a row find the group."""
    found = 0
    while found < times:
        reply = await ask(proxy.port, body={**CHAT, "model": name})
        found = found + 1 if reply.status == 200 else 0
        await asyncio.sleep(0.02)


async def refused(proxy):
    """Wait until the proxy reports that the file is invalid."""
    while (await config_now(proxy))["error"] is None:
        await asyncio.sleep(0.02)


@bounded()
async def test_a_changed_file_is_loaded_at_once_and_an_invalid_one_is_not(tmp_path):
    async with scripted(GOOD) as vendor:
        async with running(tmp_path, config=config_of(vendor, "gpt-4.1")) as proxy:
            write(proxy, config_of(vendor, "gpt-4.1", "second"))
            await serves(proxy, "second")
            write(proxy, WRONG)
            await refused(proxy)
            assert "config.yaml:1: model_groups[0].models[0].weight" in proxy.stderr
            assert (await ask(proxy.port, body={**CHAT, "model": "second"})).status == 200
            (tmp_path / "config.yaml").write_text(yaml.safe_dump(config_of(vendor, "third")))
            await serves(proxy, "third")
            config = await config_now(proxy)
            assert (config["reloads"], config["failed_reloads"]) == (2, 1)
            assert config["error"] is None


@bounded()
async def test_sighup_reloads_a_file_that_is_not_watched(tmp_path):
    async with scripted(GOOD) as vendor:
        config = config_of(vendor, "gpt-4.1", reload_on_change=False)
        async with running(tmp_path, config=config) as proxy:
            write(proxy, config_of(vendor, "second", reload_on_change=False))
            await asyncio.sleep(1)
            assert (await ask(proxy.port, body=CHAT)).status == 200
            proxy.signal(signal.SIGHUP)
            await serves(proxy, "second")
            write(proxy, WRONG)
            proxy.signal(signal.SIGHUP)
            await refused(proxy)
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
@bounded()
async def test_sighup_at_any_moment_of_the_start_ends_no_process(tmp_path, workers):
    """Python starts with signals blocked, so that only the command itself is tested."""
    async with scripted(GOOD) as vendor:
        serve = ["serve", "--port", "0", "--workers", workers]
        config = config_of(vendor, "gpt-4.1")
        starting = running(tmp_path, *serve, config=config, program=HELD_BACK)
        over = asyncio.Event()
        hanging_up = asyncio.create_task(hang_up(tmp_path, over))
        async with starting as proxy:
            over.set()
            assert await hanging_up > 10
            assert (await ask(proxy.port, body=CHAT)).status == 200
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0
            assert "Traceback" not in proxy.stderr


# Prints its process id, and becomes `llmproxy`.
HELD_BACK = (
    sys.executable,
    "-c",
    "import os, pathlib, signal, sys\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])\n"
    "pathlib.Path('pid').write_text(str(os.getpid()))\n"
    f"os.execv({LLMPROXY!r}, [{LLMPROXY!r}, *sys.argv[1:]])\n",
)


async def hang_up(folder, over):
    """Send SIGHUP until an event; return how often."""
    sent = 0
    while not over.is_set():
        if (folder / "pid").exists() and (number := (folder / "pid").read_text()):
            os.kill(int(number), signal.SIGHUP)
            sent += 1
        await asyncio.sleep(0.01)
    return sent


@bounded()
async def test_sighup_to_the_supervisor_reaches_all_workers(tmp_path):
    async with scripted(GOOD) as vendor:
        settings = {**SETTINGS, "reload_on_change": False}
        async with serving(tmp_path / "p", vendor, settings=settings) as proxy:
            before = workers_of(proxy)
            write(proxy, config_of(vendor, "second", **settings))
            proxy.signal(signal.SIGHUP)
            await serves(proxy, "second", times=20)
            assert workers_of(proxy) == before


@bounded()
async def test_a_reload_through_one_worker_reloads_all(tmp_path):
    async with scripted(GOOD) as vendor:
        settings = {**SETTINGS, "reload_on_change": False}
        async with serving(tmp_path / "p", vendor, settings=settings) as proxy:
            write(proxy, config_of(vendor, "second", **settings))
            reply = await ask(proxy.port, "/admin/reload", body=b"{}", host="localhost")
            assert reply.json["changes"] == ["second: is new", "gpt-4.1: is gone"]
            await serves(proxy, "second", times=20)
            assert proxy.stderr.count("second: is new") == 2
            write(proxy, WRONG)
            reply = await ask(proxy.port, "/admin/reload", body=b"{}", host="localhost")
            assert reply.status == 422
            while proxy.stderr.count("Config not reloaded") < 2:
                await asyncio.sleep(0.02)
            for _ in range(10):
                config = await config_now(proxy)
                assert (config["reloads"], config["failed_reloads"]) == (1, 1)
                assert config["error"] == reply.json["detail"]


@pytest.mark.parametrize("watched", [True, False])
@bounded()
async def test_a_replaced_worker_serves_the_same_config_as_the_others(tmp_path, watched):
    """After the start the file has changed twice: to a valid one, then to an invalid one."""
    async with scripted(GOOD) as vendor:
        settings = {**SETTINGS, "reload_on_change": watched}
        async with serving(tmp_path / "p", vendor, settings=settings) as proxy:
            write(proxy, config_of(vendor, "second", **settings))
            proxy.signal(signal.SIGHUP)
            await serves(proxy, "second", times=20)
            write(proxy, WRONG)
            if watched:
                while proxy.stderr.count("Config not reloaded") < 2:
                    await asyncio.sleep(0.02)
            killed = workers_of(proxy)[0]
            os.kill(killed, signal.SIGKILL)
            await replaced(proxy)
            assert killed not in workers_of(proxy)
            for _ in range(30):
                reply = await ask(proxy.port, body={**CHAT, "model": "second"})
                assert reply.status == 200
                config = await config_now(proxy)
                assert config["reloads"] == 1
                assert (config["error"] is not None) is watched

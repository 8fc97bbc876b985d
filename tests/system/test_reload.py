"""Repeated reloads of the config under load: no client notices."""

import asyncio
import signal

from tests.admin.watching import get_json
from tests.support.client import ask
from tests.support.examples import THOROUGH
from tests.support.process import running
from tests.support.run import bounded
from tests.system.clients import Load
from tests.system.config_file import SETTINGS, WRONG, config_now, write
from tests.system.vendors import group_of, vendors
from tests.system.workers import serving, workers_of

RELOADS = 100 if THOROUGH else 40


def config_of(members, number, **settings):
    """Return the config of a reload: endpoints come and go, weights and timeouts change."""
    gone = number % 3
    weights = [3 + number % 5, 2, 1]
    group = group_of(members, weights=weights)
    group["models"] = [model for place, model in enumerate(group["models"]) if place != gone]
    if number % 4 == 1:
        settings["timeouts"] = {"connect_s": 4}
    if number % 5 == 2:  # so few places that calls are queued
        for model in group["models"]:
            model["limits"] = {"concurrent": 4}
    return {"model_groups": [group], "general_settings": {**SETTINGS, **settings}}


async def keep_calling(proxy, until):
    """Make calls and streams until an event; return the failures and the number of calls."""
    failures, finished = [], 0
    while not until.is_set():
        load = await Load(proxy.port, 400, clients=20, mark=f"call {finished}").run()
        failures += load.failures
        finished += load.finished
    return failures, finished


async def reload_again_and_again(proxy, members, over):
    """Reload RELOADS times, every tenth file is invalid; return how many were accepted."""
    taken = 0
    try:
        for number in range(RELOADS):
            wrong = number % 10 == 9
            write(proxy, WRONG if wrong else config_of(members, number))
            reply = await ask(proxy.port, "/admin/reload", body=b"{}", host="localhost")
            assert reply.status == (422 if wrong else 200), reply.body
            taken += not wrong
            await asyncio.sleep(0.02)
    finally:
        over.set()
    return taken


@bounded(300)
async def test_many_reloads_under_load_affect_no_call(tmp_path):
    async with vendors(3, latency_s=0.02) as members:
        async with running(tmp_path, config=config_of(members, 0)) as proxy:
            over = asyncio.Event()
            (failures, finished), taken = await asyncio.gather(
                keep_calling(proxy, over), reload_again_and_again(proxy, members, over)
            )
            assert failures == []
            assert finished > RELOADS
            assert taken == RELOADS * 0.9
            config = await config_now(proxy)
            # A file that the watch has already loaded is no change for the request.
            assert config["reloads"] >= 0.8 * RELOADS
            assert config["failed_reloads"] >= 0.1 * RELOADS
            state = await get_json(proxy, "/admin/state")
            assert state["in_flight"] == 0
            assert state["totals"]["calls"] == finished
            assert all(group["in_flight"] == 0 for group in state["groups"])
            assert "Traceback" not in proxy.stderr
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0


@bounded(300)
async def test_two_workers_agree_after_many_reloads_that_affect_no_call(tmp_path):
    async with vendors(3, latency_s=0.02) as members:
        async with serving(tmp_path / "p", members[0], settings=SETTINGS) as proxy:
            over = asyncio.Event()
            (failures, finished), taken = await asyncio.gather(
                keep_calling(proxy, over), reload_again_and_again(proxy, members, over)
            )
            assert failures == []
            assert finished > RELOADS
            assert taken == RELOADS * 0.9
            write(proxy, config_of(members, 3, num_retries=7))
            await both_serve(proxy, members, 3)
            assert len(workers_of(proxy)) == 2
            assert "Traceback" not in proxy.stderr
            assert "It is replaced" not in proxy.stderr
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0


async def both_serve(proxy, members, number):
    """Wait until every worker has the endpoints of a config: each connection asks one of them."""
    wanted = {model["name"] for model in config_of(members, number)["model_groups"][0]["models"]}
    agreed = 0
    while agreed < 20:
        health = (await ask(proxy.port, "/health", method="GET")).json
        found = {endpoint["endpoint"] for endpoint in health["endpoints"]}
        agreed = agreed + 1 if found == wanted and not health["config_error"] else 0
        await asyncio.sleep(0.02)

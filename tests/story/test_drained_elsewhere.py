"""An operator's action at one instance applies to all: to instances that run, to those that start
later, and to groups that a later config adds."""

import asyncio

from tests.admin.watching import endpoints_of, post
from tests.reload.reloading import reload
from tests.support.client import HELLO, ask
from tests.support.groups import endpoint
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.under_way import sharing
from tests.support.valkey import valkey
from tests.support.vendor import GOOD, scripted

DRAIN = {"endpoint": "one"}


def shared_config(one, two, server):
    return config_for(endpoint(one, "one"), endpoint(two, "two"), redis_url=server.url)


async def state_becomes(proxy, name, state):
    while (await endpoints_of(proxy))[name]["state"] != state:
        await asyncio.sleep(0.05)


@bounded()
async def test_an_instance_that_starts_later_respects_the_drain_from_its_first_call(tmp_path):
    async with valkey(tmp_path) as server, scripted(GOOD) as one, scripted(GOOD) as two:
        async with serve_proxy(shared_config(one, two, server)) as first:
            await sharing(first)
            assert (await post(first, "/admin/drain", DRAIN)).status == 200
            while not await server.command("KEYS", "*news*"):
                await asyncio.sleep(0.01)
            for _ in range(5):
                async with serve_proxy(shared_config(one, two, server)) as later:
                    for _ in range(2):
                        assert (await ask(later.port, body=HELLO)).status == 200
            assert (len(one.received), len(two.received)) == (0, 10)
            async with serve_proxy(shared_config(one, two, server)) as later:
                await post(later, "/admin/enable", DRAIN)
                await state_becomes(first, "one", "ok")


@bounded()
async def test_a_drain_applies_to_a_group_that_a_later_config_adds(tmp_path):
    async with valkey(tmp_path) as server, scripted(GOOD) as one, scripted(GOOD) as two:
        config = shared_config(one, two, server)
        more = {**config, "model_groups": [*config["model_groups"]]}
        more["model_groups"].append({**config["model_groups"][0], "model_group": "other"})
        path = tmp_path / "llmproxy.yaml"
        async with serve_proxy(more) as first, serve_proxy(config, path=path) as second:
            await sharing(first)
            assert (await post(first, "/admin/drain", DRAIN)).json == {"endpoints": 2}
            await state_becomes(second, "one", "drained")
            await reload(second, more)
            for _ in range(6):
                await ask(second.port, body={**HELLO, "model": "other"})
            assert (len(one.received), len(two.received)) == (0, 6)

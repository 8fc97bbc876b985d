"""Hundreds of things in three accounts, through two instances, a restart and a drain.

`OWNERS_OF_MANY=10` multiplies the numbers: 300 files, 50 batches, 200 stored responses and 100
conversations. It prints how many calls reached a wrong account.
"""

import os
import random
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.admin.watching import post as admin
from tests.support.accounts import accounts, config_of, group
from tests.support.client import connect, request
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.valkey import valkey

TIMES = int(os.environ.get("OWNERS_OF_MANY", "1"))
NUMBERS = {"files": 30, "batches": 5, "responses": 20, "conversations": 10}
FORM = [("content-type", "multipart/form-data; boundary=xx")]
FILE = (
    b'--xx\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    b"{}\r\n--xx--\r\n"
)


class Instances:
    """Two proxies of one config, each asked over one connection."""

    def __init__(self, config, environ):
        self.config = config
        self.environ = environ
        self.stacks = {}
        self.proxies = {}
        self.connections = {}

    async def start(self, name):
        stack = self.stacks[name] = AsyncExitStack()
        proxy = await stack.enter_async_context(serve_proxy(self.config, self.environ))
        self.proxies[name] = proxy
        self.connections[name] = await connect(proxy.port)

    async def stop(self, name):
        self.connections[name].leave()
        await self.stacks[name].aclose()

    async def ask(self, name, path, body=b"", method="POST", headers=()):
        connection = self.connections[name]
        await connection.send(request(f"/v1/{path}", body, method=method, headers=headers))
        return await connection.reply()

    async def drain(self, account, *, enable=False):
        path = "/admin/enable" if enable else "/admin/drain"
        for proxy in self.proxies.values():
            await admin(proxy, path, {"group": "m", "endpoint": account})


@asynccontextmanager
async def two_instances(config, environ):
    instances = Instances(config, environ)
    for name in ("one", "other"):
        await instances.start(name)
    try:
        yield instances
    finally:
        for name in ("one", "other"):
            await instances.stop(name)


@asynccontextmanager
async def kept_in(place, tmp_path):
    """Yield the settings and the environment of proxies that keep owners there."""
    if place == "file":
        yield {}, {"STATE_DIRECTORY": str(tmp_path)}
        return
    async with valkey(tmp_path) as server:
        yield {"redis_url": server.url}, {}


async def create(instances, name, kind, made):
    body, headers = {}, ()
    if kind == "files":
        body, headers = FILE, FORM
    elif kind == "batches":
        body = {"input_file_id": random.choice(made["files"])}
    elif kind == "responses":
        body = {"model": "m", "input": "hi"}
        if made["conversations"] and random.random() < 0.5:
            body["conversation"] = random.choice(made["conversations"])
    reply = await instances.ask(name, kind, body, headers=headers)
    if reply.status == 200:
        made[kind].append(reply.json["id"])
    return reply


async def read_back(instances, made, seen):
    for kind, ids in made.items():
        for id_ in ids:
            reply = await instances.ask(
                random.choice(("one", "other")), f"{kind}/{id_}", method="GET"
            )
            seen[reply.status] += 1
            if reply.status == 200:
                assert reply.json["id"] == id_
            else:
                assert (reply.status, reply.error["code"]) == (503, "no_endpoint_available")


@pytest.mark.parametrize("place", ["server", "file"])
@bounded(300)
async def test_of_many_things_none_is_looked_for_in_a_wrong_account(place, tmp_path):
    random.seed(15)
    async with kept_in(place, tmp_path) as (settings, environ), accounts("a", "b", "c") as three:
        config = config_of(group("m", *three), **settings)
        async with two_instances(config, environ) as instances:
            made = {"files": [], "conversations": [], "batches": [], "responses": []}
            seen = Counter()
            for half in (1, 2):
                for kind, ids in made.items():
                    while len(ids) < TIMES * NUMBERS[kind] * half // 2:
                        name = random.choice(("one", "other"))
                        reply = await create(instances, name, kind, made)
                        assert reply.status in (200, 503), reply.body
                if half == 1:
                    await read_back(instances, made, seen)
                    assert set(seen) == {200}
                    await instances.stop("other")
                    await instances.start("other")
                    await instances.drain("c")
            await read_back(instances, made, seen)
            assert seen[503] > 0, "the drained account's things are neither lost nor elsewhere"
            await instances.drain("c", enable=True)
            seen = Counter()
            await read_back(instances, made, seen)
            total = sum(len(ids) for ids in made.values())
            assert seen == {200: total}
        wrong = [stranger for account in three for stranger in account.strangers]
        kept = [sum(map(len, account.kept.values())) for account in three]
        print(f"{total} things in accounts of {kept}, owners in a {place}: {len(wrong)} wrong")  # noqa: T201
        assert not wrong

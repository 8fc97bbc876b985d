"""Every store returns what was written until it expires, and purges it: SQLite, server, cluster."""

import asyncio
from contextlib import asynccontextmanager
from time import time

import pytest

from llmproxy.batteries.cache.cached_answer import CachedAnswer, pack
from llmproxy.batteries.cache.stores.sqlite import SqliteStore
from llmproxy.batteries.cache.stores.valkey import ValkeyStore
from llmproxy.batteries.settings import FullSettings
from llmproxy.batteries.shared_state.address import client_of
from tests.support.run import bounded
from tests.support.valkey import free_port, valkey

KINDS = ["disk", "server", "cluster"]
# Names that could be mistaken for a pattern, a path or a part of a statement.
GROUPS = ["gpt-4.1", "*", "a:b", "a", "[a]", "a/b?c", "Größe 'x'; --", ""]


@asynccontextmanager
async def opened(kind, folder, *, keep_s=60.0):
    if kind == "disk":
        store = SqliteStore(folder / "answers", max_bytes=2**24, keep_s=keep_s)
        yield store
        await store.close()
        return
    async with served(kind, folder) as settings:
        client = client_of(settings)
        try:
            yield ValkeyStore(client, namespace="here [1]*", keep_s=keep_s)
        finally:
            await client.aclose()


@asynccontextmanager
async def served(kind, folder):
    if kind == "server":
        async with valkey(folder) as server:
            yield FullSettings(redis_url=server.url)
        return
    buses = free_port(), free_port()
    async with (
        valkey(folder, *cluster_on(folder, buses[0])) as one,
        valkey(folder, *cluster_on(folder, buses[1])) as other,
    ):
        await one.command("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
        await other.command("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
        await one.command("CLUSTER", "MEET", "127.0.0.1", str(other.port), str(buses[1]))
        for node in (one, other):
            while "cluster_state:ok" not in str(await node.command("CLUSTER", "INFO")):
                await asyncio.sleep(0.05)
        yield FullSettings(redis_url=one.url, redis_cluster=True)


def cluster_on(folder, bus):
    file = ("--cluster-config-file", str(folder / f"nodes-{bus}.conf"))
    return ("--cluster-enabled", "yes", "--cluster-port", str(bus), *file)


def value(key, group="g", stored_at=None):
    return pack(key, CachedAnswer(group, b"t", b"{}", time() if stored_at is None else stored_at))


def key(number):
    return number.to_bytes(32, "big")


@pytest.mark.parametrize("kind", KINDS)
@bounded()
async def test_values_are_read_under_their_group_and_key(tmp_path, kind):
    async with opened(kind, tmp_path) as store:
        written = [
            (group, key(number), value(key(number), group))
            for group in GROUPS
            for number in range(20)
        ]
        await store.write(written)
        wanted = [(group, key_) for group, key_, _ in written]
        assert await store.read(wanted) == [value for _, _, value in written]
        assert await store.read(wanted[::-1]) == [value for _, _, value in written[::-1]]
        assert await store.read([("other", key(1)), ("a", b""), ("g", key(99))]) == [None] * 3


@pytest.mark.parametrize("kind", KINDS[:2])
@bounded()
async def test_a_later_answer_replaces_an_earlier_one(tmp_path, kind):
    async with opened(kind, tmp_path) as store:
        await store.write([("g", key(1), b"old"), ("g", key(2), b"other")])
        await store.write([("g", key(1), b"newer"), ("g", key(1), b"newest")])
        assert await store.read([("g", key(1)), ("g", key(2))]) == [b"newest", b"other"]
        assert (await store.totals()).entries == 2


@pytest.mark.parametrize("kind", KINDS[:2])
@bounded()
async def test_expired_answers_are_not_returned(tmp_path, kind):
    async with opened(kind, tmp_path, keep_s=1.0) as store:
        await store.write([("g", key(1), value(key(1)))])
        assert await store.read([("g", key(1))]) != [None]
        await asyncio.sleep(1.1)
        assert await store.read([("g", key(1))]) == [None]


@pytest.mark.parametrize("kind", KINDS)
@bounded()
async def test_a_purge_removes_matching_answers_only(tmp_path, kind):
    now = time()
    async with opened(kind, tmp_path) as store:
        for group in GROUPS:
            await store.write(
                [
                    (group, key(number), value(key(number), group, now - number / 100))
                    for number in range(300)
                ]
            )
        left = {(group, number) for group in GROUPS for number in range(300)}
        for group in GROUPS[:-2]:
            assert await store.purge(group, now - 2.0) == 99
            assert await store.purge(group, now - 2.0) == 0
            left -= {(group, number) for number in range(201, 300)}
            assert await found(store) == left
            assert await store.purge(group, None) == 201
            left -= {(group, number) for number in range(201)}
            assert await found(store) == left
        assert await store.purge(None, now - 1.0) == 2 * 199
        assert await store.purge(None, None) == 2 * 101
        assert await found(store) == set()
        assert (await store.totals()).entries == 0


async def found(store):
    wanted = [(group, number) for group in GROUPS for number in range(300)]
    values = await store.read([(group, key(number)) for group, number in wanted])
    return {pair for pair, value in zip(wanted, values, strict=True) if value is not None}


@pytest.mark.parametrize("kind", KINDS)
@bounded()
async def test_totals_count_entries_and_bytes(tmp_path, kind):
    async with opened(kind, tmp_path) as store:
        assert (await store.totals()).entries == 0
        for first in range(0, 3000, 500):
            await store.write([("g", key(first + n), bytes(700)) for n in range(500)])
        totals = await store.totals()
        assert totals.entries == 3000
        assert 3000 * 700 <= totals.bytes <= 3000 * 1100


@pytest.mark.parametrize("kind", KINDS[:2])
@bounded()
async def test_a_purge_by_age_leaves_values_of_unknown_age(tmp_path, kind):
    async with opened(kind, tmp_path) as store:
        await store.write([("g", key(1), b"of another version")])
        assert await store.purge("g", time() - 10.0) == 0
        assert await store.read([("g", key(1))]) == [b"of another version"]
        assert await store.purge("g", None) == 1


@pytest.mark.parametrize("kind", KINDS[:2])
@bounded()
async def test_closing_twice_is_allowed(tmp_path, kind):
    async with opened(kind, tmp_path) as store:
        await store.close()
        await store.close()

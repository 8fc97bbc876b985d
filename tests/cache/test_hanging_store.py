"""A store that hangs costs a call 8 ms, from the first call on, and most calls nothing."""

import asyncio
from contextlib import asynccontextmanager
from itertools import count
from time import monotonic

import pytest

from llmproxy.batteries.cache.opening import Caches
from llmproxy.batteries.cache.stores.l2 import open_l2
from llmproxy.batteries.settings import FullSettings
from tests.support.answers import FakeStore, entry, key
from tests.support.cached import numbered_answers, with_cache
from tests.support.client import ask, question
from tests.support.line import line_to
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.valkey import valkey
from tests.support.vendor import scripted
from tests.support.waiting import until

QUICK_S, TIMEOUT_S = 0.008, 0.1  # of a server
CALL_S = 0.01  # what a hanging server may cost a call
FAR_S = 0.06  # what a read of a store far away takes


@asynccontextmanager
async def opened(url):
    """Open the store of a config, with the times that it has for users."""
    settings = FullSettings(redis_url=url, cache=True, cache_params={"type": "redis"})
    async with Caches().open(settings) as cache:
        yield cache.l2


def open_near(store):
    """Open a store with times that even a busy machine keeps."""
    return open_l2(store, timeout_s=5 * FAR_S, quick_s=FAR_S / 2)


async def seconds_of_gets(level, gets):
    """Return how long each get of an answer takes, one after the other."""
    took = []
    for number in range(gets):
        began = monotonic()
        assert await level.get("g", key(number)) is None
        took.append(monotonic() - began)
    return took


@pytest.mark.clock
@bounded()
async def test_a_valkey_that_stops_costs_no_call_10_ms(tmp_path):
    async with valkey(tmp_path) as server, opened(server.url) as level:
        await until(lambda: level.connected)
        await seconds_of_gets(level, 3)
        server.hang()
        waited = []
        while level.connected:  # a read each time that the one before it was given up
            first, *others = await seconds_of_gets(level, 20)
            assert sorted(others)[10] < CALL_S / 10, others
            if first > QUICK_S / 2:
                waited.append(first)
            await asyncio.sleep(0.02)
        assert 1 <= len(waited) <= 5, waited
        assert min(waited) < CALL_S, waited  # a busy machine delays some
        assert max(waited) < TIMEOUT_S / 2, waited
        server.go_on()
        await until(lambda: level.connected)


@pytest.mark.clock
@bounded()
async def test_a_server_that_vanished_is_left_for_its_successor_after_a_few_reads(tmp_path):
    async with valkey(tmp_path) as old, valkey(tmp_path) as new, line_to(old) as line:
        async with opened(new.url) as level:
            await until(lambda: level.connected)
            level.put_later(key(1), entry())
        async with opened(line.url) as level:
            await until(lambda: level.connected)
            await asyncio.gather(*(level.totals() for _ in range(8)))  # connections
            line.dead.add(old.port)
            line.port = new.port
            waited, found = [], None
            while found is None:
                assert level.connected
                began = monotonic()
                found = await level.get("g", key(1))
                took = monotonic() - began
                if found is None and took > QUICK_S / 2:
                    waited.append(took)
                await asyncio.sleep(0.001)
            assert 1 <= len(waited) < 5, waited
            assert max(waited) < TIMEOUT_S / 2, waited
            assert 1 <= level.counters.failures < 5


@pytest.mark.clock
@bounded()
async def test_a_server_that_accepts_and_never_answers_is_not_waited_for():
    async def accept(reader, writer):
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}/0") as level:
            assert sum(await seconds_of_gets(level, 20)) < CALL_S
            assert not level.connected


@pytest.mark.clock
@bounded()
async def test_a_server_that_hangs_is_not_asked_for_the_lock_across_instances(tmp_path):
    questions = count()

    async def seconds_of_call(proxy):
        began = monotonic()
        reply = await ask(proxy.port, body=question(f"question {next(questions)}", temperature=0))
        assert reply.status == 200
        return monotonic() - began

    async with valkey(tmp_path) as server, scripted(numbered_answers()) as vendor:
        config = with_cache(vendor, type="redis", across_instances=True)
        config["general_settings"]["redis_url"] = server.url
        async with serve_proxy(config) as proxy:
            level = proxy.runtime.cache.l2
            await until(lambda: level.connected)
            await seconds_of_call(proxy)
            server.hang()
            assert await seconds_of_call(proxy) >= TIMEOUT_S  # the lock: no answer is no refusal
            await until(lambda: level.suspect)
            took = [await seconds_of_call(proxy) for _ in range(10)]
            assert sorted(took)[5] < TIMEOUT_S / 2, took
            server.go_on()

            async def heard_of():
                await seconds_of_call(proxy)
                return not level.suspect

            while not await heard_of():
                await asyncio.sleep(0.05)


@pytest.mark.clock
@bounded()
async def test_a_late_read_is_no_failure_and_no_other_is_sent_until_it_is_back():
    store = FakeStore()
    store.keep(key(1), entry())
    async with open_near(store) as level:
        store.read_s = FAR_S
        assert await level.get("g", key(1)) is None
        assert await asyncio.gather(*(level.get("g", key(1)) for _ in range(9))) == [None] * 9
        assert len(store.reads) == 1
        await until(lambda: store.under_way == 0)
        store.read_s = 0.0
        assert await level.get("g", key(1)) == entry()
        assert level.counters.failures == 0


class StubbornStore(FakeStore):
    """A store whose library swallows the first cancellation of a read."""

    async def read(self, wanted):
        try:
            return await super().read(wanted)
        except asyncio.CancelledError:
            await asyncio.sleep(60.0)
            raise


@pytest.mark.clock
@bounded()
async def test_a_read_that_cannot_be_cancelled_does_not_keep_others_from_the_store():
    store = StubbornStore()
    store.keep(key(1), entry())
    async with open_near(store) as level:
        store.read_s = 60.0
        assert await level.get("g", key(1)) is None
        store.read_s = 0.0
        began = monotonic()
        while await level.get("g", key(1)) is None:
            assert monotonic() - began < 5.0
            await asyncio.sleep(0.005)
        assert level.counters.failures == 1


@pytest.mark.clock
@bounded()
async def test_a_late_read_that_is_refused_is_a_failure():
    store = FakeStore()
    async with open_near(store) as level:
        store.read_s, store.reads_fail = FAR_S, True
        assert await level.get("g", key(1)) is None
        await until(lambda: level.counters.failures == 1)


@pytest.mark.clock
@bounded()
async def test_a_store_that_is_far_away_has_the_time_that_its_probe_took():
    store = FakeStore(read_s=FAR_S)
    store.keep(key(1), entry())
    async with open_near(store) as level:
        assert await level.get("g", key(1)) == entry()
        assert level.counters.failures == 0


@pytest.mark.clock
@bounded()
async def test_a_server_20_ms_away_is_of_use(tmp_path):
    async with valkey(tmp_path) as server, line_to(server) as line:
        async with opened(server.url) as level:
            await until(lambda: level.connected)
            level.put_later(key(1), entry())
        line.delay_s = 0.01  # each way
        async with opened(line.url) as level:
            await until(lambda: level.connected)
            found = []
            for _ in range(20):
                found.append(await level.get("g", key(1)))
                await asyncio.sleep(0.01)
            assert found.count(entry()) >= 15, found
            assert level.connected


@pytest.mark.clock
@bounded()
async def test_a_store_far_away_that_hangs_is_waited_for_as_long_only_once():
    store = FakeStore(read_s=FAR_S)
    async with open_near(store) as level:
        store.read_s = 60.0
        (first,) = await seconds_of_gets(level, 1)
        assert first >= 3 * FAR_S
        await until(lambda: store.under_way == 0)
        (second,) = await seconds_of_gets(level, 1)
        assert second < 2 * FAR_S


@pytest.mark.clock
@bounded()
async def test_a_store_that_becomes_slow_has_more_time_after_its_first_answer():
    store = FakeStore()
    store.keep(key(1), entry())
    async with open_near(store) as level:
        store.read_s = FAR_S
        assert await level.get("g", key(1)) is None
        await until(lambda: store.under_way == 0)
        assert await level.get("g", key(1)) == entry()
        assert level.counters.failures == 0

"""Reads of L2: gets are read together, and wait no longer than their timeout for any store."""

import asyncio
import logging
import os
from time import monotonic

import pytest

from tests.support.answers import TIMEOUT_S, FakeStore, entry, key, open_store
from tests.support.run import bounded
from tests.support.waiting import until


@bounded()
async def test_the_gets_of_one_loop_turn_are_one_read():
    store = FakeStore()
    for number in range(0, 50, 2):
        store.keep(key(number), entry(b"%d" % number))
    async with open_store(store) as level:
        found = await asyncio.gather(*(level.get("g", key(number)) for number in range(50)))
        assert [answer and answer.body for answer in found] == [
            None if number % 2 else b"%d" % number for number in range(50)
        ]
        assert store.reads == [[("g", key(number)) for number in range(50)]]
        assert (level.counters.reads, level.counters.hits, level.counters.damaged) == (50, 25, 0)


@bounded()
async def test_gets_of_the_same_key_share_one_read():
    store = FakeStore()
    store.keep(key(1), entry())
    async with open_store(store) as level:
        found = await asyncio.gather(*(level.get("g", key(1)) for _ in range(9)))
        assert found == [entry()] * 9
        assert store.reads == [[("g", key(1))]]
        assert (level.counters.reads, level.counters.hits) == (9, 9)


@bounded()
async def test_gets_gather_while_the_most_reads_are_in_flight():
    store = FakeStore(read_s=0.03)
    async with open_store(store) as level:
        waiting = []
        for number in range(10):
            waiting.append(level.get("g", key(number)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert store.most_under_way == 4
        assert [len(wanted) for wanted in store.reads] == [1, 1, 1, 1, 6]


@bounded()
async def test_a_cancelled_get_does_not_affect_the_others():
    store = FakeStore(read_s=0.02)
    store.keep(key(1), entry())
    async with open_store(store) as level:

        async def get():
            return await level.get("g", key(1))

        one, other = asyncio.create_task(get()), asyncio.create_task(get())
        await asyncio.sleep(0.01)
        one.cancel()
        assert await other == entry()
        assert one.cancelled()
        assert level.counters.hits == 1


@bounded()
async def test_a_big_answer_is_found_and_delays_no_small_one():
    store = FakeStore()
    big = entry(os.urandom(2_000_000))
    store.keep(key(1), big)
    store.keep(key(2), entry())
    async with open_store(store) as level:
        order = []
        gets = [level.get("g", key(1)), level.get("g", key(2))]
        for get in gets:
            get.add_done_callback(lambda get: order.append(len(get.result().body)))
        assert await asyncio.gather(*gets) == [big, entry()]
        assert order == [6, 2_000_000]


@bounded()
async def test_damaged_values_are_not_returned_and_are_counted():
    store = FakeStore()
    store.keep(key(1), entry())
    store.kept["g", key(2)] = store.kept["g", key(1)]  # packed under another key
    store.kept["g", key(3)] = b"foreign"
    async with open_store(store) as level:
        found = [await level.get("g", key(number)) for number in (1, 2, 3)]
        assert found == [entry(), None, None]
        assert (level.counters.hits, level.counters.damaged, level.counters.failures) == (1, 2, 0)


# Failing reads


@pytest.mark.clock
@bounded()
async def test_a_get_waits_no_longer_than_its_timeout():
    store = FakeStore()
    async with open_store(store) as level:
        store.read_s = 60.0
        waited = []
        for number in range(8):  # the last ones have to gather
            began = monotonic()
            level.get("g", key(number)).add_done_callback(
                lambda get, began=began: waited.append((get.result(), monotonic() - began))
            )
            await asyncio.sleep(0.005)
        await until(lambda: len(waited) == 8)
        assert all(result is None for result, _ in waited)
        assert max(seconds for _, seconds in waited) < TIMEOUT_S + 0.05


@pytest.mark.clock
@bounded()
async def test_a_late_read_may_complete_after_its_gets_timed_out():
    store = FakeStore()
    store.keep(key(1), entry())
    async with open_store(store) as level:
        store.read_s = TIMEOUT_S + 0.05
        assert await level.get("g", key(1)) is None
        await asyncio.sleep(0.02)
        assert store.under_way == 1
        await until(lambda: store.under_way == 0)
        assert (level.counters.failures, level.counters.hits) == (1, 0)
        store.read_s = 60.0
        assert await level.get("g", key(1)) is None
        await until(lambda: store.under_way == 0, within_s=0.5)


@pytest.mark.clock
@pytest.mark.parametrize("how", ["refuses", "hangs"])
@bounded()
async def test_a_store_that_fails_five_times_is_not_read_until_a_probe_succeeds(caplog, how):
    caplog.set_level(logging.WARNING, logger="llmproxy")
    store = FakeStore()
    store.keep(key(1), entry())
    async with open_store(store) as level:
        store.reads_fail, store.read_s = how == "refuses", 60.0 if how == "hangs" else 0.0
        for _ in range(4):
            assert await level.get("g", key(1)) is None
            await until(lambda: store.under_way == 0)  # a late read is waited for
        assert level.connected and not caplog.records
        assert await level.get("g", key(1)) is None
        assert not level.connected
        why = "the server is on fire." if how == "refuses" else "no answer within 0.1 s"
        assert level.why == why
        reads_so_far = len(store.reads)
        began = monotonic()
        for _ in range(1000):
            assert await level.get("g", key(1)) is None
        assert monotonic() - began < TIMEOUT_S
        assert len(store.reads) == reads_so_far
        store.reads_fail, store.read_s = False, 0.0
        await until(lambda: level.connected)
        assert await level.get("g", key(1)) == entry()
        assert level.why is None
    lost, back = (record.getMessage() for record in caplog.records)
    assert lost.startswith(f"The store of the answer cache is lost: {why.rstrip('.')}. ")
    assert back.startswith("The store of the answer cache is back after ")


@pytest.mark.clock
@bounded()
async def test_a_store_that_is_always_late_is_suspended_although_it_answers_in_the_end():
    store = FakeStore()
    store.keep(key(1), entry())
    async with open_store(store) as level:
        store.read_s = TIMEOUT_S + 0.02
        for _ in range(5):
            assert await level.get("g", key(1)) is None
            await asyncio.sleep(0.03)
        assert not level.connected


@bounded()
async def test_failures_that_are_not_in_a_row_suspend_nothing():
    store = FakeStore()
    async with open_store(store) as level:
        for number in range(20):
            store.reads_fail = number % 5 != 4
            await level.get("g", key(number))
        assert len(store.reads) == 20
        assert level.counters.failures == 16


@bounded()
async def test_a_slow_second_probe_fails():
    store = FakeStore(read_s=TIMEOUT_S + 0.05)  # in time for the first probe, which may connect
    async with open_store(store) as level:
        await until(lambda: level.why == "no answer within 0.1 s")


@bounded()
async def test_a_busy_event_loop_is_not_taken_for_a_late_store():
    store = FakeStore(read_s=0.01)
    store.keep(key(1), entry())
    async with open_store(store) as level:
        waiting = level.get("g", key(1))
        await asyncio.sleep(0.005)
        busy_until = monotonic() + TIMEOUT_S + 0.05
        while monotonic() < busy_until:
            pass
        assert await waiting == entry()
        assert level.counters.failures == 0


@pytest.mark.clock
@bounded()
async def test_a_store_that_does_not_answer_does_not_delay_the_start(caplog):
    store = FakeStore(read_s=60.0)
    began = monotonic()
    async with open_store(store) as level:
        assert monotonic() - began < 1.0
        assert not level.connected
        assert await level.get("g", key(1)) is None
        await until(lambda: caplog.records)
        store.read_s = 0.0
        await until(lambda: level.connected)


@bounded()
async def test_closing_answers_waiting_gets_with_none():
    store = FakeStore(read_s=60.0)
    store.read_s = 0.0
    async with open_store(store) as level:
        store.read_s = 60.0
        waiting = level.get("g", key(1))
        await asyncio.sleep(0.01)
    assert await waiting is None
    assert await level.get("g", key(1)) is None
    assert (store.under_way, store.closed) == (0, 1)

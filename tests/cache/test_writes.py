"""Writes of L2: puts are written later and together, and dropped if the store fails."""

import asyncio
import logging
from time import monotonic

import pytest

from tests.support.answers import FakeStore, entry, key, open_store
from tests.support.run import bounded
from tests.support.waiting import until


@bounded()
async def test_puts_are_written_in_batches_and_found():
    store = FakeStore()
    async with open_store(store) as level:
        for number in range(250):
            level.put_later(key(number), entry(b"%d" % number))
        assert store.writes == []
        await until(lambda: len(store.kept) == 250)
        assert [len(written) for written in store.writes] == [100, 100, 50]
        assert (await level.get("g", key(249))).body == b"249"
        assert level.queued_bytes == 0


@bounded()
async def test_puts_within_milliseconds_are_one_write():
    store = FakeStore()
    async with open_store(store) as level:
        for number in range(5):
            level.put_later(key(number), entry())
            await asyncio.sleep(0)
        await until(lambda: len(store.kept) == 5)
        assert len(store.writes) == 1


@bounded()
async def test_big_answers_are_written_a_few_at_a_time():
    store = FakeStore()
    async with open_store(store) as level:
        for number in range(10):
            level.put_later(key(number), entry(bytes(400_000)))
        await until(lambda: len(store.kept) == 10)
        assert [len(written) for written in store.writes] == [3, 3, 3, 1]
        assert await level.get("g", key(9)) == entry(bytes(400_000))


@bounded()
async def test_puts_that_do_not_fit_into_the_queue_are_dropped_and_counted():
    store = FakeStore(write_s=60.0)
    async with open_store(store) as level:
        for number in range(100):
            level.put_later(key(number), entry(bytes(1_000_000)))
        assert level.queued_bytes <= 32 * 1024 * 1024
        assert level.counters.dropped == 100 - 33
        store.write_s = 0.0
        await until(lambda: len(store.kept) == 33)
        assert level.queued_bytes == 0


@bounded()
async def test_closing_writes_the_queue():
    store = FakeStore(write_s=0.05)
    async with open_store(store) as level:
        for number in range(300):
            level.put_later(key(number), entry())
    assert len(store.kept) == 300
    assert store.closed == 1


@pytest.mark.clock
@bounded()
async def test_closing_does_not_wait_for_a_store_that_hangs():
    store = FakeStore(write_s=60.0)
    async with open_store(store) as level:
        level.put_later(key(1), entry())
        await until(lambda: store.writes)
        began = monotonic()
    assert monotonic() - began < 1.5


@bounded()
async def test_a_full_store_is_still_read_and_is_written_again_when_it_has_room(caplog):
    caplog.set_level(logging.WARNING, logger="llmproxy")
    store = FakeStore(writes_fail=True)
    store.keep(key(1), entry())
    async with open_store(store) as level:
        for number in range(2, 300):
            level.put_later(key(number), entry())
        await until(lambda: not level.connected)
        assert level.why == "nothing can be written: the server is full."
        assert await level.get("g", key(1)) == entry()
        assert [len(written) for written in store.writes] == [100, 1, 1, 1, 1]
        assert level.counters.dropped == 104
        store.writes_fail = False
        await until(lambda: level.connected)
        await until(lambda: len(store.kept) == 1 + 298 - 104)
    assert [record.getMessage().split()[7] for record in caplog.records] == ["lost:", "back"]


@bounded()
async def test_a_full_store_is_tried_again_with_the_last_answer():
    store = FakeStore(writes_fail=True)
    async with open_store(store) as level:
        level.put_later(key(1), entry())
        await until(lambda: not level.connected)
        assert level.counters.dropped == 0
        store.writes_fail = False
        await until(lambda: level.connected)
        assert len(store.kept) == 1


@bounded()
async def test_a_purge_removes_matching_answers_from_the_queue():
    store = FakeStore()
    async with open_store(store) as level:
        level.put_later(key(1), entry(group="g", stored_at=1.0))
        level.put_later(key(2), entry(group="g", stored_at=2.0))
        level.put_later(key(3), entry(group="h", stored_at=1.0))
        assert await level.purge("g", 2.0) == 1
        await until(lambda: len(store.kept) == 2)
        assert set(store.kept) == {("g", key(2)), ("h", key(3))}
        assert (await level.totals()).entries == 2
        level.put_later(key(4), entry())
        assert await level.purge(None, None) == 1
        assert level.queued_bytes == 0


@bounded()
async def test_a_purge_waits_for_a_write_in_progress():
    store = FakeStore(write_s=0.2)
    purged = []

    async def purge(group, stored_before):
        purged.extend(store.kept)
        return len(purged)

    store.purge = purge
    async with open_store(store) as level:
        level.put_later(key(1), entry())
        await until(lambda: store.writes)
        assert await level.purge("g", None) == 1
        assert purged == [("g", key(1))]

"""The SQLite store: its bound, its sharing by processes, and paths that it cannot use."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
import threading
from stat import S_IMODE
from time import monotonic, time

import pytest

from llmproxy.batteries.cache.stores.base import StoreError
from llmproxy.batteries.cache.stores.sqlite import SqliteStore
from tests.support.answers import KEEP_S, MIB, Clock, answer, kept, key, on_disk
from tests.support.run import bounded

# Size


@pytest.mark.parametrize("size", [10, 1000, 2100, 5000, 60_000])
@bounded()
async def test_the_file_uses_its_bound_and_never_exceeds_it(tmp_path, size):
    path, clock = tmp_path / "answers", Clock()
    async with on_disk(path, max_bytes=2 * MIB, clock=clock) as store:
        step = min(50, MIB // size // 2)
        count = 6 * MIB // (size + 300) // step * step
        for first in range(0, count, step):
            clock.now += 0.1
            batch = range(first, first + step)
            await store.write([answer(number, clock.now, size) for number in batch])
            assert (await store.totals()).bytes <= 2 * MIB
            assert await kept(store, batch[-10:]) == list(batch[-10:])
        held = await kept(store, range(count))
    assert path.stat().st_size <= 2 * MIB
    assert len(held) * (size + 300) > MIB


@bounded()
async def test_a_full_file_evicts_the_least_recently_used_first(tmp_path):
    clock = Clock()
    async with on_disk(tmp_path / "answers", max_bytes=2 * MIB, clock=clock) as store:
        await store.write([answer(number, clock.now) for number in range(1000)])
        clock.now += 100.0
        assert await kept(store, range(100)) == list(range(100))
        for first in range(1000, 2000, 100):
            await store.write([answer(number, clock.now) for number in range(first, first + 100)])
        assert await kept(store, range(100)) == list(range(100))
        assert len(await kept(store, range(100, 1000))) < 500


@bounded()
async def test_uses_are_noted_without_any_write(tmp_path):
    clock = Clock()
    path = tmp_path / "answers"
    async with on_disk(path, max_bytes=4 * MIB, clock=clock) as store:
        await store.write([answer(number, clock.now) for number in range(1000)])
        clock.now += 100.0
        assert len(await kept(store, range(600))) == 600
        while noted(path, clock.now) != 600:  # in several steps
            await asyncio.sleep(0.01)
        assert len(await kept(store, range(600, 700))) == 100
    assert noted(path, clock.now) == 700


def noted(path, at):
    with sqlite3.connect(path) as database:
        (count,) = database.execute(
            "SELECT count(*) FROM answers WHERE used_at = ?", (at,)
        ).fetchone()
    database.close()
    return count


@bounded()
async def test_an_answer_that_is_too_big_evicts_nothing(tmp_path):
    async with on_disk(tmp_path / "answers", max_bytes=2 * MIB) as store:
        await store.write([answer(number, time()) for number in range(100)])
        await store.write([answer(100, time(), 2 * MIB), answer(101, time())])
        assert await kept(store, range(102)) == [*range(100), 101]


@bounded()
async def test_a_lowered_bound_is_reached_after_some_writes(tmp_path):
    path = tmp_path / "answers"
    async with on_disk(path) as store:
        for first in range(0, 5000, 500):
            await store.write([answer(number, time()) for number in range(first, first + 500)])
    assert path.stat().st_size > 5 * MIB
    async with on_disk(path, max_bytes=MIB) as store:
        await store.write([answer(5000, time())])
        assert await kept(store, [5000]) == []  # no room yet
        for number in range(5001, 5010):
            await store.write([answer(number, time())])
        assert 5009 in await kept(store, range(5010))
    assert path.stat().st_size <= MIB


@bounded()
async def test_expired_answers_take_no_room(tmp_path):
    clock = Clock()
    async with on_disk(tmp_path / "answers", clock=clock) as store:
        await store.write([answer(number, clock.now) for number in range(150)])
        clock.now += KEEP_S - 1.0
        assert len(await kept(store, range(150))) == 150
        clock.now += 1.0
        assert await kept(store, range(150)) == []
        await store.write([answer(150, clock.now)])
        assert (await store.totals()).entries == 1


@bounded()
async def test_a_purge_shrinks_the_file(tmp_path):
    path = tmp_path / "answers"
    async with on_disk(path) as store:
        for first in range(0, 10_000, 500):
            await store.write([answer(number, time()) for number in range(first, first + 500)])
        assert await store.purge(None, None) == 10_000
        assert path.stat().st_size < MIB


@bounded()
async def test_a_purge_ends_although_others_write(tmp_path):
    async with on_disk(tmp_path / "answers") as store:
        for first in range(0, 3000, 500):
            await store.write([answer(number, time()) for number in range(first, first + 500)])
        purge = asyncio.create_task(store.purge(None, None))
        written = 3000
        while not purge.done():
            await store.write([answer(number, time()) for number in range(written, written + 50)])
            written += 50
        assert 3000 <= await purge <= 3050
        assert len(await kept(store, range(3050, written))) == written - 3050 > 100


# Sharing


@bounded()
async def test_two_stores_share_one_file(tmp_path):
    path = tmp_path / "answers"
    async with on_disk(path) as one, on_disk(path) as other:
        both = asyncio.gather(
            *(one.write([answer(number, time())]) for number in range(0, 16, 2)),
            *(other.write([answer(number, time())]) for number in range(1, 16, 2)),
        )
        await both
        assert await kept(one, range(16)) == await kept(other, range(16)) == list(range(16))
        assert await other.purge("g", None) == 16
        assert await kept(one, range(16)) == []


WRITER = """
import asyncio, itertools, sys
from time import time
from tests.support.answers import MIB, answer
from llmproxy.batteries.cache.stores.sqlite import SqliteStore

async def write():
    store = SqliteStore(sys.argv[1], max_bytes=2 * MIB, keep_s=1000.0)
    for number in itertools.count(int(sys.argv[2])):
        await store.write([answer(number, time())])
        print(number, flush=True)

asyncio.run(write())
"""


@bounded()
async def test_a_process_killed_while_writing_leaves_an_intact_file(tmp_path):
    path = tmp_path / "answers"
    for first in (0, 100_000, 200_000):
        writers = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WRITER, str(path), str(first + offset)),
                stdout=asyncio.subprocess.PIPE,
            )
            for offset in (0, 50_000)
        ]
        last = []
        for writer in writers:
            for _ in range(50):
                last.append(int(await writer.stdout.readline()))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            await writer.wait()
        async with on_disk(path, max_bytes=2 * MIB) as store:
            assert await kept(store, last) == last
    assert not [file for file in tmp_path.iterdir() if "corrupt" in file.name]
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


@bounded()
async def test_only_the_owner_may_read_the_file(tmp_path):
    path = tmp_path / "answers"
    async with on_disk(path) as store:
        await store.write([answer(1, time())])
        assert {S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
        assert len(list(tmp_path.iterdir())) == 3
    path.chmod(0o644)
    async with on_disk(path):
        assert S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.clock
@bounded()
async def test_reads_go_on_and_writes_fail_while_another_process_writes_for_long(tmp_path):
    path = tmp_path / "answers"
    async with on_disk(path) as store:
        await store.write([answer(1, time())])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await kept(store, [1]) == [1]
        began = monotonic()
        with pytest.raises(StoreError, match="locked"):
            await store.write([answer(2, time())])
        assert monotonic() - began < 2.0
        other.close()
        await store.write([answer(2, time())])
        assert await kept(store, [1, 2]) == [1, 2]


# Unusable paths


@pytest.mark.parametrize(
    ("place", "remedy"),
    [
        ("nowhere/answers", "Create it, or name another."),
        ("a file/answers", "Create it, or name another."),
        ("a folder", "must be able to read and write it"),
    ],
)
def test_an_unusable_path_is_refused_with_the_remedy(tmp_path, place, remedy):
    (tmp_path / "a file").touch()
    (tmp_path / "a folder").mkdir()
    with pytest.raises(StoreError, match=remedy):
        SqliteStore(tmp_path / place, max_bytes=MIB, keep_s=KEEP_S)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused_with_the_remedy(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="may not write to the folder"):
        SqliteStore(tmp_path / "answers", max_bytes=MIB, keep_s=KEEP_S)


# Slow disks


@bounded()
async def test_a_disk_that_hangs_gets_a_bounded_number_of_jobs(tmp_path):
    going_on = threading.Event()
    going_on.set()

    def clock():
        going_on.wait()
        return time()

    async with on_disk(tmp_path / "answers", clock=clock) as store:
        going_on.clear()
        refused = 0
        for number in range(50):
            with pytest.raises((TimeoutError, StoreError)) as raised:
                async with asyncio.timeout(0.01):
                    await store.write([answer(number, time())])
            refused += raised.type is StoreError
        going_on.set()
        assert refused == 50 - 16
        while (await totals_of(store)).entries < 16:
            await asyncio.sleep(0.01)


async def totals_of(store):
    while True:
        with contextlib.suppress(StoreError):
            return await store.totals()
        await asyncio.sleep(0.01)


@bounded()
async def test_a_closed_store_refuses_operations(tmp_path):
    async with on_disk(tmp_path / "answers") as store:
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await store.read([("g", key(1))])

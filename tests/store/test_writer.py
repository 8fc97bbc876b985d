"""Calls are written behind, in order, each once; a database that is away loses none."""

import asyncio
import random
import sqlite3
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import func, select, text

from llmproxy.batteries.background import background
from llmproxy.batteries.store import Database, address_of
from llmproxy.batteries.store.reading import call_from
from llmproxy.batteries.store.rows import row_of
from llmproxy.batteries.store.statements import write_batch
from llmproxy.batteries.store.tables import calls, spend, spend_by_label
from llmproxy.batteries.store.writer import CallWriter
from llmproxy.record import Cost
from tests.support.finished import finished_call
from tests.support.run import bounded
from tests.support.store import DATABASES, open_database
from tests.support.waiting import until

both = pytest.mark.parametrize("kind", DATABASES)
HOUR = 1_795_413_600


@asynccontextmanager
async def writing(database, folder, **options):
    """A writer at work."""
    writer = CallWriter(database, folder, **{"retry_s": 0.05, "within_s": 2.0, **options})
    async with background(writer.run):
        yield writer
    await writer.close()


async def written(database):
    """The ids of the calls in the database, in the order in which they came."""
    return [id for (id,) in await database.fetch(select(calls.c.id).order_by(calls.c.seq))]


def ids(first, end):
    return [f"req_{number}" for number in range(first, end)]


def send(writer, names):
    for name in names:
        writer.call_finished(finished_call(id=name))


@both
@bounded()
async def test_a_call_is_a_row_with_its_trace(kind, tmp_path):
    call = finished_call(
        id="req_1", request_id=b"vendor\xe9", caller="app", tags=("a", "b"), model="m\0"
    )
    async with open_database(kind, tmp_path) as database:
        async with writing(database, tmp_path) as writer:
            writer.call_finished(call)
        (row,) = await database.fetch(select(calls))
        assert (row.id, row.request_id, row.caller, row.status) == ("req_1", "vendoré", "app", 200)
        assert (row.tags, row.input_tokens, row.stream, row.team) == ('["a","b"]', 10, False, None)
        assert (row.total_ms, row.first_byte_ms) == (1500, pytest.approx(12.3456))
        assert row.model[0] == "m"
        call.record.answer.first_byte_at = pytest.approx(0.0123456)  # after the call came
        assert call_from(row).record.answer == call.record.answer


@both
@bounded()
async def test_sums_are_kept_by_hour_and_day_and_label(kind, tmp_path):
    async with open_database(kind, tmp_path) as database:
        for _ in range(2):  # by two writers, one after the other
            async with writing(database, tmp_path) as writer:
                for _ in range(3):
                    writer.call_finished(finished_call(caller="app", tags=("a",), end_user="u"))
                writer.call_finished(finished_call(status=500, error="x", group="other"))
        columns = ("period", "start", "caller", "group_name", "calls", "errors", "input_tokens")
        query = select(*(spend.c[name] for name in columns)).order_by(*spend.primary_key)
        day = HOUR // 86400 * 86400
        assert [tuple(row) for row in await database.fetch(query)] == [
            ("day", day, "", "other", 2, 2, 20),
            ("day", day, "app", "gpt-4.1", 6, 0, 60),
            ("hour", HOUR, "", "other", 2, 2, 20),
            ("hour", HOUR, "app", "gpt-4.1", 6, 0, 60),
        ]
        labels = spend_by_label.c
        query = select(labels.kind, labels.label, labels.calls).where(labels.period == "hour")
        assert sorted(map(tuple, await database.fetch(query))) == [
            ("end_user", "u", 6),
            ("tag", "a", 6),
        ]


@both
@bounded()
async def test_calls_are_written_in_order_whatever_their_number(kind, tmp_path):
    async with open_database(kind, tmp_path) as database:
        async with writing(database, tmp_path) as writer:
            send(writer, ids(0, 1234))
            assert writer.queued == 1234
        assert await written(database) == ids(0, 1234)
        assert (writer.queued, writer.spooled, writer.lost) == (0, 0, 0)
        assert not list(tmp_path.glob("*.calls"))


@both
@bounded()
async def test_a_batch_that_is_there_already_is_not_written_again(kind, tmp_path):
    from llmproxy.batteries.store.rows import row_of
    from llmproxy.batteries.store.statements import write_batch

    rows = [row_of(finished_call(id="req_1"), "here")]
    async with open_database(kind, tmp_path) as database:
        for number, is_new in ((1, True), (1, False), (2, True), (1, False)):
            assert is_new is await write_batch(database, "w", number, rows, 1.0)
        assert len(await written(database)) == 2


@bounded()
async def test_a_locked_database_is_caught_up_in_order(tmp_path):
    async with open_database("sqlite", tmp_path, within_s=0.5) as database:
        async with writing(database, tmp_path / "spool") as writer:
            send(writer, ids(0, 10))
            await until(lambda: writer.queued == 0)
            with sqlite3.connect(database.address.file) as other:
                other.execute("BEGIN EXCLUSIVE")
                send(writer, ids(10, 700))
                await until(lambda: writer.spooled == 690)
                assert writer.health.connected is False
                send(writer, ids(700, 710))
                await until(lambda: writer.spooled == 700)
                other.rollback()
            send(writer, ids(710, 720))
            await until(lambda: writer.spooled == 0 and writer.queued == 0)
            assert writer.health.connected is True
            assert await written(database) == ids(0, 720)


@both
@bounded()
async def test_what_a_process_leaves_in_its_spool_is_written_by_the_next(kind, tmp_path):
    nowhere = Database(address_of(str(tmp_path), {}))  # a folder
    async with writing(nowhere, tmp_path / "spool") as writer:
        send(writer, ids(0, 300))
    assert (writer.spooled, writer.lost) == (300, 0)
    async with open_database(kind, tmp_path) as database:
        async with writing(database, tmp_path / "spool") as writer:
            send(writer, ids(300, 310))
            await until(lambda: not list((tmp_path / "spool").iterdir()))
        assert await written(database) == ids(0, 310)


@bounded()
async def test_what_was_committed_before_a_crash_is_not_written_again_from_the_spool(tmp_path):
    nowhere = Database(address_of(str(tmp_path), {}))
    async with writing(nowhere, tmp_path / "spool") as writer:
        send(writer, ids(0, 450))
    (spool,) = (tmp_path / "spool").iterdir()
    kept = spool.read_bytes()
    async with open_database("sqlite", tmp_path) as database:
        async with writing(database, tmp_path / "spool"):
            await until(lambda: not spool.exists())
        spool.write_bytes(kept + b"call\0\0cut off")  # as if the process had died before it was cut
        async with writing(database, tmp_path / "spool"):
            await until(lambda: not spool.exists())
        assert await written(database) == ids(0, 450)


CHARS = random.Random(1)
LONG = "".join(chr(CHARS.randrange(0x4E00, 0x9FFF)) for _ in range(10_000))  # nothing compresses it


@both
@pytest.mark.parametrize(
    "strange",
    [
        {"model": LONG},  # more than an index of PostgreSQL takes
        {"request_id": LONG.encode()},
        {"model": "\ud83d"},  # no UTF-8
        {"end_user": "\0"},
        {"team": LONG},  # not bounded, because operators choose it
        {"cost": Cost(2**63)},
        {"cost": Cost(2**62)},  # their sum has more than 64 bits
        {"ended_at": 1e300},
    ],
    ids=lambda changes: next(iter(changes)),
)
@bounded()
async def test_a_call_that_no_database_takes_does_not_stop_the_others(kind, strange, tmp_path):
    async with open_database(kind, tmp_path) as database:
        async with writing(database, tmp_path / "spool") as writer:
            send(writer, ids(0, 20))
            for _ in range(3):
                writer.call_finished(finished_call(**{"id": "strange", **strange}))
            send(writer, ids(20, 40))
            await until(lambda: writer.queued == 0)
            assert await writer.flush()
            send(writer, ids(40, 50))
        assert [id for id in await written(database) if id != "strange"] == ids(0, 50)
        assert (writer.health.connected, writer.spooled) == (True, 0)
        kept = select(func.sum(spend.c.calls)).where(spend.c.period == "hour")
        assert (await database.fetch(kept))[0][0] == 53 - writer.lost


@bounded()
async def test_nothing_is_written_to_a_file_that_was_replaced(tmp_path):
    async with open_database("sqlite", tmp_path) as database:
        file, aside = database.address.file, tmp_path / "aside.sqlite"
        async with writing(database, tmp_path / "spool") as writer:
            send(writer, ids(0, 10))
            await until(lambda: writer.queued == 0)
            with sqlite3.connect(file) as other:
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            file.rename(aside)
            send(writer, ids(10, 20))
            await until(lambda: writer.spooled == 10)
            assert "was deleted or replaced while this process uses it" in writer.health.why
    async with open_database("sqlite", tmp_path) as database:  # the next process
        async with writing(database, tmp_path / "spool"):
            await until(lambda: not list((tmp_path / "spool").iterdir()))
        assert await written(database) == ids(10, 20)
    earlier = Database(address_of(str(aside), {}))
    assert await written(earlier) == ids(0, 10)
    await earlier.close()


@bounded()
async def test_without_a_spool_calls_wait_in_memory_up_to_a_bound(tmp_path, caplog):
    nowhere = Database(address_of(str(tmp_path), {}))
    async with writing(nowhere, None) as writer:
        send(writer, ids(0, 20_100))
        assert (writer.queued, writer.lost) == (20_000, 100)
    assert writer.lost == 20_100
    assert [record.message for record in caplog.records if "are lost" in record.message]


@bounded()
async def test_an_outage_is_told_once_with_the_remedy(tmp_path, caplog):
    nowhere = Database(address_of(str(tmp_path), {}))
    async with writing(nowhere, tmp_path / "spool") as writer:
        for name in ids(0, 5):
            send(writer, [name])
            await until(lambda: writer.queued == 0)
            await asyncio.sleep(0.06)
    told = [record.message for record in caplog.records]
    assert len(told) == 1
    assert "must be able to write" in told[0]
    assert str(tmp_path / "spool") in told[0]


@both
@bounded()
async def test_several_writers_write_the_same_sums_at_once(kind, tmp_path):
    async with open_database(kind, tmp_path) as one:
        others = [Database(one.address) for _ in range(3)]
        for database in others:
            await database.fetch(text("SELECT 1"))

        async def run(database):
            async with writing(database, tmp_path / "spool", within_s=10) as writer:
                for _ in range(5):
                    send(writer, ids(0, 100))
                    await asyncio.sleep(0)

        await asyncio.gather(*(run(database) for database in (one, *others)))
        query = select(func.sum(spend.c.calls)).where(spend.c.period == "day")
        assert (await one.fetch(query))[0][0] == len(await written(one)) == 2000
        for database in others:
            await database.close()


def test_the_row_has_a_value_for_each_column():
    from llmproxy.batteries.store.rows import COLUMNS, row_of

    assert len(row_of(finished_call(), "here")) == len(COLUMNS)
    assert {*COLUMNS, "seq"} == set(calls.c.keys())


@bounded()
async def test_batches_that_are_cut_off_at_any_moment_leave_the_file_unlocked(tmp_path):
    rows, draw = [row_of(finished_call(), "x") for _ in range(200)], random.Random(3)
    async with open_database("sqlite", tmp_path, within_s=2.0) as database:

        async def write(number):
            await write_batch(database, "w", number, rows, 0.0)

        for number in range(1, 160, 2):
            cut_off = asyncio.ensure_future(write(number))
            await asyncio.sleep(draw.random() * 0.02)
            cut_off.cancel()
            await asyncio.wait({cut_off})
            await write(number + 1)
        assert len(await written(database)) % 200 == 0  # each was written whole or not at all

"""A database that hangs, is killed or full, under load: no call waits, and no row is lost."""

import asyncio
import os
import subprocess
from contextlib import asynccontextmanager, contextmanager
from time import perf_counter

import pytest
from sqlalchemy import func, select, text

from llmproxy.batteries.background import background
from llmproxy.batteries.store import Database, address_of
from llmproxy.batteries.store.tables import calls, spend
from llmproxy.batteries.store.writer import CallWriter
from tests.support.finished import finished_call
from tests.support.postgres import PostgresServer
from tests.support.run import bounded
from tests.support.waiting import until

FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$
"""


REMEDIES = {
    "hung": "look at the server and the network",
    "killed": "server",
    "full": "No space left on device. Free space on the server's disk.",
}


@asynccontextmanager
async def under_load(database, spool):
    """A writer, and 500 calls a second; yields what counts them. Each is taken within a moment."""
    writer = CallWriter(database, spool, retry_s=0.1, within_s=0.5)
    sent, longest, ends = [], [0.0], asyncio.Event()

    async def load():
        while not ends.is_set():
            for _ in range(5):
                began = perf_counter()
                writer.call_finished(finished_call(id=f"req_{len(sent)}"))
                longest[0] = max(longest[0], perf_counter() - began)
                sent.append(began)
            await asyncio.sleep(0.01)

    async with background(writer.run):
        loading = asyncio.ensure_future(load())
        try:
            yield writer, sent
        finally:
            ends.set()
            await loading
        await until(lambda: writer.queued == writer.spooled == 0)
    await writer.close()
    assert writer.lost == 0
    assert longest[0] < 0.1  # some 0.2 ms on an idle machine: it never waits for a disk or a server
    found = [id for (id,) in await database.fetch(select(calls.c.id).order_by(calls.c.seq))]
    assert found == [f"req_{number}" for number in range(len(sent))], "each once, in order"
    total = select(func.sum(spend.c.calls)).where(spend.c.period == "day")
    assert (await database.fetch(total))[0][0] == len(sent)


@pytest.mark.parametrize("how", ["hung", "killed", "full"])
@bounded()
async def test_a_postgresql_server_in_trouble_loses_no_row(how, tmp_path):
    with PostgresServer.started() as server:
        database = Database(address_of(server.url, {}), within_s=2)
        await database.execute(text("SELECT 1"))
        async with under_load(database, tmp_path / "spool") as (writer, sent):
            await until(lambda: len(sent) > 100 and writer.health.connected)
            match how:
                case "hung":
                    server.hang()
                case "killed":
                    server.kill()
                case _:
                    await database.execute(
                        text(FULL),
                        text(
                            "CREATE TRIGGER full_disk BEFORE INSERT ON calls "
                            "EXECUTE FUNCTION full_disk()"
                        ),
                    )
            await until(lambda: writer.health.connected is False)
            assert REMEDIES[how] in writer.health.why
            await until(lambda: writer.spooled > 200)
            match how:
                case "hung":
                    server.go_on()
                case "killed":
                    await asyncio.to_thread(server.start)
                case _:
                    await database.execute(text("DROP TRIGGER full_disk ON calls"))
            await until(lambda: writer.health.connected)
        await database.close()


@contextmanager
def small_disk(folder):
    """A file system of 24 MiB."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@bounded()
async def test_a_full_disk_under_sqlite_loses_no_row(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        database = Database(address_of(str(disk / "calls.sqlite"), {}))
        await database.execute(text("SELECT 1"))
        filling = disk / "filling"
        async with under_load(database, tmp_path / "spool") as (writer, sent):
            await until(lambda: len(sent) > 100 and writer.health.connected)
            with filling.open("wb", 0) as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(b"x" * 4096)
            await until(lambda: writer.health.connected is False)
            assert "full. Free space on its disk." in writer.health.why
            await until(lambda: writer.spooled > 200)
            filling.unlink()
            await until(lambda: writer.health.connected)
        await database.close()

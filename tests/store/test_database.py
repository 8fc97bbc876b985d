"""The database of the store, on SQLite and on PostgreSQL."""

import asyncio
import json
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.store import Database, StoreUnavailable, address_of
from llmproxy.batteries.store.plain import FileConnection
from llmproxy.batteries.store.schema import HEAD, KNOWN
from llmproxy.batteries.store.tables import metadata, teams, versions
from llmproxy.composition import store_warnings
from tests.support.postgres import postgres
from tests.support.proxy import config_for
from tests.support.run import bounded
from tests.support.store import DATABASES, database_url, open_database

TEAM = {"name": "search", "created_at": 1.0, "changed_at": 1.0}
both = pytest.mark.parametrize("kind", DATABASES)


@both
@bounded()
async def test_the_tables_are_made_when_they_are_first_needed(kind, tmp_path):
    async with open_database(kind, tmp_path) as database:
        for table in metadata.sorted_tables:
            assert await database.fetch(select(table)) == []
        ((version,),) = await database.fetch(text("SELECT version_num FROM alembic_version"))
        assert version == HEAD == KNOWN[-1]


@pytest.mark.filterwarnings("ignore:.*expression")  # those indexes: the next test sees them
@both
@bounded()
async def test_new_tables_are_those_that_the_statements_of_operators_name(kind, tmp_path):
    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with open_database(kind, tmp_path) as database:
        assert await database.change(lambda connection: connection.run_sync(differences)) == []
        await database.execute(text("DROP INDEX calls_by_time"))
        assert len(await database.change(lambda on: on.run_sync(differences))) == 1


@bounded()
async def test_new_tables_are_those_that_alembic_makes(tmp_path):
    made = []
    for name in ("new", "migrated"):
        file = tmp_path / f"{name}.sqlite"
        if name == "migrated":
            with closing(sqlite3.connect(file)) as connection:
                connection.execute(
                    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
                    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
                )
        database = Database(address_of(str(file), {}))
        rows = await database.fetch(text("SELECT name, sql FROM sqlite_master ORDER BY name"))
        made.append([(row.name, "".join((row.sql or "").split())) for row in rows])
        assert await database.fetch(text("SELECT version_num FROM alembic_version")) == [(HEAD,)]
        await database.close()
    assert made[0] == made[1]
    assert len(made[0]) > len(metadata.tables)


@both
@bounded()
async def test_a_plain_transaction_is_kept_whole_or_not_at_all(kind, tmp_path):
    async def add(on):
        await on.execute_many("INSERT INTO versions (name, version) VALUES (?, ?)", [("a", 1)])
        assert await on.execute("UPDATE versions SET version = ? WHERE name = ?", 2, "a") == 1
        (row,) = await on.rows("SELECT version, name FROM versions WHERE name = ?", "a")
        return row.name, row.version

    async def add_and_fail(on):
        await on.execute("INSERT INTO versions (name, version) VALUES (?, ?)", "b", 1)
        raise LookupError

    async with open_database(kind, tmp_path) as database:
        assert await database.change_plain(add) == ("a", 2)
        with pytest.raises(LookupError):
            await database.change_plain(add_and_fail)
        with pytest.raises(Exception, match=r"(?i)unique"):  # of values: the database is there
            await database.change_plain(add)
        (row,) = await database.read_plain("SELECT * FROM versions WHERE version < ?", 9)
        assert (row.name, row.version) == ("a", 2)


@both
@bounded()
async def test_a_transaction_is_kept_whole_or_not_at_all(kind, tmp_path):
    async with open_database(kind, tmp_path) as database:
        await database.execute(insert(teams).values(TEAM))
        with pytest.raises(IntegrityError):
            await database.execute(
                insert(teams).values(TEAM | {"name": "other"}), insert(teams).values(TEAM)
            )
        assert await database.fetch(select(teams.c.name, teams.c.blocked)) == [("search", False)]


@both
@bounded()
async def test_tables_of_a_newer_program_are_left_alone(kind, tmp_path):
    async with database_url(kind, tmp_path) as url:
        newer = Database(address_of(url, {}))
        await newer.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        await newer.close()
        older = Database(address_of(url, {}))
        with pytest.raises(StoreUnavailable, match=r"newer version \(9999; .*Use the newer"):
            await older.fetch(select(teams))
        await older.close()


@bounded()
async def test_the_file_and_its_folder_are_their_owners_alone(tmp_path):
    place = address_of(None, {"XDG_STATE_HOME": str(tmp_path)})
    database = Database(place)
    assert not place.file.exists()
    await database.fetch(select(teams))
    assert stat.S_IMODE(place.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.file.parent.stat().st_mode) == 0o700
    await database.close()
    with sqlite3.connect(place.file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@bounded()
async def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path):
    (tmp_path / "file").touch()
    database = Database(address_of(str(tmp_path / "file" / "store.sqlite"), {}))
    with pytest.raises(StoreUnavailable, match=r"must be able to write to .*or name another file"):
        await database.fetch(select(teams))


@bounded()
async def test_a_server_that_is_away_is_named_without_the_password(tmp_path):
    database = Database(address_of("postgresql://me:hunter22@127.0.0.1:1/calls", {}))
    with pytest.raises(StoreUnavailable, match="Is the server up") as caught:
        await database.fetch(select(teams))
    assert "postgresql://127.0.0.1:1/calls" in str(caught.value)
    assert "hunter22" not in str(caught.value)
    await database.close()


@bounded()
async def test_a_server_without_the_database_is_told_apart_from_one_that_is_away():
    async with postgres() as url:
        database = Database(address_of(url.replace("test_", "nowhere_"), {}))
        with pytest.raises(StoreUnavailable, match=r"nowhere_.*does not exist. Make that database"):
            await database.fetch(select(teams))
        await database.close()


@bounded()
async def test_a_damaged_file_is_left_as_it_is_and_told_with_the_remedy(tmp_path):
    file = tmp_path / "store.sqlite"
    file.write_bytes(b"no database" * 1000)
    database = Database(address_of(str(file), {}))
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"damaged.*Stop the proxy, move .*a backup in"):
            await database.execute(insert(teams).values(TEAM))
    assert file.read_bytes() == b"no database" * 1000
    file.unlink()
    await database.execute(insert(teams).values(TEAM))
    await database.close()


def test_check_says_what_stands_against_the_store_of_a_config(tmp_path):
    (tmp_path / "file").touch()

    def said(database_url):
        config = json.dumps(config_for("http://127.0.0.1:1/v1", database_url=database_url))
        return store_warnings(parse_config(config, {}, file="x"), {"HOME": str(tmp_path)})

    for usable in ("off", None, str(tmp_path / "new" / "store.sqlite"), "postgresql://nowhere/x"):
        assert said(usable) == []
    (warning,) = said(str(tmp_path / "file" / "store.sqlite"))
    assert warning.startswith("Calls would not be kept: ")
    assert f"{tmp_path / 'file'} is not a folder. This process must be able to write" in warning
    assert not (tmp_path / "new").exists()


ENDLESS = {
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(600)",
}


@pytest.mark.parametrize(("kind", "reads"), [("sqlite", 1), ("postgresql", 5)])
@bounded()
async def test_reads_that_take_too_long_are_ended_and_hinder_no_write_and_no_poll(
    kind, reads, tmp_path
):
    async with open_database(kind, tmp_path, within_s=2.0) as database:
        await database.fetch(select(teams))
        reading = [asyncio.ensure_future(database.fetch(text(ENDLESS[kind]))) for _ in range(reads)]
        await asyncio.sleep(0.05)
        await database.execute(insert(teams).values(TEAM))
        assert len(await database.fetch(select(teams.c.name), polls=True)) == 1
        ends = await asyncio.gather(*reading, return_exceptions=True)
        assert {type(end) for end in ends} == {StoreUnavailable}
        if kind == "sqlite":
            assert "The statement took too long: ask for a shorter time or for less" in str(ends[0])
        await database.execute(insert(teams).values(TEAM | {"name": "later"}))
        assert len(await database.fetch(select(teams.c.name))) == 2


def test_where_the_store_is():
    home = {"HOME": "/home/me"}
    assert str(address_of(None, home).file) == "/home/me/.local/state/llmproxy/llmproxy.sqlite"
    assert address_of(None, {}) is None
    assert address_of("off", home) is None
    assert str(address_of("sqlite:////var/lib/calls.db", home).file) == "/var/lib/calls.db"
    assert str(address_of("calls.db", home)) == "calls.db"
    one = address_of("postgresql://a:b@host/one?password=c", home)
    assert str(one) == "postgresql://host/one"
    assert one.passwords == {"b", "c"}
    assert one.spool != address_of("postgresql://a:b@host/two", home).spool


def test_the_door_imports_no_sqlalchemy():
    import subprocess

    code = "import sys, llmproxy.batteries.store; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@both
@bounded()
async def test_the_counters_of_changes_are_read_as_another_instance_has_counted(kind, tmp_path):
    async with database_url(kind, tmp_path) as url:
        ours, other = (Database(address_of(url, {})) for _ in range(2))
        assert await ours.counters() == {}
        await other.execute(insert(versions).values(name="keys", version=7))
        assert await ours.counters() == {"keys": 7}
        await other.execute(update(versions).values(version=8))
        assert await ours.counters() == {"keys": 8}
        for database in (ours, other):
            await database.close()


@bounded()
async def test_a_poll_of_a_file_runs_nothing_of_sqlalchemy(tmp_path):
    entered = []

    def note(frame, event, _argument):
        if event == "call":
            entered.append(frame.f_globals.get("__name__", ""))

    async with open_database("sqlite", tmp_path) as database:
        await database.counters()
        sys.setprofile(note)
        try:
            for _ in range(10):
                await database.counters()
        finally:
            sys.setprofile(None)
    assert [name for name in entered if name.startswith("sqlalchemy")] == []
    assert 0 < len(entered) / 10 < 250, "functions entered by a poll"


@bounded()
async def test_counters_of_a_file_without_tables_say_what_is_wrong_and_make_no_file(tmp_path):
    async with open_database("sqlite", tmp_path) as database:
        await database.execute(text("DROP TABLE versions"))
        with pytest.raises(StoreUnavailable, match=r"store\.sqlite cannot be used: no such table"):
            await database.counters()
    gone = tmp_path / "gone.sqlite"
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        await FileConnection(gone, locked_s=1.0).read("SELECT 1")
    assert not gone.exists()


@bounded()
async def test_a_closed_database_keeps_no_file_open(tmp_path):
    async with open_database("sqlite", tmp_path) as database:
        await database.counters()
        assert open_files(tmp_path)
    assert open_files(tmp_path) == []


def open_files(folder):
    """Return the files of a folder that this process has open."""
    links = Path("/proc/self/fd").iterdir()
    return [place for link in links if (place := _target(link)).startswith(str(folder))]


def _target(link):
    try:
        return str(link.readlink())
    except FileNotFoundError:  # of the listing itself
        return ""

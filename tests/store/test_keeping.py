"""Rows of calls are kept for a time, sums for ever; the database can be copied and upgraded."""

import json
from time import time

import pytest
from sqlalchemy import func, select, text

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.store import Database, StoreUnavailable, address_of
from llmproxy.batteries.store.keeping import Pruner
from llmproxy.batteries.store.maintenance import back_up, upgrade_tables
from llmproxy.batteries.store.rows import row_of
from llmproxy.batteries.store.statements import write_batch
from llmproxy.batteries.store.tables import calls, spend
from llmproxy.errors import ConfigError
from tests.support.finished import finished_call
from tests.support.process import command
from tests.support.proxy import config_for
from tests.support.run import bounded
from tests.support.store import DATABASES, open_database

both = pytest.mark.parametrize("kind", DATABASES)
DAY = 86400.0


async def write(database, ages):
    rows = [row_of(finished_call(id=f"{age}", ended_at=time() - age), "here") for age in ages]
    await write_batch(database, "w", 1, rows, time())


@both
@bounded()
async def test_old_calls_are_deleted_and_their_sums_stay(kind, tmp_path):
    async with open_database(kind, tmp_path) as database:
        await write(database, [40 * DAY] * 1500 + [31 * DAY, 29 * DAY, 0])
        assert await Pruner(database, keep_s=30 * DAY).prune() == 1501
        assert len(await database.fetch(select(calls.c.id))) == 2
        total = select(func.sum(spend.c.calls)).where(spend.c.period == "day")
        assert (await database.fetch(total))[0][0] == 1503


@bounded()
async def test_a_copy_has_everything_and_overwrites_nothing(tmp_path):
    async with open_database("sqlite", tmp_path) as database:
        await write(database, [0, 1])
        copy = tmp_path / "copy.sqlite"
        assert "copied" in await back_up(database.address, copy)
        restored = Database(address_of(str(copy), {}))
        assert len(await restored.fetch(select(calls.c.id))) == 2
        await restored.close()
        with pytest.raises(StoreUnavailable, match="exists"):
            await back_up(database.address, copy)


@bounded()
async def test_a_copy_that_fails_leaves_no_file_behind(tmp_path):
    damaged, copy = tmp_path / "store.sqlite", tmp_path / "copy.sqlite"
    damaged.write_bytes(b"no database " * 1000)
    server = address_of("postgresql://llmproxy@127.0.0.1:1/llmproxy", {"STATE_DIRECTORY": "/x"})
    for address in (address_of(str(damaged), {}), server):
        with pytest.raises(StoreUnavailable):
            await back_up(address, copy)
        assert not copy.exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("none", "found no address.*`off` for no database"),
        (":memory:", "found no address"),
        ("sqlite:///:memory:", "found no address"),
        ("sqlite://llmproxy.sqlite", "found no address"),
        ("mysql://u:pw-secret@h/db", "another kind.*Write postgresql://"),
        ("postgresql+asyncpg://u:pw-secret@h/db", "a driver in its name"),
    ],
)
def test_what_is_no_address_makes_no_file_of_that_name(url, says):
    with pytest.raises(ConfigError, match=says) as refused:
        parse_config(json.dumps(config_for({}, database_url=url)), {}, file="f.yaml")
    assert "pw-secret" not in str(refused.value)


@bounded()
async def test_earlier_tables_on_a_server_wait_for_a_person(tmp_path):
    async with open_database("postgresql", tmp_path) as database:
        await database.execute(text("DELETE FROM alembic_version"))
        later = Database(database.address)
        with pytest.raises(StoreUnavailable, match="llmproxy db upgrade"):
            await later.fetch(select(calls))
        await later.close()
        await database.execute(text("INSERT INTO alembic_version VALUES ('0001')"))
        assert "version 0001" in await upgrade_tables(database.address)


@bounded()
async def test_the_commands_say_what_they_did(tmp_path):
    config = "general_settings:\n  database_url: calls.sqlite\nmodel_groups:\n- model_group: m\n"
    config += "  models: [{params: {api_key: sk-upstream}}]\n"
    (tmp_path / "llmproxy.yaml").write_text(config)
    for words, said in (
        (("upgrade",), "version 0001"),
        (("prune",), "0 calls deleted"),
        (("backup", "copy"), "copied to copy"),
    ):
        result = await command("db", *words, cwd=tmp_path)
        assert (result.status, result.stderr) == (0, "")
        assert said in result.stdout
    result = await command("db", "backup", "copy", cwd=tmp_path)
    assert (result.status, result.stderr) == (1, "copy cannot be made: File exists.\n")

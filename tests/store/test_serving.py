"""A whole proxy with a store: calls are kept, and a database that is away is told at once."""

import asyncio

from sqlalchemy import select, text

from llmproxy.batteries.store import Database, address_of
from llmproxy.batteries.store.tables import calls
from tests.admin.watching import get_json, scrape
from tests.support.client import CHAT, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, scripted


@bounded()
async def test_every_call_of_a_proxy_is_a_row(tmp_path):
    file = tmp_path / "calls.sqlite"
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(vendor.base_url, database_url=str(file))) as proxy:
            sent = {(await ask(proxy.port, body=CHAT)).header("x-request-id") for _ in range(5)}
    database = Database(address_of(str(file), {}))
    assert {id for (id,) in await database.fetch(select(calls.c.id))} == sent
    await database.close()


@bounded()
async def test_every_view_says_that_the_database_is_away_and_that_it_is_back(tmp_path):
    (tmp_path / "folder").touch()  # where the folder of the file should be
    async with scripted(GOOD) as vendor:
        config = config_for(vendor.base_url, database_url=str(tmp_path / "folder" / "calls.sqlite"))
        async with serve_proxy(config) as proxy:
            assert (await ask(proxy.port, body=CHAT)).status == 200
            while (view := (await get_json(proxy, "/health"))["database"])["connected"] is None:
                await asyncio.sleep(0.02)
            assert view["connected"] is False
            assert "must be able to write" in view["why"]
            while True:  # half a second old
                state = (await get_json(proxy, "/admin/state"))["database"]
                if state["connected"] is False and state["queued"] == 1:
                    break
                await asyncio.sleep(0.05)
            samples = await scrape(proxy)
            assert samples[("llmproxy_database_up",)] == 0
            assert samples["llmproxy_database_calls_waiting", "memory"] == 1
            assert samples[("llmproxy_database_calls_lost_total",)] == 0
            (tmp_path / "folder").unlink()
            while (view := (await get_json(proxy, "/health"))["database"])["connected"] is False:
                await asyncio.sleep(0.05)
            assert (view["why"], view["queued"], view["spooled"], view["lost"]) == (None, 0, 0, 0)


@bounded()
async def test_a_database_that_is_away_is_told_at_the_start(tmp_path, caplog):
    (tmp_path / "folder").touch()
    config = config_for(
        "http://127.0.0.1:1/v1", database_url=str(tmp_path / "folder" / "calls.sqlite")
    )
    async with serve_proxy(config) as proxy:
        while (view := (await get_json(proxy, "/health"))["database"])["connected"] is None:
            await asyncio.sleep(0.02)
        assert f"{tmp_path / 'folder'} is not a folder. This process must be able" in view["why"]
        assert "Calls are not written to the store: " in caplog.text
        (tmp_path / "folder").unlink()
        while not (await get_json(proxy, "/health"))["database"]["connected"]:  # without a call
            await asyncio.sleep(0.05)
        assert not (tmp_path / "folder").exists()


@bounded()
async def test_tables_that_another_program_has_made_are_told_at_the_start(tmp_path):
    file = tmp_path / "calls.sqlite"
    newer = Database(address_of(str(file), {}))
    await newer.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await newer.close()
    async with serve_proxy(config_for("http://127.0.0.1:1/v1", database_url=str(file))) as proxy:
        while (view := (await get_json(proxy, "/health"))["database"])["connected"] is None:
            await asyncio.sleep(0.02)
        assert "newer version (9999; this program knows" in view["why"]


@bounded()
async def test_without_a_store_no_view_speaks_of_one():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(vendor.base_url, database_url="off")) as proxy:
            assert (await get_json(proxy, "/health"))["database"] is None
            assert ("llmproxy_database_up",) not in await scrape(proxy)

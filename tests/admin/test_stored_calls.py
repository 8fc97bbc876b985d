"""Finished calls are searched in memory and in the store, page by page, and exported."""

import asyncio
import csv
import io
from itertools import chain
from urllib.parse import quote

import pytest

from llmproxy.batteries.admin.api.calls import CSV_PAGE
from llmproxy.batteries.admin.stats.traces import CSV
from llmproxy.batteries.store import Database, address_of
from llmproxy.batteries.store.writer import CallWriter
from tests.admin.watching import get_json
from tests.support.client import CHAT, HELLO, ask, question
from tests.support.finished import finished_call
from tests.support.postgres import postgres
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, always, chat, http, scripted

ADA = {"name": "ada", "key": "k-ada", "team": "search", "tags": ["night"]}
BOB = {"name": "bob", "key": "k-bob", "team": "mail"}


async def refused(proxy, path, status):
    reply = await ask(proxy.port, path, method="GET", host="localhost")
    assert reply.status == status
    return reply.json["detail"]


async def page_of(proxy, query):
    """A page that has all that it should: a busy machine takes a while to write it."""
    while (page := await get_json(proxy, f"/admin/calls?{query}"))["missing"] is not None:
        await asyncio.sleep(0.02)
    return page


async def ids_of(proxy, query):
    return [call["id"] for call in (await page_of(proxy, query))["calls"]]


async def pages_of(proxy, query):
    """All ids, one page after the other."""
    found, after = [], ""
    while True:
        page = await page_of(proxy, f"{query}{after}")
        found.append([call["id"] for call in page["calls"]])
        if page["next"] is None:
            return found
        after = f"&cursor={quote(page['next'])}"


async def send(proxy, count, *, body=HELLO, key="k"):
    """The ids of so many calls, newest first."""
    known = len(proxy.events.calls)
    for _ in range(count):
        await ask(proxy.port, body=body, headers=[("authorization", f"Bearer {key}")])
    while len(proxy.events.calls) < known + count:
        await asyncio.sleep(0.01)
    return [call.record.request.id or None for call in proxy.events.calls[known:]][::-1]


async def kept(file, count):
    """The ids of so many calls that a process before has left in a file, newest first."""
    database = Database(address_of(str(file), {}))
    writer = CallWriter(database, None)
    for number in range(count):
        writer.call_finished(finished_call(id=f"req_{number}", ended_at=1e9 + number))
    await writer.close()
    await database.close()
    return [f"req_{number}" for number in range(count)][::-1]


@bounded()
async def test_calls_that_are_not_in_memory_are_found_in_the_store(tmp_path):
    file = tmp_path / "calls.sqlite"
    old = await kept(file, 20)
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(vendor.base_url, database_url=str(file))) as proxy:
            new = await send(proxy, 3)
            assert await ids_of(proxy, "limit=1000") == new + old
            pages = await pages_of(proxy, "limit=9")
            assert [len(page) for page in pages] == [9, 9, 5]
            assert list(chain(*pages)) == new + old
            assert await ids_of(proxy, "id=req_7") == ["req_7"]
            assert (await get_json(proxy, "/admin/calls/req_7"))["at"] == 1e9 + 7
            assert "access log" in await refused(proxy, "/admin/calls/req_nobody", 404)


@bounded()
async def test_a_call_is_shown_after_a_restart_as_before(tmp_path):
    async with scripted(GOOD) as vendor:
        config = config_for(vendor.base_url, database_url=str(tmp_path / "calls.sqlite"))
        async with serve_proxy(config) as proxy:
            (id,) = await send(proxy, 1)
            before = await get_json(proxy, f"/admin/calls/{id}")
        async with serve_proxy(config) as proxy:
            assert await get_json(proxy, f"/admin/calls/{id}") == before
    assert [step["outcome"] for step in before["steps"]] == ["answered"]


@bounded()
async def test_what_an_endpoint_said_is_in_memory_and_not_in_the_store(tmp_path):
    words = {"error": {"message": "no room for 'a private word'", "type": "server_error"}}
    down = always(http(words, status=500, headers=[("x-request-id", "vendor-9")]))
    async with scripted(down) as vendor:
        config = config_for(vendor.base_url, database_url=str(tmp_path / "calls.sqlite"))
        async with serve_proxy(config) as proxy:
            (id,) = await send(proxy, 1, body=question("a private word"))
            (attempt, *_) = (await get_json(proxy, f"/admin/calls/{id}"))["steps"]
            assert attempt["message"] == "status 500 server_error: no room for 'a private word'"
            assert attempt["upstream_id"] == "vendor-9"
            (alike, *_) = (await page_of(proxy, ""))["calls"][0]["steps"]
            assert alike == attempt
        async with serve_proxy(config) as proxy:
            (kept, *_) = (await get_json(proxy, f"/admin/calls/{id}"))["steps"]
    assert kept == {**attempt, "message": None}
    assert all(b"a private word" not in file.read_bytes() for file in tmp_path.iterdir())


@bounded()
async def test_calls_are_searched_by_whatever_they_are_known_by(tmp_path):
    callers = {"callers": [ADA, BOB]}
    async with scripted(always(http(chat(), headers=[("x-request-id", "vendor-7")]))) as vendor:
        config = config_for(vendor.base_url, database_url=str(tmp_path / "calls.sqlite"), **callers)

        async def check(proxy):
            for query, wanted in {
                "caller=ada": ada,
                "team=mail": bob + lost,
                "team=(none)": nobody,
                "model=no-such": lost,
                "group=gpt-4.1": bob + ada,
                "group=(none)": lost + nobody,
                "endpoint=(none)": lost + nobody,
                "status=200": bob + ada,
                "status=4xx": lost + nobody,
                "status=401-403": nobody,
                "code=model_not_found": lost,
                "notable=true": lost + nobody,
                "since=1h&caller=ada": ada,
                "until=1h": [],
                "id=vendor-7&limit=1": bob[:1],
                "key=(none)&limit=2": (lost + bob)[:2],
                "caller=": lost + bob + nobody + ada,
            }.items():
                found = await ids_of(proxy, query)
                assert sorted(found, key=str) == sorted(wanted, key=str), query
            (call,) = (await page_of(proxy, "caller=ada&limit=1"))["calls"]
            assert (call["team"], call["tags"], call["upstream_id"]) == (
                *("search", ["night"]),
                "vendor-7",
            )

        async with serve_proxy(config) as proxy:
            ada = await send(proxy, 3, key="k-ada")
            nobody = await send(proxy, 1, key="k-other")
            bob = await send(proxy, 2, key="k-bob")
            lost = await send(proxy, 1, key="k-bob", body=question("x", model="no-such"))
            await check(proxy)  # from memory
        async with serve_proxy(config) as proxy:
            await check(proxy)  # from the store
            assert "'grop'" in await refused(proxy, "/admin/calls?grop=x", 400)
            assert "5xx" in await refused(proxy, "/admin/calls?status=bad", 400)
            assert "30d" in await refused(proxy, "/admin/calls?since=yesterday", 400)
            assert "`next`" in await refused(proxy, "/admin/calls?cursor=x", 400)


@bounded()
async def test_all_calls_are_exported_as_csv(tmp_path):
    file = tmp_path / "calls.sqlite"
    old = await kept(file, CSV_PAGE + 5)
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(vendor.base_url, database_url=str(file))) as proxy:
            formula = await send(proxy, 1, body=question("x", model="=1+1"))
            await page_of(proxy, "limit=1")
            reply = await ask(proxy.port, "/admin/calls.csv", method="GET", host="localhost")
    assert reply.header("content-type").startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(reply.body.decode(), newline="")))
    assert tuple(rows[0]) == CSV
    assert [row["id"] for row in rows] == formula + old
    assert rows[0]["model"] == "'=1+1"
    assert (rows[1]["status"], rows[1]["group"]) == ("200", "gpt-4.1")


@bounded()
async def test_instances_on_one_database_find_each_others_calls():
    async with postgres() as url, scripted(GOOD) as vendor:
        config = config_for(vendor.base_url, database_url=url)
        async with serve_proxy(config) as one, serve_proxy(config) as other:
            sent = await send(one, 2)
            await ids_of(one, "limit=1")  # who reads has written what it knows
            assert await ids_of(other, "limit=10") == sent
            assert (await get_json(other, f"/admin/calls/{sent[0]}"))["id"] == sent[0]


@bounded()
async def test_while_the_database_is_away_the_latest_calls_are_shown_and_the_rest_is_missing(
    tmp_path,
):
    (tmp_path / "folder").touch()  # where the folder of the file should be
    async with scripted(GOOD) as vendor:
        config = config_for(vendor.base_url, database_url=str(tmp_path / "folder" / "calls.sqlite"))
        async with serve_proxy(config) as proxy:
            sent = await send(proxy, 1, body=CHAT)
            while "write to" not in str((page := await get_json(proxy, "/admin/calls"))["missing"]):
                await asyncio.sleep(0.02)
            assert [call["id"] for call in page["calls"]] == sent
            assert "must be able to write" in page["missing"]
            assert "must be able" in await refused(proxy, "/admin/calls/req_nobody", 503)
            assert "must be able" in await refused(proxy, "/admin/calls.csv", 503)


@pytest.mark.parametrize("query", ["", "group=gpt-4.1"])
@bounded()
async def test_without_a_store_the_latest_calls_are_in_memory(query):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(vendor.base_url, database_url="off")) as proxy:
            sent = await send(proxy, 3)
            pages = await pages_of(proxy, f"limit=2&{query}")
            assert list(chain(*pages)) == sent
            assert "database_url" in await refused(proxy, "/admin/calls/req_nobody", 404)

"""`/admin/history` reaches back weeks, and over restarts, where a store keeps sums of hours."""

import asyncio

from tests.admin.watching import endpoints_of, get_json, post
from tests.support.client import HELLO, ask
from tests.support.groups import endpoint
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, scripted

PRICE = {"input": 1000, "output": 100_000}  # a call of 3 and 2 tokens: 0.203 dollars


def kept(vendor, tmp_path):
    database = f"sqlite:///{tmp_path / 'calls.sqlite'}"
    return config_for(endpoint(vendor, "only", price=PRICE), database_url=database)


async def written(proxy, calls):
    """Return the history of 30 days, once it has the calls."""
    while True:
        history = await get_json(proxy, "/admin/history?range=30d")
        if sum(point["calls"] for point in history["points"]) >= calls:
            return history
        await asyncio.sleep(0.05)


@bounded()
async def test_a_month_is_read_from_the_store_and_survives_a_restart(tmp_path):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(kept(vendor, tmp_path)) as proxy:
            for _ in range(3):
                assert (await ask(proxy.port, body=HELLO)).status == 200
            assert (await post(proxy, "/admin/drain", {"endpoint": "only"})).status == 200
            before = await written(proxy, 3)
            while not [mark for mark in before["marks"] if mark["what"] == "drain"]:
                before = await written(proxy, 3)
        async with serve_proxy(kept(vendor, tmp_path)) as proxy:
            after = await written(proxy, 3)
            day = await get_json(proxy, "/admin/history?range=24h&group=gpt-4.1")
            week = await get_json(proxy, "/admin/history?range=7d")
    assert (after["source"], after["step_s"], len(after["points"])) == ("store", 14_400, 180)
    assert {"start", "drain"} <= {mark["what"] for mark in after["marks"]}
    point = next(point for point in after["points"] if point["calls"])
    assert (point["input_tokens"], point["output_tokens"], point["cost_usd"]) == (9, 6, 0.609)
    assert point["retries"] is point["first_byte_p50_ms"] is point["cache_hits"] is None
    assert point["total_mean_ms"] > 0
    assert (day["source"], day["step_s"], sum(p["calls"] for p in day["points"])) == (
        *("store", 3600),
        3,
    )
    assert len(week["points"]) == 168


@bounded()
async def test_without_a_store_it_says_that_memory_keeps_a_day(tmp_path):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(vendor.base_url, database_url="off")) as proxy:
            month = await get_json(proxy, "/admin/history?range=30d")
            day = await get_json(proxy, "/admin/history?range=24h")
    assert (month["source"], month["step_s"]) == ("memory", 300)
    assert "database_url" in month["note"]
    assert (day["source"], day["note"]) == ("memory", None)
    assert [mark["what"] for mark in day["marks"]] == ["start"]


@bounded()
async def test_what_operators_do_is_a_mark():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        name = next(iter(await endpoints_of(proxy)))
        for word in ("drain", "enable"):
            assert (await post(proxy, f"/admin/{word}", {"endpoint": name})).status == 200
            marks = []
            while word not in [mark["what"] for mark in marks]:
                marks = (await get_json(proxy, "/admin/history"))["marks"]
                await asyncio.sleep(0.05)
    assert [(mark["what"], mark["subject"]) for mark in marks] == [
        *(("start", None), ("drain", name)),
        ("enable", name),
    ]

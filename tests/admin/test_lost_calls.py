"""Calls that a log has lost are counted in every view."""

import asyncio

from tests.admin.watching import get_json, scrape
from tests.support.client import CHAT, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, scripted


async def views_of(proxy):
    samples = await scrape(proxy)
    metric = {
        log: samples["llmproxy_log_calls_lost_total", log] for log in ("access_log", "call_file")
    }
    return [
        (await get_json(proxy, "/health"))["lost"],
        (await get_json(proxy, "/admin/state"))["lost"],
        metric,
    ]


@bounded()
async def test_a_call_file_that_is_gone_loses_calls_and_every_view_says_so(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    async with scripted(GOOD) as vendor:
        config = config_for(vendor.base_url, call_file=str(folder / "calls.db"))
        async with serve_proxy(config) as proxy:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
            assert (await ask(proxy.port, body=CHAT)).status == 200
            lost = {"access_log": 0, "call_file": 0}
            while not lost["call_file"]:
                lost = (await get_json(proxy, "/health"))["lost"]
            lost = {"access_log": 0, "call_file": 1}
            while (views := await views_of(proxy)) != [lost] * 3:  # some are half a second old
                assert all(view["access_log"] == 0 for view in views)
                assert all(view["call_file"] <= 1 for view in views)
                await asyncio.sleep(0.05)


@bounded()
async def test_nothing_is_lost_at_first():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        await ask(proxy.port, body=CHAT)
        nothing = {"access_log": 0, "call_file": 0}
        assert await views_of(proxy) == [nothing] * 3

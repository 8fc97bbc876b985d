"""Calls that the access log has lost are counted in every view."""

from tests.admin.watching import get_json, scrape
from tests.support.client import CHAT, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, scripted


@bounded()
async def test_nothing_is_lost_at_first():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        await ask(proxy.port, body=CHAT)
        nothing = {"access_log": 0, "traces": 0}
        assert (await get_json(proxy, "/health"))["lost"] == nothing
        assert (await get_json(proxy, "/admin/state"))["lost"] == nothing
        assert (await scrape(proxy))["llmproxy_log_calls_lost_total", "access_log"] == 0

"""A proxy whose calls have prices, and whose callers are in teams."""

import asyncio
from contextlib import asynccontextmanager

from tests.support.client import ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.store import database_url
from tests.support.vendor import always, chat, http, scripted

ONE = "0.000012"  # 3 input tokens and 2 output tokens at 1 and 4.5 dollars per million


@asynccontextmanager
async def proxy_with_teams(folder, kind="sqlite", **settings):
    """A proxy that knows two callers in two teams, in front of a vendor with a price."""
    callers = [
        {"name": "app", "key": "sk-client-app-1", "team": "search"},
        {"name": "=job", "key": "sk-client-job-1", "team": "ads"},
    ]
    async with (
        scripted(always(http(chat("hello")))) as vendor,
        database_url(kind, folder) as url,
    ):
        settings = {"callers": callers, "database_url": url, **settings}
        config = config_for(vendor.base_url, **settings)
        (group,) = config["model_groups"]
        for entry in group["models"]:
            entry["price"] = {"input": 1.0, "output": 4.5}
        async with serve_proxy(config) as proxy:
            yield proxy


async def until_counted(proxy, path, calls, **options):
    """Return what is at a path as soon as so many calls are in its total."""
    while True:
        reply = await ask(proxy.port, path, method="GET", host="localhost", **options)
        assert reply.status == 200, reply.body
        found = reply.json
        if found["total"]["calls"] >= calls:
            return found
        await asyncio.sleep(0.02)

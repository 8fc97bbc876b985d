"""What an operator's program sees of a proxy in this process."""

import json

from tests.support.client import ask


async def told(proxy, path, **options):
    """The JSON at a path."""
    reply = await ask(proxy.port, path, method="GET", **{"host": "localhost", **options})
    assert reply.status == 200, reply.body
    return reply.json


async def post(proxy, path, body, **options):
    """The whole reply."""
    return await ask(proxy.port, path, body=json.dumps(body).encode(), host="localhost", **options)


async def endpoints_of(proxy):
    """Every endpoint of /admin/state by its name; the last of a name that several groups have."""
    state = await told(proxy, "/admin/state")
    return {each["endpoint"]: each for group in state["groups"] for each in group["endpoints"]}

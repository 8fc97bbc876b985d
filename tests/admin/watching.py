"""Read a proxy's admin API, its metrics and its live events."""

import json

from prometheus_client.parser import text_string_to_metric_families

from llmproxy.batteries.admin.stats.metrics.catalogue import METRICS
from tests.support.client import ask, connect, request


async def get_json(proxy, path, **options):
    """Return the JSON at a path."""
    reply = await ask(proxy.port, path, method="GET", **{"host": "localhost", **options})
    assert reply.status == 200, reply.body
    return reply.json


async def post(proxy, path, body, **options):
    """Send JSON, and return the whole reply."""
    return await ask(proxy.port, path, body=json.dumps(body).encode(), host="localhost", **options)


async def endpoints_of(proxy):
    """Return the endpoints of /admin/state by name; of several with one name, the last."""
    state = await get_json(proxy, "/admin/state")
    return {
        endpoint["endpoint"]: endpoint
        for group in state["groups"]
        for endpoint in group["endpoints"]
    }


async def scrape(proxy):
    """Return every sample of /metrics by its name and labels.

    Labels are in the catalogue's order; `le` comes last.
    """
    reply = await ask(proxy.port, "/metrics", method="GET")
    assert reply.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, *_in_order(family, sample.labels)): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }


def _in_order(family, labels):
    described = METRICS[family.name + ("_total" if family.type == "counter" else "")]
    return [labels[name] for name in (*described.labels, "le") if name in labels]


async def subscribe(proxy):
    """Subscribe to the live events; return the connection."""
    connection = await connect(proxy.port)
    await connection.send(request("/admin/events", method="GET", host="localhost"))
    status, headers = await connection.head()
    assert status == 200
    assert ("content-type", "text/event-stream; charset=utf-8") in headers
    return connection


async def next_event(connection):
    """Return the name and the content of the next event."""
    name, text = (await connection.chunk()).decode().strip().split("\n", 1)
    return name.removeprefix("event: "), json.loads(text.removeprefix("data: "))


async def next_named(connection, name):
    """Return the content of the next event with this name."""
    while True:
        found, content = await next_event(connection)
        if found == name:
            return content

"""What an operator's program sees of a proxy."""

import json

from prometheus_client.parser import text_string_to_metric_families

from llmproxy.admin.stats.metrics.catalogue import METRICS
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


async def scraped(proxy):
    """Every sample of /metrics, by its name and labels, these in the catalogue's order; `le` comes
    last."""
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

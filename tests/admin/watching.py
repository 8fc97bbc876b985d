"""Helpers that read a proxy's admin API and metrics."""

import json

from prometheus_client.parser import text_string_to_metric_families

from llmproxy.admin.stats.metrics.catalogue import METRICS
from tests.support.client import ask


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
    return {each["endpoint"]: each for group in state["groups"] for each in group["endpoints"]}


async def scraped(proxy):
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

"""Scripted vendors that tell their limits, and groups in front of them."""

import asyncio
import json
from time import monotonic

from tests.support.client import connect, request
from tests.support.proxy import config_for
from tests.support.vendor import chat, error_body, http

HELLO = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hello"}]}


def said(text, **extra):
    """A call that its vendor can tell from others."""
    return {**HELLO, "messages": [{"role": "user", "content": text}], **extra}


def asked_for(received):
    return json.loads(received.body)["messages"][0]["content"]


def limits_told(remaining, reset, *, limit=1000):
    return [
        ("x-ratelimit-limit-requests", str(limit)),
        ("x-ratelimit-remaining-requests", str(remaining)),
        ("x-ratelimit-reset-requests", reset),
    ]


def tells(remaining, reset, *, limit=1000, name="good"):
    """Answers everything, and says how much is left. (A reset that is not in proportion to what is
    missing means that all comes back at once.)"""
    steps = [http(chat(name), headers=limits_told(remaining, reset, limit=limit))]
    return lambda received, number: steps


def refuses(*headers):
    return http(error_body("rate_limit_exceeded"), status=429, headers=headers)


def endpoint(vendor, name, **settings):
    params = {"base_url": vendor.base_url, "api_key": "sk-upstream"}
    return {"name": name, "model": "gpt-4.1", "params": params, **settings}


def one(vendor, *, limits=None, **queue):
    """A group of one endpoint."""
    entry = endpoint(vendor, "only", **({"limits": limits} if limits else {}))
    return config_for(entry, queue=queue)


def cheap_and_dear(cheap, dear, *, limits=None, **queue):
    """A group of two tiers."""
    first = endpoint(cheap, "cheap", tier=0, **({"limits": limits} if limits else {}))
    return config_for(first, endpoint(dear, "dear", tier=1), queue=queue)


async def begin(port, body=HELLO, **options):
    """A call that has been sent and is not awaited: its connection."""
    connection = await connect(port)
    await connection.send(request(body=body, **options))
    return connection


async def until(true, within_s=5.0):
    """Wait until something is true."""
    ends_at = monotonic() + within_s
    while not true():
        assert monotonic() < ends_at, "it did not come true in time"
        await asyncio.sleep(0.005)


def line_of(proxy, group="gpt-4.1"):
    return proxy.runtime.pool.groups[group].queue

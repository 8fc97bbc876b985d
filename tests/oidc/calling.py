"""Calls with tokens."""

import asyncio

from tests.support.callers import bearer
from tests.support.client import CHAT, ask
from tests.support.proxy import config_for


def with_tokens(vendor, provider, *, settings=(), **jwt):
    return config_for(vendor.base_url, jwt=provider.jwt(**jwt), **dict(settings))


async def call(proxy, token, *, path="/v1/chat/completions", body=CHAT):
    return await ask(proxy.port, path, body=body, headers=bearer(token))


async def until_read(proxy, token):
    """The reply to a call, as soon as the issuer's keys have been read."""
    while (reply := await call(proxy, token)).status == 503:
        await asyncio.sleep(0.01)
    return reply

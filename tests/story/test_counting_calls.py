"""Calls that only count tokens use none of a limit of tokens, but count as requests."""

import pytest

from tests.support.client import ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, http, scripted

COUNTING = ["/v1/messages/count_tokens", "/v1/responses/input_tokens"]
LONG = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "word " * 4_000}]}
COUNTED = http({"input_tokens": 4_000})
KEY = "sk-0123456789abcdef"


def config(vendor, limits, **settings):
    params = {"base_url": vendor.base_url, "api_key": "sk-upstream"}
    entry = {"name": "a", "model": "gpt-4.1", "params": params, "limits": limits}
    return config_for(entry, queue={"max_wait_s": 0}, **settings)


async def statuses(proxy, *paths):
    headers = [("authorization", f"Bearer {KEY}")]
    return [(await ask(proxy.port, path, body=LONG, headers=headers)).status for path in paths]


@pytest.mark.parametrize("path", COUNTING)
@bounded()
async def test_an_endpoints_tokens_are_left_for_calls_that_use_them(path):
    async with scripted(always(COUNTED)) as vendor:
        async with serve_proxy(config(vendor, {"tpm": 6_000})) as proxy:
            assert await statuses(proxy, path, path, path) == [200] * 3


@pytest.mark.parametrize("path", COUNTING)
@bounded()
async def test_a_callers_tokens_are_left_for_calls_that_use_them(path):
    async with scripted(always(COUNTED)) as vendor:
        team = {"name": "team-a", "key": KEY, "limits": {"tpm": 6_000, "rpm": 4}}
        async with serve_proxy(config(vendor, {}, callers=[team])) as proxy:
            assert await statuses(proxy, path, path, path) == [200] * 3
            assert await statuses(proxy, "/v1/chat/completions", path) == [200, 429]


@pytest.mark.parametrize("path", COUNTING)
@bounded()
async def test_they_count_as_requests(path):
    async with scripted(always(COUNTED)) as vendor:
        async with serve_proxy(config(vendor, {"rpm": 2})) as proxy:
            assert await statuses(proxy, path, path, path) == [200, 200, 429]

"""`max_tokens` is reserved in full only at vendors that charge it when a call arrives."""

import asyncio

import pytest

from tests.support.client import CHAT, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import chat, http, scripted
from tests.support.waiting import until

LEFT = [
    ("x-ratelimit-limit-tokens", "90000"),
    ("x-ratelimit-remaining-tokens", "90000"),
    ("x-ratelimit-reset-tokens", "1s"),
]


async def most_at_once(provider, expected):
    """Of four calls at once with a bound of 32,000 and 90,000 tokens left, how many are sent.

    `expected`: so many are waited for before it is seen whether more come.
    """
    most = 0

    def answer(received, number):
        nonlocal most
        most = max(most, number - 1)
        return [http(chat("short"), headers=LEFT)] if number == 1 else ["hang"]

    async with scripted(answer) as vendor:
        params = {"base_url": vendor.base_url, "api_key": "sk-upstream"}
        entry = {"name": "a", "provider": provider, "model": "gpt-4.1", "params": params}
        entry["speaks"] = ["chat"]
        config = config_for(entry, num_retries=0, queue={"max_wait_s": 0.1})
        async with serve_proxy(config) as proxy:
            assert (await ask(proxy.port, body=CHAT)).status == 200
            long = {**CHAT, "max_tokens": 32_000}
            calls = [asyncio.ensure_future(ask(proxy.port, body=long)) for _ in range(4)]
            await until(lambda: most >= expected)
            await asyncio.sleep(0.2)  # twice what a call may wait for room
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
    return most


@pytest.mark.parametrize(
    ("provider", "sent"), [("openai", 2), ("azure", 2), ("anthropic", 4), ("groq", 4), ("vllm", 4)]
)
@bounded()
async def test_four_parallel_calls_with_a_generous_bound(provider, sent):
    assert await most_at_once(provider, sent) == sent

"""The simulated prompt cache: real lengths and times, as OpenAI documents them."""

import pytest

from llmproxy.tools.simulator import VendorSettings, serve
from llmproxy.tools.simulator.prompt_cache import PromptCache
from tests.support.run import bounded
from tests.tools.simulator.wires import openai_client

TOKEN = b"word"


@pytest.mark.parametrize(
    ("tokens", "cached"), [(1023, 0), (1024, 1024), (1151, 1024), (1152, 1152), (5000, 4992)]
)
def test_prompts_are_cached_from_1024_tokens_in_steps_of_128(tokens, cached):
    cache = PromptCache()
    assert cache.read_text(TOKEN * tokens, 0) == 0
    assert cache.read_text(TOKEN * tokens, 1) == cached


def test_only_what_is_equal_from_the_beginning_is_cached():
    cache = PromptCache()
    cache.read_text(TOKEN * 4000, 0)
    assert cache.read_text(TOKEN * 2000 + b"ward" * 2000, 1) == 1920
    assert cache.read_text(b"x" + TOKEN * 4000, 1) == 0


def test_what_is_not_used_for_five_minutes_is_forgotten():
    cache = PromptCache()
    cache.read_text(TOKEN * 2000, 0)
    assert cache.read_text(TOKEN * 2000, 299) == 1920
    assert cache.read_text(TOKEN * 2000, 598) == 1920
    assert cache.read_text(TOKEN * 2000, 900) == 0


@bounded()
async def test_usage_reports_what_was_cached():
    long = [{"role": "system", "content": "Be brief. " * 600}, {"role": "user", "content": "Hi"}]
    async with serve(VendorSettings(prompt_cache=True)) as vendor, openai_client(vendor) as client:
        for model, least in (("gpt-4.1", 0), ("gpt-4.1", 1400), ("gpt-4o", 0)):
            chat = await client.chat.completions.create(model=model, messages=long)
            cached = chat.usage.prompt_tokens_details.cached_tokens
            assert least <= cached <= chat.usage.prompt_tokens
            assert bool(cached) == bool(least)
        for least in (0, 1400):
            response = await client.responses.create(
                model="gpt-4.1", instructions=long[0]["content"], input="Hi"
            )
            assert response.usage.input_tokens_details.cached_tokens >= least

"""What Prometheus is told."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from tests.story.limited import said
from tests.story.test_cache import FIXED, cached, numbered
from tests.support.client import ask
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.valkey import valkey
from tests.support.vendor import scripted


async def scraped(proxy):
    """Every sample, by its name and labels."""
    reply = await ask(proxy.port, "/metrics", method="GET")
    assert reply.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }


@bounded()
async def test_what_the_cache_does_is_counted_to_the_call():
    async with scripted(numbered()) as vendor:
        config = cached(vendor)
        config["model_groups"][0]["models"][0]["price"] = {"input": 1000, "output": 100_000}
        async with serve_proxy(config) as proxy:
            await asyncio.gather(*(ask(proxy.port, body=FIXED) for _ in range(4)))
            for _ in range(5):
                await ask(proxy.port, body=FIXED)
            told = await scraped(proxy)
            calls = {
                word: told["llmproxy_cache_calls_total", word]
                for word in ("hit", "stale", "coalesced", "miss")
            }
            assert calls == {"hit": 5, "stale": 0, "coalesced": 3, "miss": 1}
            assert told["llmproxy_cache_kept_total",] == 1
            assert told["llmproxy_cache_saved_tokens_total", "input"] == 8 * 3
            assert told["llmproxy_cache_saved_tokens_total", "output"] == 8 * 2
            assert abs(told["llmproxy_cache_saved_usd_total",] - 8 * 0.203) < 1e-9
            assert told["llmproxy_cache_memory_answers",] == 1
            assert told["llmproxy_cache_memory_bytes",] == proxy.runtime.cache.memory.bytes
            assert ("llmproxy_cache_store_up",) not in told


@bounded()
async def test_a_store_is_told_of_too_and_that_it_is_gone(tmp_path):
    async with valkey(tmp_path) as server, scripted(numbered()) as vendor:
        config = cached(vendor, type="redis")
        config["general_settings"]["redis_url"] = server.url
        async with serve_proxy(config) as proxy:
            await ask(proxy.port, body=FIXED)
            told = await scraped(proxy)
            assert told["llmproxy_cache_store_up",] == 1
            assert told["llmproxy_cache_store_reads_total",] == 1
            await server.kill()
            for number in range(8):
                await ask(proxy.port, body=said(f"question {number}", temperature=0))
            told = await scraped(proxy)
            assert told["llmproxy_cache_store_up",] == 0
            assert told["llmproxy_cache_store_failures_total",] > 0


@bounded()
async def test_what_clients_send_makes_no_new_series():
    async with scripted(numbered()) as vendor, serve_proxy(cached(vendor)) as proxy:
        before = set(await scraped(proxy))
        for number in range(30):
            body = said("hello", temperature=0, model=f"no-such-model-{number}")
            assert (await ask(proxy.port, body=body)).status == 404
        assert set(await scraped(proxy)) == before

"""`/metrics`: what Prometheus scrapes."""

import asyncio
import math
import platform

import pytest
from prometheus_client.parser import text_string_to_metric_families

import llmproxy
from llmproxy.batteries.admin.stats.metrics.catalogue import METRICS
from tests.admin.watching import post, scrape
from tests.support.cached import FIXED, numbered_answers, with_cache
from tests.support.client import HELLO, ask, question
from tests.support.groups import endpoint
from tests.support.limits import reports_limits
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.valkey import valkey
from tests.support.vendor import DOWN, GOOD, always, scripted

PRICE = {"input": 1000, "output": 100_000}  # a call of 3 and 2 tokens: 0.203 dollars


STATES = ("ok", "full", "cooling", "open", "half-open", "misconfigured", "drained")


@bounded()
async def test_every_cache_result_is_counted():
    async with scripted(numbered_answers()) as vendor:
        config = with_cache(vendor)
        config["model_groups"][0]["models"][0]["price"] = {"input": 1000, "output": 100_000}
        async with serve_proxy(config) as proxy:
            await asyncio.gather(*(ask(proxy.port, body=FIXED) for _ in range(4)))
            for _ in range(5):
                await ask(proxy.port, body=FIXED)
            metrics = await scrape(proxy)
            calls = {
                word: metrics["llmproxy_cache_calls_total", word]
                for word in ("hit", "stale", "coalesced", "miss")
            }
            assert calls == {"hit": 5, "stale": 0, "coalesced": 3, "miss": 1}
            assert metrics["llmproxy_cache_kept_total",] == 1
            assert metrics["llmproxy_cache_saved_tokens_total", "input"] == 8 * 3
            assert metrics["llmproxy_cache_saved_tokens_total", "output"] == 8 * 2
            assert abs(metrics["llmproxy_cache_saved_usd_total",] - 8 * 0.203) < 1e-9
            assert metrics["llmproxy_cache_memory_answers",] == 1
            assert metrics["llmproxy_cache_memory_bytes",] == proxy.runtime.cache.memory.bytes
            assert ("llmproxy_cache_store_up",) not in metrics


@bounded()
async def test_the_metrics_show_the_store_and_that_it_is_disconnected(tmp_path):
    async with valkey(tmp_path) as server, scripted(numbered_answers()) as vendor:
        config = with_cache(vendor, type="redis")
        config["general_settings"]["redis_url"] = server.url
        async with serve_proxy(config) as proxy:
            await ask(proxy.port, body=FIXED)
            metrics = await scrape(proxy)
            assert metrics["llmproxy_cache_store_up",] == 1
            assert metrics["llmproxy_cache_store_reads_total",] == 1
            await server.kill()
            for number in range(8):
                await ask(proxy.port, body=question(f"question {number}", temperature=0))
            while metrics["llmproxy_cache_store_up",]:  # a state is shown for half a second
                await asyncio.sleep(0.05)
                metrics = await scrape(proxy)
            assert metrics["llmproxy_cache_store_failures_total",] > 0


@bounded()
async def test_calls_and_attempts_are_counted_by_outcome():
    async with scripted(DOWN) as bad, scripted(GOOD) as good:
        entries = [endpoint(bad, "bad"), endpoint(good, "good", price=PRICE)]
        async with serve_proxy(config_for(*entries, allowed_fails=1)) as proxy:
            at_first = await scrape(proxy)
            for _ in range(3):
                await ask(proxy.port, body=HELLO)
            await ask(proxy.port, body=question("x", model="no-such"))
            metrics = await scrape(proxy)
    group, here = "gpt-4.1", ("gpt-4.1", "good")
    assert at_first["llmproxy_calls_total", *here, "2xx"] == 0
    assert metrics["llmproxy_calls_total", *here, "2xx"] == 3
    assert metrics["llmproxy_calls_total", "", "", "4xx"] == 1
    assert metrics["llmproxy_attempts_total", *here, "answered"] == 3
    assert metrics["llmproxy_attempts_total", group, "bad", "failed"] == 1
    assert metrics["llmproxy_attempt_failures_total", group, "bad", "server_error"] == 1
    assert metrics["llmproxy_failovers_total", group, "bad", "server_error"] == 1
    assert metrics["llmproxy_tokens_total", *here, "input"] == 9
    assert metrics["llmproxy_tokens_total", *here, "output"] == 6
    assert metrics["llmproxy_cost_usd_total", *here] == pytest.approx(3 * 0.203)
    assert metrics["llmproxy_call_errors_total", group, "upstream"] == 0
    assert metrics["llmproxy_call_errors_total", "", "client"] == 1
    assert metrics["llmproxy_endpoint_changes_total", group, "bad", "open"] == 1


@bounded()
async def test_hedges_are_counted_with_what_they_cost():
    async with scripted(always("hang")) as stalled, scripted(GOOD) as good:
        entries = [endpoint(stalled, "stalled", price=PRICE), endpoint(good, "good")]
        async with serve_proxy(config_for(*entries, hedge_after_s=0.1)) as proxy:
            group = "gpt-4.1"
            assert (await scrape(proxy))["llmproxy_hedges_total", group, "won"] == 0
            await ask(proxy.port, body=HELLO)
            metrics = await scrape(proxy)
    assert metrics["llmproxy_hedges_total", group, "won"] == 1
    assert metrics["llmproxy_hedge_input_tokens_total", group] == 3
    assert metrics["llmproxy_hedge_cost_usd_total", group] == pytest.approx(0.003)
    assert metrics["llmproxy_attempts_total", group, "stalled", "abandoned"] == 1


@bounded()
async def test_a_histogram_has_each_value_once_and_cumulative_buckets():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            for _ in range(5):
                await ask(proxy.port, body=HELLO)
            metrics = await scrape(proxy)
    for name in (
        *("llmproxy_call_first_byte_seconds", "llmproxy_call_duration_seconds"),
        "llmproxy_call_overhead_seconds",
    ):
        buckets = [
            value for key, value in metrics.items() if key[:2] == (f"{name}_bucket", "gpt-4.1")
        ]
        assert buckets == sorted(buckets)
        assert buckets[-1] == metrics[f"{name}_count", "gpt-4.1"] == 5
        assert metrics[f"{name}_sum", "gpt-4.1"] > 0
    assert metrics["llmproxy_attempt_first_byte_seconds_count", "gpt-4.1", "only"] == 5


@bounded()
async def test_the_metrics_show_each_endpoint_s_state_its_limits_and_waiting_calls():
    async with scripted(reports_limits(7, "1m", limit=10)) as one, scripted(DOWN) as other:
        entries = [
            endpoint(one, "one", limits={"tpm": 6000, "concurrent": 4}),
            endpoint(other, "other"),
        ]
        async with serve_proxy(config_for(*entries, allowed_fails=1)) as proxy:
            for _ in range(3):
                await ask(proxy.port, body=HELLO)
            await post(proxy, "/admin/drain", {"endpoint": "one"})
            metrics = await scrape(proxy)
    one, other = ("gpt-4.1", "one"), ("gpt-4.1", "other")
    for names, state in ((one, "drained"), (other, "open")):
        states = {word: metrics["llmproxy_endpoint_state", *names, word] for word in STATES}
        assert [word for word, value in states.items() if value] == [state]
        assert metrics["llmproxy_endpoint_available", *names] == 0
    assert metrics["llmproxy_endpoint_ready_seconds", *one] == math.inf
    assert 30 < metrics["llmproxy_endpoint_ready_seconds", *other] < 90  # a minute, or so
    assert metrics["llmproxy_endpoint_limit", *one, "requests"] == 10
    assert metrics["llmproxy_endpoint_limit_remaining", *one, "requests"] <= 10
    assert metrics["llmproxy_endpoint_limit_configured", *one, "tokens"] == 6000
    assert metrics["llmproxy_endpoint_limit", *one, "concurrent"] == 4
    assert ("llmproxy_endpoint_limit", *other, "requests") not in metrics
    assert metrics["llmproxy_calls_waiting", "gpt-4.1"] == 0
    assert metrics["llmproxy_workers",] == 1
    assert metrics["llmproxy_config_refused",] == 0
    assert metrics["llmproxy_build_info", llmproxy.__version__, platform.python_version()] == 1


@bounded()
async def test_callers_appear_by_name_and_never_by_key():
    async with scripted(GOOD) as vendor:
        callers = [{"name": "alice", "key": "sk-alice-secret"}]
        async with serve_proxy(config_for(vendor.base_url, callers=callers)) as proxy:
            bearer = ("authorization", "Bearer sk-alice-secret")
            await ask(proxy.port, body=HELLO, headers=[bearer])
            metrics = await scrape(proxy)
    assert metrics["llmproxy_caller_calls_total", "alice", "2xx"] == 1
    assert metrics["llmproxy_caller_tokens_total", "alice", "input"] == 3
    assert "secret" not in str(metrics)


@bounded()
async def test_spend_is_shown_by_team_caller_and_group():
    async with scripted(GOOD) as vendor:
        callers = [{"name": "alice", "key": "sk-alice-secret", "team": "search"}]
        entries = [endpoint(vendor, "priced", price=PRICE)]
        async with serve_proxy(config_for(*entries, callers=callers)) as proxy:
            for _ in range(2):
                await ask(proxy.port, body=HELLO, headers=[("api-key", "sk-alice-secret")])
            await ask(proxy.port, body=HELLO)
            metrics = await scrape(proxy)
    alice = ("search", "alice", "gpt-4.1")
    assert metrics["llmproxy_spend_usd_total", *alice, "exact"] == pytest.approx(2 * 0.203)
    assert metrics["llmproxy_spend_calls_total", *alice, "exact"] == 2
    assert metrics["llmproxy_spend_tokens_total", *alice, "input"] == 6
    assert metrics["llmproxy_spend_tokens_total", *alice, "output"] == 4
    assert metrics["llmproxy_spend_calls_total", "", "", "", "free"] == 1  # without a key


@bounded()
async def test_nothing_that_clients_send_makes_a_new_series():
    """150 model names, paths and keys that are not configured."""
    async with scripted(GOOD) as vendor:
        callers = [{"name": "alice", "key": "sk-alice-secret"}]
        async with serve_proxy(config_for(vendor.base_url, callers=callers)) as proxy:
            alice = ("authorization", "Bearer sk-alice-secret")
            await ask(proxy.port, body=HELLO, headers=[alice])
            await ask(proxy.port, body=question("x", model="no-such"), headers=[alice])
            await ask(proxy.port, body=HELLO)
            before = set(await scrape(proxy))
            for number in range(150):
                made_up = question("x", model=f"no-such-{number}")
                statuses = [
                    (await ask(proxy.port, body=made_up, headers=[alice])).status,
                    (await ask(proxy.port, f"/v1/{number}/x", body=HELLO, headers=[alice])).status,
                    (await ask(proxy.port, body=HELLO, headers=[("api-key", f"{number}")])).status,
                ]
                assert statuses == [404, 200, 401]  # unknown paths are passed on
            assert set(await scrape(proxy)) == before


@bounded()
async def test_every_metric_is_as_the_catalogue_describes_it():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            await ask(proxy.port, body=HELLO)
            reply = await ask(proxy.port, "/metrics", method="GET")
    for family in text_string_to_metric_families(reply.body.decode()):
        suffix = "_total" if family.type == "counter" else ""
        described = METRICS[family.name + suffix]
        assert (family.type, family.documentation) == (described.kind, described.help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(described.labels)


@bounded()
async def test_names_with_quotes_and_backslashes_are_escaped():
    async with scripted(GOOD) as vendor:
        group, name = 'a"big"\\group', 'b"x\\n"'
        config = config_for(endpoint(vendor, name), group=group)
        async with serve_proxy(config) as proxy:
            await ask(proxy.port, body=question("x", model=group))
            metrics = await scrape(proxy)
            assert metrics["llmproxy_calls_total", group, name, "2xx"] == 1
            assert metrics["llmproxy_attempt_first_byte_seconds_count", group, name] == 1
            assert metrics["llmproxy_attempt_first_byte_seconds_bucket", group, name, "+Inf"] == 1

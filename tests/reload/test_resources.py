"""A reload keeps open resources unless their settings change, and no counter falls."""

import asyncio

import pytest

from tests.admin.watching import get_json
from tests.reload.reloading import chat, config_of, endpoint, group, one_group, reload, state_of
from tests.support.cached import FIXED, numbered_answers, text_of
from tests.support.callers import KEY_A, KEY_B, bearer, team_a, team_b
from tests.support.client import begin, question
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.valkey import valkey
from tests.support.vendor import GOOD, always, http, scripted
from tests.support.vendor import chat as answer
from tests.support.waiting import until
from tests.system.workers import Slow, begin_streams, completed


@bounded()
async def test_a_callers_key_is_removed_while_its_call_is_under_way(tmp_path):
    async with scripted(always(0.3, http(answer()))) as vendor:
        entry = endpoint(vendor, "only")
        config = one_group(entry, callers=[team_a(), team_b()])
        async with serve_proxy(config, path=tmp_path / "c.yaml") as proxy:
            call = await begin(proxy.port, headers=bearer(KEY_A))
            await until(lambda: vendor.received)
            assert await reload(proxy, one_group(entry, callers=[team_b()])) == [
                "caller team-a: is gone"
            ]
            assert (await chat(proxy, headers=bearer(KEY_A))).status == 401
            assert (await chat(proxy, headers=bearer(KEY_B))).status == 200
            assert (await call.reply()).status == 200
            call.leave()


@bounded()
async def test_a_callers_usage_counts_under_its_new_key_and_limit(tmp_path):
    async with scripted(GOOD) as vendor:
        entry = endpoint(vendor, "only")
        config = one_group(entry, callers=[team_a(limits={"rpm": 100})])
        async with serve_proxy(config, path=tmp_path / "c.yaml") as proxy:
            for _ in range(4):
                assert (await chat(proxy, headers=bearer(KEY_A))).status == 200
            caller = {"name": "team-a", "key": KEY_B, "limits": {"rpm": 5}}
            changes = await reload(proxy, one_group(entry, callers=[caller]))
            assert changes == ["caller team-a: limits.rpm: 100 -> 5", "caller team-a: key: changed"]
            statuses = [(await chat(proxy, headers=bearer(KEY_B))).status for _ in range(2)]
            assert statuses == [200, 429]


@bounded()
async def test_cached_answers_stay_and_no_count_falls_when_the_cache_changes(tmp_path):
    on_disk = {"type": "disk", "path": str(tmp_path / "answers.sqlite3")}
    stages = (
        {"cache": True, "cache_params": {"ttl": 1000}},
        {"cache": True, "cache_params": on_disk},
        {"cache": True, "cache_params": {**on_disk, "ttl": 500}},
        {"cache": False},
        {"cache": True, "cache_params": {"ttl": 1000}},
    )
    async with scripted(numbered_answers()) as vendor:
        entry = endpoint(vendor, "only", price={"input": 1000, "output": 1000})
        config = one_group(entry, cache=True)
        async with serve_proxy(config, path=tmp_path / "c.yaml") as proxy:
            await chat(proxy, FIXED)
            seen = [await counters_of(proxy)]
            for number, settings in enumerate(stages):
                assert await reload(proxy, one_group(entry, **settings))
                seen.append(await counters_of(proxy))
                reply = await chat(proxy, FIXED)
                if number < 3:
                    assert (reply.header("x-llmproxy-cache"), text_of(reply)) == ("hit", "answer 1")
                await chat(proxy, question(f"new {number}", temperature=0))
                seen.append(await counters_of(proxy))
            assert seen[-1]["hits"] >= 3
            assert seen[-1]["store reads"] > 0
            for before, after in zip(seen, seen[1:], strict=False):
                fallen = {name for name in before if after[name] < before[name]}
                assert not fallen, (before, after)


async def counters_of(proxy):
    totals = (await get_json(proxy, "/admin/state"))["totals"]
    cache = proxy.runtime.cache
    counted = {name: getattr(cache.counters, name) for name in ("hits", "misses", "kept")}
    store = cache.store_counters
    counted |= {} if store is None else {"store reads": store.reads, "store hits": store.hits}
    return {**totals, **counted}


@bounded()
async def test_equal_calls_are_coalesced_across_a_reload(tmp_path):
    async with scripted(always(0.3, http(answer()))) as vendor:
        entry = endpoint(vendor, "only")
        config = one_group(entry, cache=True)
        async with serve_proxy(config, path=tmp_path / "c.yaml") as proxy:
            first = await begin(proxy.port, FIXED)
            await until(lambda: vendor.received)
            await reload(proxy, one_group({**entry, "weight": 3}, cache=True))
            again = await chat(proxy, FIXED)
            assert again.header("x-llmproxy-cache") == "coalesced"
            assert (await first.reply()).status == 200
            assert len(vendor.received) == 1
            first.leave()


@bounded()
async def test_connections_are_kept_unless_their_settings_change_and_then_until_calls_end(tmp_path):
    def slow_at_first(received, number):
        return (0.4, http(answer())) if number == 2 else (http(answer()),)

    async with scripted(slow_at_first) as vendor:
        entry = endpoint(vendor, "only")
        async with serve_proxy(one_group(entry), path=tmp_path / "c.yaml") as proxy:
            await chat(proxy)
            await reload(proxy, one_group({**entry, "weight": 3}))
            call = await begin(proxy.port)
            await until(lambda: len(vendor.received) == 2)
            assert vendor.connections == 1
            before = proxy.runtime
            await reload(proxy, one_group(entry, timeouts={"connect_s": 3}))
            await chat(proxy)
            assert vendor.connections == 2
            assert before.calls == 1
            assert (await call.reply()).status == 200
            await until(lambda: vendor.open_connections == 1)
            call.leave()


@bounded()
async def test_tokens_cost_the_price_of_the_current_config(tmp_path):
    async with scripted(GOOD) as vendor:
        entry = endpoint(vendor, "only", price={"input": 1_000_000, "output": 0})
        async with serve_proxy(one_group(entry), path=tmp_path / "c.yaml") as proxy:
            await chat(proxy)  # 3 input tokens
            await reload(proxy, one_group({**entry, "price": {"input": 10_000_000, "output": 0}}))
            await chat(proxy)
            assert (await get_json(proxy, "/admin/state"))["totals"]["cost_usd"] == 3 + 30


@bounded()
async def test_the_shared_view_stays_and_gets_new_endpoints_and_drops_removed_ones(tmp_path):
    async with valkey(tmp_path) as server, scripted(GOOD) as vendor:
        first, second = (endpoint(vendor, name) for name in ("first", "second"))
        first["model"], second["model"] = "m1", "m2"
        shared = {"redis_url": server.url}
        config = one_group({**first, "limits": {"rpm": 6}}, **shared)
        async with serve_proxy(config, path=tmp_path / "c.yaml") as proxy:
            view = proxy.runtime.peers
            await until(lambda: view.status(0.0).connected)
            await chat(proxy)
            lease = state_of(proxy, "first").capacity.quota
            await reload(proxy, one_group({**first, "limits": {"rpm": 6}}, second, **shared))
            assert proxy.runtime.peers is view
            assert state_of(proxy, "first").capacity.quota is lease
            added = state_of(proxy, "second").capacity
            assert view.has(added.key, added.quota)
            removed = state_of(proxy, "first").capacity
            await reload(proxy, one_group(second, **shared))
            await until(lambda: not view.has(removed.key, removed.quota))
            assert view.has(added.key, added.quota)
            await reload(proxy, one_group(second))
            assert proxy.runtime.peers is None
            assert added.quota is None
            assert (await chat(proxy)).status == 200


@pytest.mark.parametrize("changed", [{"rpm": 9}, {"rpm": 6, "concurrent": 50}], ids=str)
@bounded()
async def test_a_limit_that_all_instances_share_holds_when_it_is_changed(tmp_path, changed):
    async with valkey(tmp_path) as server, scripted(GOOD) as vendor:
        entry, queue = endpoint(vendor, "only"), {"queue": {"max_wait_s": 0}}
        shared = {"redis_url": server.url, **queue}
        config = one_group({**entry, "limits": {"rpm": 6}}, **shared)
        async with serve_proxy(config, path=tmp_path / "c.yaml") as proxy:
            view = proxy.runtime.peers
            await until(lambda: view.status(0.0).connected)
            await reload(proxy, one_group({**entry, "limits": changed}, **shared))
            lease = state_of(proxy, "only").capacity.quota
            await until(lambda: lease.share is None)
            statuses = []
            for _ in range(40):
                statuses.append((await chat(proxy)).status)
                await asyncio.sleep(0.02)
            assert changed["rpm"] - 1 <= statuses.count(200) <= changed["rpm"] + 1


@bounded()
async def test_the_server_applies_the_body_limit_of_the_current_config(tmp_path):
    async with scripted(GOOD) as vendor:
        entry = endpoint(vendor, "only")
        async with serve_proxy(one_group(entry), path=tmp_path / "c.yaml") as proxy:
            big = question("x" * 2000)
            assert (await chat(proxy, big)).status == 200
            changes = await reload(proxy, one_group(entry, max_body_bytes=1024))
            assert changes == ["general_settings.max_body_bytes: 33554432 -> 1024"]
            assert (await chat(proxy, big)).status == 413


@bounded()
async def test_a_hundred_reloads_leave_nothing_open(tmp_path):
    async with scripted(GOOD) as vendor:
        entry = endpoint(vendor, "only")
        configs = (
            one_group(entry, timeouts={"connect_s": 2}),
            config_of(group("gpt-4.1", entry), group("more", entry), cache=True),
        )
        async with serve_proxy(configs[0], path=tmp_path / "c.yaml") as proxy:
            for number in range(1, 101):
                await reload(proxy, configs[number % 2])
                assert (await chat(proxy)).status == 200
            await until(lambda: proxy.reloader.retired == 0)
            kinds = sorted(proxy.reloader.shared.kinds)
            assert kinds == ["cache", "owners", "upstream"]
            assert proxy.reloader.loaded.reloads == 100


@bounded()
async def test_streams_complete_during_reloads(tmp_path):
    slow = Slow()
    async with scripted(slow) as old, scripted(GOOD) as new:
        config = one_group(endpoint(old, "old"), drain_timeout_s=0)
        async with serve_proxy(config, path=tmp_path / "c.yaml") as proxy:
            streams = await begin_streams(proxy, 3)
            for number in range(1, 6):
                timeouts = {"connect_s": number, "upstream_idle_s": number}
                await reload(proxy, one_group(endpoint(new, "new"), timeouts=timeouts))
                assert (await chat(proxy)).header("x-llmproxy-endpoint") == "new"
                await asyncio.sleep(0.15)
            slow.go_on.set()
            assert await completed(streams) == [True] * 3

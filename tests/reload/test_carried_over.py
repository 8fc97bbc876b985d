"""A reload keeps the state of endpoints."""

import asyncio
from time import monotonic

from tests.admin.watching import endpoints_of, post
from tests.reload.reloading import (
    chat,
    config_of,
    endpoint,
    group,
    one_group,
    reload,
    with_key,
)
from tests.support.client import begin, question
from tests.support.limits import reports_limits
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.under_way import idle, queued, under_way, waiting_calls
from tests.support.vendor import DOWN, GOOD, always, http, scripted
from tests.support.vendor import chat as answer
from tests.support.waiting import until


@bounded()
async def test_an_open_breaker_stays_open(tmp_path):
    async with scripted(DOWN) as bad, scripted(GOOD) as good:
        broken, fine = endpoint(bad, "broken", weight=100), endpoint(good, "fine")
        config = one_group(broken, fine, allowed_fails=1, cooldown_time=60)
        async with serve_proxy(config, path=tmp_path / "c.yaml") as proxy:
            assert (await chat(proxy)).status == 200
            assert len(bad.received) == 1
            await reload(proxy, one_group({**broken, "weight": 50}, fine, cooldown_time=50))
            for _ in range(5):
                assert (await chat(proxy)).status == 200
            assert len(bad.received) == 1
            assert (await endpoints_of(proxy))["broken"]["breaker"] == "open"


@bounded()
async def test_a_learned_limit_and_what_is_left_of_it_stay(tmp_path):
    async with scripted(reports_limits(7, "30s")) as vendor:
        entry = endpoint(vendor, "only")
        async with serve_proxy(one_group(entry), path=tmp_path / "c.yaml") as proxy:
            await chat(proxy)
            await reload(proxy, one_group({**entry, "tier": 1}, num_retries=1))
            level = (await endpoints_of(proxy))["only"]["capacity"]["requests"]
            assert level["limit"] == 1000
            assert level["left"] < 50


@bounded()
async def test_a_drained_endpoint_stays_drained_even_with_another_credential(tmp_path):
    async with scripted(GOOD) as one, scripted(GOOD) as other:
        drained, rest = endpoint(one, "one"), endpoint(other, "other")
        async with serve_proxy(one_group(drained, rest), path=tmp_path / "c.yaml") as proxy:
            await post(proxy, "/admin/drain", {"endpoint": "one"})
            for wanted in ({**drained, "weight": 9}, with_key(drained, "sk-other")):
                await reload(proxy, one_group(wanted, rest))
                for _ in range(3):
                    assert (await chat(proxy)).status == 200
                assert not one.received
                assert (await endpoints_of(proxy))["one"]["state"] == "drained"


@bounded()
async def test_another_credential_is_another_account_without_the_old_failures(tmp_path):
    async with scripted(DOWN) as bad, scripted(GOOD) as good:
        broken, fine = endpoint(bad, "broken", weight=100), endpoint(good, "fine")
        async with serve_proxy(one_group(broken, fine), path=tmp_path / "c.yaml") as proxy:
            await chat(proxy)
            changes = await reload(proxy, one_group(with_key(broken, "sk-new"), fine))
            assert changes == [
                "gpt-4.1/broken: params.api_key: changed",
                "gpt-4.1/broken: has another address or credential: its state is reset",
            ]
            assert (await endpoints_of(proxy))["broken"]["breaker"] == "closed"
            await chat(proxy)
            assert len(bad.received) == 2
            assert bad.received[-1].header("authorization") == "Bearer sk-new"


@bounded()
async def test_calls_under_way_are_counted_until_they_end(tmp_path):
    answered = asyncio.Event()
    async with scripted(always(answered, http(answer()))) as vendor:
        entry = endpoint(vendor, "only")
        async with serve_proxy(one_group(entry), path=tmp_path / "c.yaml") as proxy:
            before = [await begin(proxy.port) for _ in range(2)]
            await until(lambda: len(vendor.received) == 2)
            await reload(proxy, one_group({**entry, "weight": 5}))
            after = await begin(proxy.port)
            await until(lambda: len(vendor.received) == 3)
            assert (await endpoints_of(proxy))["only"]["in_flight"] == 3
            assert under_way(proxy)["calls"] == 3
            answered.set()
            for call in (*before, after):
                assert (await call.reply()).status == 200
                call.leave()
            await idle(proxy)


@bounded()
async def test_places_at_an_endpoint_are_counted_over_old_and_new_calls_together(tmp_path):
    answered = asyncio.Event()
    async with scripted(always(answered, http(answer()))) as vendor:
        entry = endpoint(vendor, "only", limits={"concurrent": 2})
        async with serve_proxy(one_group(entry), path=tmp_path / "c.yaml") as proxy:
            calls = [await begin(proxy.port) for _ in range(2)]
            await until(lambda: len(vendor.received) == 2)
            for limits in ({"concurrent": 2, "rpm": 1000}, {"concurrent": 2}, {"concurrent": 3}):
                await reload(proxy, one_group({**entry, "limits": limits}))
            calls += [await begin(proxy.port) for _ in range(2)]
            await until(lambda: len(vendor.received) == 3)
            await queued(proxy, 1)
            answered.set()
            for call in calls:
                assert (await call.reply()).status == 200
                call.leave()
            assert len(vendor.received) == 4


@bounded()
async def test_what_was_sent_counts_under_a_new_limit_too(tmp_path):
    async with scripted(GOOD) as vendor:
        entry = endpoint(vendor, "only", limits={"rpm": 100})
        settings = {"queue": {"max_wait_s": 0}}
        async with serve_proxy(one_group(entry, **settings), path=tmp_path / "c.yaml") as proxy:
            for _ in range(4):
                assert (await chat(proxy)).status == 200
            changes = await reload(proxy, one_group({**entry, "limits": {"rpm": 5}}, **settings))
            assert changes == ["gpt-4.1/only: limits.rpm: 100 -> 5"]
            assert [(await chat(proxy)).status for _ in range(2)] == [200, 429]


@bounded()
async def test_waiting_calls_keep_their_place_in_the_queue(tmp_path):
    answered = asyncio.Event()
    async with scripted(always(answered, http(answer()))) as vendor:
        entry = endpoint(vendor, "only", limits={"concurrent": 1})
        async with serve_proxy(one_group(entry), path=tmp_path / "c.yaml") as proxy:
            calls = [await begin(proxy.port, question("first"))]
            await until(lambda: vendor.received)
            calls.append(await begin(proxy.port, question("second")))
            await queued(proxy, 1)
            await reload(proxy, one_group({**entry, "weight": 7}, num_retries=1))
            calls.append(await begin(proxy.port, question("third")))
            answered.set()
            for call in calls:
                assert (await call.reply()).status == 200
                call.leave()
            asked = [received.body for received in vendor.received]
            assert [b"first" in asked[0], b"second" in asked[1], b"third" in asked[2]] == [True] * 3


@bounded()
async def test_waiting_calls_go_to_a_new_endpoint_at_once(tmp_path):
    async with scripted(always("hang")) as busy, scripted(GOOD) as free:
        entry = endpoint(busy, "busy", limits={"concurrent": 1})
        async with serve_proxy(one_group(entry), path=tmp_path / "c.yaml") as proxy:
            stuck = await begin(proxy.port)
            await until(lambda: busy.received)
            waiting = await begin(proxy.port)
            await queued(proxy, 1)
            began_at = monotonic()
            await reload(proxy, one_group(entry, endpoint(free, "free")))
            assert (await waiting.reply()).header("x-llmproxy-endpoint") == "free"
            assert monotonic() - began_at < 5
            stuck.leave()
            waiting.leave()


@bounded()
async def test_a_call_ends_at_an_endpoint_that_is_removed_under_it(tmp_path):
    answered = asyncio.Event()
    slow = always(answered, http(answer("old")))
    async with scripted(slow) as old, scripted(GOOD) as new:
        config = one_group(endpoint(old, "old"))
        async with serve_proxy(config, path=tmp_path / "c.yaml") as proxy:
            call = await begin(proxy.port)
            await until(lambda: old.received)
            before = proxy.runtime
            changes = await reload(proxy, one_group(endpoint(new, "new")))
            assert changes == ["gpt-4.1/new: is new", "gpt-4.1/old: is gone"]
            assert (await chat(proxy)).header("x-llmproxy-endpoint") == "new"
            answered.set()
            assert (await call.reply()).json == answer("old")
            assert len(old.received) == 1
            await until(lambda: before.calls == 0)
            assert not under_way(proxy)
            call.leave()


@bounded()
async def test_a_call_that_fails_at_a_removed_endpoint_goes_on_to_a_new_one(tmp_path):
    async with scripted(always(0.3, "reset")) as old, scripted(GOOD) as new:
        config = one_group(endpoint(old, "old"))
        async with serve_proxy(config, path=tmp_path / "c.yaml") as proxy:
            call = await begin(proxy.port)
            await until(lambda: old.received)
            await reload(proxy, one_group(endpoint(new, "new")))
            reply = await call.reply()
            assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "new")
            call.leave()


@bounded()
async def test_a_group_is_removed_while_one_call_is_on_it_and_one_waits(tmp_path):
    answered = asyncio.Event()
    slow = always(answered, http(answer("old")))
    async with scripted(slow) as old, scripted(GOOD) as new:
        kept = group("kept", endpoint(new, "new"))
        gone = group("gpt-4.1", endpoint(old, "old", limits={"concurrent": 1}))
        async with serve_proxy(config_of(kept, gone), path=tmp_path / "c.yaml") as proxy:
            calls = [await begin(proxy.port) for _ in range(2)]
            await until(lambda: old.received and waiting_calls(proxy) == 1)
            assert await reload(proxy, config_of(kept)) == ["gpt-4.1: is gone"]
            assert (await chat(proxy)).status == 404
            answered.set()
            for call in calls:
                assert (await call.reply()).json == answer("old")
                call.leave()
            # A later group with the same name is a new one.
            assert await reload(proxy, config_of(kept, group("gpt-4.1", endpoint(new, "new")))) == [
                "gpt-4.1: is new"
            ]
            assert (await chat(proxy)).header("x-llmproxy-endpoint") == "new"


@bounded()
async def test_a_higher_max_in_flight_admits_waiting_calls(tmp_path):
    async with scripted(always(2, http(answer()))) as vendor:
        entry = endpoint(vendor, "only")
        config = one_group(entry, max_in_flight=1)
        async with serve_proxy(config, path=tmp_path / "c.yaml") as proxy:
            calls = [await begin(proxy.port) for _ in range(3)]
            await until(lambda: vendor.received)
            await reload(proxy, one_group(entry, max_in_flight=3))
            await until(lambda: len(vendor.received) == 3, within_s=1.5)
            for call in calls:
                assert (await call.reply()).status == 200
                call.leave()
            assert not under_way(proxy)

"""A caller's limits count what its calls ask of endpoints, not what the cache answers."""

import asyncio

import pytest

from tests.support.cached import FIXED, numbered_answers, text_of, with_cache
from tests.support.callers import as_caller
from tests.support.client import HELLO, ask, begin
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.slow_answers import OnRequest
from tests.support.under_way import clients_of_shared_calls, idle
from tests.support.vendor import always, chat, error_body, http, scripted
from tests.support.waiting import until

OTHER = {**FIXED, "seed": 2}
NAMES = ("alice", "bob")


def limited(vendor, *, scope="per_caller", general=(), limits, **params):
    """A config with a cache, and callers with the same limits each."""
    keys = {name: as_caller(name)[0][1].removeprefix("Bearer ") for name in NAMES}
    callers = [{"name": name, "key": key, "limits": limits} for name, key in keys.items()]
    config = with_cache(vendor, callers=callers, scope=scope, **params)
    config["general_settings"] |= dict(general)
    return config


async def ask_as(name, proxy, body=FIXED, **more):
    return await ask(proxy.port, body=body, headers=as_caller(name), **more)


def cache_words(replies):
    return sorted(reply.header("x-llmproxy-cache") for reply in replies)


def remaining(reply, of="requests"):
    return int(reply.header(f"x-ratelimit-remaining-{of}"))


def slow(answer, *, after_s=0.2):
    return always(after_s, answer)


@bounded()
async def test_hits_are_answered_although_the_caller_has_used_up_its_limit():
    async with scripted(numbered_answers()) as vendor:
        async with serve_proxy(limited(vendor, limits={"rpm": 1})) as proxy:
            replies = [await ask_as("alice", proxy) for _ in range(3)]
            assert [reply.status for reply in replies] == [200, 200, 200]
            assert cache_words(replies) == ["hit", "hit", "miss"]
            assert (await ask_as("alice", proxy, OTHER)).status == 429


@bounded()
async def test_hits_take_neither_requests_nor_tokens():
    async with scripted(numbered_answers()) as vendor:
        async with serve_proxy(limited(vendor, limits={"rpm": 5, "tpm": 1_000})) as proxy:
            await ask_as("alice", proxy)
            hits = [await ask_as("alice", proxy) for _ in range(3)]
            assert [remaining(hit) for hit in hits] == [4, 4, 4]
            assert [remaining(hit, "tokens") for hit in hits] == [995] * 3  # the miss used 5
            miss = await ask_as("alice", proxy, OTHER)
            assert remaining(miss) == 3


@bounded()
async def test_callers_without_limits_get_no_limit_headers_on_a_hit():
    async with scripted(numbered_answers()) as vendor:
        async with serve_proxy(limited(vendor, limits={})) as proxy:
            await ask_as("alice", proxy)
            assert (await ask_as("alice", proxy)).header("x-ratelimit-limit-requests") is None


@pytest.mark.parametrize("limits", [{"rpm": 1}, {"concurrent": 1}], ids=["rpm", "concurrent"])
@bounded()
async def test_followers_are_free_and_only_the_leader_counts(limits):
    async with scripted(slow(http(chat("good")))) as vendor:
        async with serve_proxy(limited(vendor, limits=limits)) as proxy:
            replies = await asyncio.gather(*(ask_as("alice", proxy) for _ in range(5)))
            assert {reply.status for reply in replies} == {200}
            assert cache_words(replies) == ["coalesced"] * 4 + ["miss"]
            assert len(vendor.received) == 1


@bounded()
async def test_followers_see_what_the_leader_has_left():
    async with scripted(slow(http(chat("good")))) as vendor:
        async with serve_proxy(limited(vendor, limits={"rpm": 5})) as proxy:
            replies = await asyncio.gather(*(ask_as("alice", proxy) for _ in range(3)))
            assert {remaining(reply) for reply in replies} == {4}


@bounded()
async def test_a_follower_counts_once_it_has_to_ask_by_itself():
    def answer(received, number):
        failed = http(error_body("server_error", kind="server_error"), status=500)
        return [0.15, failed if number == 1 else http(chat("good"))]

    async with scripted(answer) as vendor:
        config = limited(vendor, limits={"rpm": 2}, general={"num_retries": 0})
        async with serve_proxy(config) as proxy:
            leader = asyncio.create_task(ask_as("alice", proxy))
            await until(lambda: vendor.received)
            follower = await ask_as("alice", proxy)
            assert (await leader).status == 500
            assert (follower.status, follower.header("x-llmproxy-cache")) == (200, "miss")
            assert remaining(follower) == 0
            assert (await ask_as("alice", proxy, OTHER)).status == 429


@bounded()
async def test_a_leader_that_is_refused_leaves_its_place_to_a_caller_with_room():
    async with scripted(slow(http(chat("good")))) as vendor:
        async with serve_proxy(limited(vendor, scope="shared", limits={"rpm": 1})) as proxy:
            await ask_as("alice", proxy, OTHER)
            refused, served = await asyncio.gather(ask_as("alice", proxy), ask_as("bob", proxy))
            assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
            assert (served.status, served.header("x-llmproxy-cache")) == (200, "miss")
            assert (await ask_as("alice", proxy)).header("x-llmproxy-cache") == "hit"


@bounded()
async def test_a_leader_that_leaves_is_counted_and_holds_its_place_until_the_answer_is_complete():
    answer = OnRequest(http(chat("good")))
    async with scripted(answer) as vendor:
        async with serve_proxy(limited(vendor, limits={"concurrent": 1, "rpm": 2})) as proxy:
            leader = await begin(proxy.port, FIXED, headers=as_caller("alice"))
            await until(lambda: vendor.received)
            follower = asyncio.create_task(ask_as("alice", proxy))
            await until(lambda: clients_of_shared_calls(proxy) == 2)
            leader.leave()
            await until(lambda: clients_of_shared_calls(proxy) == 1)
            assert (await ask_as("alice", proxy, OTHER)).status == 429
            answer.go_on.set()
            assert (await follower).status == 200
            assert remaining(await ask_as("alice", proxy, OTHER)) == 0


@bounded()
async def test_a_leader_that_leaves_alone_gives_its_place_back():
    def answer(received, number):
        return ["hang"] if number == 1 else [http(chat("good"))]

    async with scripted(answer) as vendor:
        async with serve_proxy(limited(vendor, limits={"concurrent": 1})) as proxy:
            leader = await begin(proxy.port, FIXED, headers=as_caller("alice"))
            await until(lambda: vendor.received)
            leader.leave()
            await until(lambda: proxy.events.calls)
            assert (await ask_as("alice", proxy, OTHER)).status == 200


@bounded()
async def test_stale_answers_are_free_and_their_renewal_counts_if_the_caller_has_room():
    async with scripted(numbered_answers()) as vendor:
        config = limited(vendor, limits={"rpm": 2}, ttl=0.05, stale_while_revalidate_s=60)
        async with serve_proxy(config) as proxy:
            replies = []
            for _ in range(4):
                replies.append(await ask_as("alice", proxy))
                await idle(proxy)
                await asyncio.sleep(0.06)
            assert [reply.status for reply in replies] == [200] * 4
            assert cache_words(replies) == ["miss", "stale", "stale", "stale"]
            assert [text_of(reply) for reply in replies[2:]] == ["answer 2"] * 2
            assert len(vendor.received) == 2  # the third renewal had no room
            assert (await ask_as("alice", proxy, OTHER)).status == 429


@bounded()
async def test_without_cache_every_call_counts():
    async with scripted(numbered_answers()) as vendor:
        config = limited(vendor, limits={"rpm": 1}, general={"cache": False})
        async with serve_proxy(config) as proxy:
            statuses = [(await ask_as("alice", proxy)).status for _ in range(2)]
            assert statuses == [200, 429]


@bounded()
async def test_calls_that_may_not_be_cached_count_although_there_is_a_cache():
    async with scripted(numbered_answers()) as vendor:
        async with serve_proxy(limited(vendor, limits={"rpm": 1})) as proxy:
            statuses = [(await ask_as("alice", proxy, HELLO)).status for _ in range(2)]
            assert statuses == [200, 429]

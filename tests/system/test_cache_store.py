"""Answers that outlive the process, or are shared by instances: a real Valkey, a real file."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from itertools import count
from time import monotonic

import pytest

from tests.support.cached import FIXED, numbered_answers, text_of, with_cache
from tests.support.client import ask, begin, question
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.under_way import idle
from tests.support.valkey import valkey
from tests.support.vendor import chat, error_body, http, scripted
from tests.support.waiting import until


def shared(vendor, server, **params):
    config = with_cache(vendor, type="redis", **params)
    config["general_settings"] |= {"redis_url": server.url, "num_retries": 0}
    return config


def on_disk(vendor, folder, **params):
    return with_cache(vendor, type="disk", path=str(folder / "answers.sqlite3"), **params)


async def written(proxy):
    """Wait until all answers are written."""
    await until(lambda: proxy.runtime.cache.l2.queued_bytes == 0)
    await asyncio.sleep(0.05)


@bounded()
async def test_instances_share_their_answers(tmp_path):
    async with valkey(tmp_path) as server, scripted(numbered_answers()) as vendor:
        config = shared(vendor, server)
        async with serve_proxy(config) as one, serve_proxy(config) as other:
            first = await ask(one.port, body=FIXED)
            await written(one)
            again = await ask(other.port, body=FIXED)
            assert again.body == first.body
            assert again.header("x-llmproxy-cache") == "hit"
            streamed = await ask(other.port, body={**FIXED, "stream": True})
            assert streamed.header("x-llmproxy-cache") == "hit"
            assert b"answer 1" in streamed.body
            assert len(vendor.received) == 1
            await server.kill()  # answers that were read once are in memory
            assert text_of(await ask(other.port, body=FIXED)) == "answer 1"


@bounded()
async def test_another_namespace_is_another_cache(tmp_path):
    async with valkey(tmp_path) as server, scripted(numbered_answers()) as vendor:
        one_s, other_s = (shared(vendor, server, namespace=name) for name in ("one", "other"))
        async with serve_proxy(one_s) as one, serve_proxy(other_s) as other:
            await ask(one.port, body=FIXED)
            await written(one)
            assert text_of(await ask(other.port, body=FIXED)) == "answer 2"


@bounded()
async def test_a_file_outlives_the_process(tmp_path):
    async with scripted(numbered_answers()) as vendor:
        async with serve_proxy(on_disk(vendor, tmp_path)) as proxy:
            await ask(proxy.port, body=FIXED)
        async with serve_proxy(on_disk(vendor, tmp_path)) as proxy:
            reply = await ask(proxy.port, body=FIXED)
            assert (text_of(reply), reply.header("x-llmproxy-cache")) == ("answer 1", "hit")
            assert len(vendor.received) == 1


@pytest.mark.parametrize("kind", ["redis", "disk"])
@bounded()
async def test_a_purge_reaches_the_store(kind, tmp_path):
    async with valkey(tmp_path) as server, scripted(numbered_answers()) as vendor:
        config = shared(vendor, server) if kind == "redis" else on_disk(vendor, tmp_path)
        async with serve_proxy(config) as proxy:
            for number in range(3):
                await ask(proxy.port, body=question(f"question {number}", temperature=0))
            await written(proxy)
            stats = await ask(proxy.port, "/admin/cache", method="GET", host="localhost")
            assert stats.json["second_level"]["kept"]["entries"] == 3
            assert stats.json["second_level"]["connected"]
            purged = await ask(proxy.port, "/admin/cache", method="DELETE", host="localhost")
            assert purged.json == {"memory": 3, "second_level": 3}
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=question("question 1", temperature=0))
            assert reply.header("x-llmproxy-cache") == "miss"


@bounded()
async def test_a_purge_reaches_the_memory_of_other_instances(tmp_path):
    async with valkey(tmp_path) as server, scripted(numbered_answers()) as vendor:
        config = with_cache(vendor)  # without a store
        config["general_settings"]["redis_url"] = server.url
        async with serve_proxy(config) as one, serve_proxy(config) as other:
            await ask(other.port, body=FIXED)
            assert len(other.runtime.cache.memory) == 1
            await ask(one.port, "/admin/cache", method="DELETE", host="localhost")
            await until(lambda: not other.runtime.cache.memory)
            assert text_of(await ask(other.port, body=FIXED)) == "answer 2"


@pytest.mark.clock  # a server that does not answer within 0.1 s is bypassed
@bounded()
async def test_equal_calls_to_several_instances_are_sent_once(tmp_path):
    def answer(received, number):
        return [0.5, http(chat(f"answer {number}"))]

    async with valkey(tmp_path) as server, scripted(answer) as vendor:
        config = shared(vendor, server, across_instances=True)
        async with serve_proxy(config) as one, serve_proxy(config) as other:
            ports = [one.port, other.port] * 10
            replies = await asyncio.gather(*(ask(port, body=FIXED) for port in ports))
            assert {text_of(reply) for reply in replies} == {"answer 1"}
            words = Counter(reply.header("x-llmproxy-cache") for reply in replies)
            assert words == {"miss": 1, "coalesced": 19}
            assert len(vendor.received) == 1


@bounded()
async def test_a_call_that_takes_longer_than_its_lock_keeps_it(tmp_path):
    async with valkey(tmp_path) as server:
        async with scripted(lambda received, number: [3.0, http(chat(f"{number}"))]) as vendor:
            config = shared(vendor, server, across_instances=True)
            async with serve_proxy(config) as one, serve_proxy(config) as other:
                first = asyncio.create_task(ask(one.port, body=FIXED))
                await until(lambda: vendor.received)
                assert text_of(await ask(other.port, body=FIXED)) == "1"
                assert text_of(await first) == "1"
                assert len(vendor.received) == 1


@pytest.mark.clock
@bounded()
async def test_an_instance_that_left_or_failed_is_not_waited_for(tmp_path):
    def answer(received, number):
        failed = http(error_body("server_error", kind="server_error"), status=500)
        return {1: ["hang"], 2: [0.3, failed]}.get(number, [http(chat(f"answer {number}"))])

    async with valkey(tmp_path) as server, scripted(answer) as vendor:
        config = shared(vendor, server, across_instances=True)
        async with serve_proxy(config) as one, serve_proxy(config) as other:
            async with server.client() as client:
                gone = await begin(one.port, FIXED)
                await until(lambda: vendor.received)
                (lease,) = [key async for key in client.scan_iter("*:asking:*")]
                gone.leave()  # it releases the lock
                await idle(one)
                failing = asyncio.create_task(ask(one.port, body=FIXED))
                await until(lambda: len(vendor.received) == 2)
                reply = await ask(other.port, body=FIXED)
                assert (await failing).status == 500
                assert text_of(reply) == "answer 3"
                await written(other)
                await client.delete(lease)
                await ask(one.port, "/admin/cache", method="DELETE", host="localhost")
                await client.set(lease, "an instance that has died", px=2000)
                began_at = monotonic()
                assert text_of(await ask(one.port, body=FIXED)) == "answer 4"
                assert 1.5 < monotonic() - began_at < 2.5


@bounded()
async def test_without_the_server_each_instance_asks_by_itself(tmp_path):
    async with valkey(tmp_path) as server, scripted(numbered_answers()) as vendor:
        async with serve_proxy(shared(vendor, server, across_instances=True)) as proxy:
            await server.kill()
            assert text_of(await ask(proxy.port, body=FIXED)) == "answer 1"


def chunks_of(value):
    return value[: len(value) // 2]


def turned(value):
    return value[:-1] + bytes([value[-1] ^ 1])


SPOILED = {
    "chunks_of off": lambda values: [chunks_of(value) for value in values],
    "one bit": lambda values: [turned(value) for value in values],
    "empty": lambda values: [b"" for _ in values],
    "of another program": lambda values: [b'{"answer": 42}' for _ in values],
    "of another question": lambda values: values[::-1],
}


@pytest.mark.parametrize("how", SPOILED)
@bounded()
async def test_a_damaged_entry_is_a_miss_and_is_counted(how, tmp_path):
    async with valkey(tmp_path) as server, scripted(numbered_answers()) as vendor:
        config = shared(vendor, server)
        async with serve_proxy(config) as proxy:
            for number in range(2):
                await ask(proxy.port, body=question(f"question {number}", temperature=0))
            await written(proxy)
        async with server.client() as client:
            keys = [key async for key in client.scan_iter("*:answer:*")]
            assert len(keys) == 2
            values = await client.mget(keys)
            for key, value in zip(keys, SPOILED[how](values), strict=True):
                await client.set(key, value)
        async with serve_proxy(config) as proxy:
            await until(lambda: proxy.runtime.cache.l2.connected)
            for number in range(2):
                reply = await ask(proxy.port, body=question(f"question {number}", temperature=0))
                assert reply.header("x-llmproxy-cache") == "miss"
                assert text_of(reply) == f"answer {number + 3}"
            stats = await ask(proxy.port, "/admin/cache", method="GET", host="localhost")
            assert stats.json["second_level"]["damaged"] == 2


@bounded()
async def test_a_stale_answer_of_another_instance_is_served_too(tmp_path):
    def answer(received, number):
        failed = http(error_body("server_error", kind="server_error"), status=500)
        return [http(chat("answer 1")) if number == 1 else failed]

    async with valkey(tmp_path) as server, scripted(answer) as vendor:
        config = shared(vendor, server, ttl=0.1, stale_if_error_s=60)
        async with serve_proxy(config) as proxy:
            await ask(proxy.port, body=FIXED)
            await written(proxy)
        await asyncio.sleep(0.1)
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=FIXED)
            assert (reply.status, reply.header("x-llmproxy-cache")) == (200, "stale")


TROUBLE = ["gone", "hung", "out of memory", "read-only", "restarted empty"]


@pytest.mark.clock
@pytest.mark.parametrize("trouble", TROUBLE)
@bounded()
async def test_a_failing_server_fails_no_call(trouble, tmp_path):
    questions = count()
    statuses, slow = Counter(), []

    def echo(received, number):
        return [http(chat(json.loads(received.body)["messages"][0]["content"]))]

    async def client(until_s):
        while monotonic() < until_s:
            text = f"question {next(questions) // 3}"
            began_at = monotonic()
            reply = await ask(proxy.port, body=question(text, temperature=0))
            statuses[reply.status] += 1
            slow.append(monotonic() - began_at)
            assert text_of(reply) == text

    async with valkey(tmp_path) as server, scripted(echo) as vendor:
        try:
            async with serve_proxy(shared(vendor, server)) as proxy:
                ends_at = monotonic() + 1.8
                load = asyncio.gather(*(client(ends_at) for _ in range(8)))
                await asyncio.sleep(0.5)
                if trouble == "restarted empty":
                    await server.restart_empty()
                else:
                    await server.break_it(trouble)
                await load
                assert set(statuses) == {200}
                assert statuses[200] > 200
                assert max(slow) < 1.5
        finally:
            with suppress(ProcessLookupError):
                server.go_on()

"""The counts of several workers add up to what the vendors received, at whichever worker."""

import asyncio
import json
import os
import random
import signal
from collections import Counter
from contextlib import asynccontextmanager

from llmproxy.tools.simulator import Fault, VendorSettings, serve
from tests.admin.watching import endpoints_of, get_json, next_named, post, scrape, subscribe
from tests.support.client import CHAT, connect, request
from tests.support.examples import THOROUGH
from tests.support.family import living
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted
from tests.system.workers import replaced, serving, shared_by, workers_of

GROUP = "gpt-4.1"
CALLS, CLIENTS = 10_000 if THOROUGH else 2_000, 40
MOST_TOKENS = 16  # of a call, estimated


class Client:
    """Calls over one connection, and their results. One in ten is a stream."""

    def __init__(self, port, seed):
        self.statuses, self.tokens = Counter(), Counter()
        self._port, self._chance = port, random.Random(seed)

    async def call(self, count):
        connection = await connect(self._port)
        for _ in range(count):
            stream = self._chance.random() < 0.1
            body = {**CHAT, "stream": stream, "max_tokens": 8}
            if stream:
                body["stream_options"] = {"include_usage": True}
            await connection.send(request(body=body))
            reply = await connection.reply()
            self.statuses[reply.status] += 1
            usage = usage_in(reply.body) if stream else reply.json.get("usage")
            if usage:
                self.tokens["input"] += usage["prompt_tokens"]
                self.tokens["output"] += usage["completion_tokens"]
            elif reply.status == 200:
                self.tokens["broken streams"] += 1
        connection.leave()


async def agreed(read, wanted, times=8):
    """Read until so many answers in a row are as wanted, and return them.

    Each comes from whichever worker takes the connection. Workers publish twice a second.
    """
    found = []
    while len(found) < times:
        answer = await read()
        if wanted(answer):
            found.append(answer)
        else:
            found.clear()
            await asyncio.sleep(0.05)
    return found


def calls_in(sample):
    return sum(value for key, value in sample.items() if key[0] == "llmproxy_calls_total")


def usage_in(stream):
    """Return the usage in the last event of a complete stream."""
    events = [line.removeprefix(b"data: ") for line in stream.splitlines() if b'"usage"' in line]
    usages = [json.loads(event).get("usage") for event in events]
    return next((usage for usage in reversed(usages) if usage), None)


async def _called(port):
    clients = [Client(port, seed) for seed in range(CLIENTS)]
    await asyncio.gather(*(client.call(CALLS // CLIENTS) for client in clients))
    statuses = sum((client.statuses for client in clients), Counter())
    return statuses, sum((client.tokens for client in clients), Counter())


def entry(vendor):
    params = {"base_url": vendor.base_url, "api_key": "sk-upstream"}
    return {"name": vendor.settings.name, "model": GROUP, "params": params}


@asynccontextmanager
async def four_workers(folder, *vendors, **settings):
    # With breakers one vendor would get no calls, and there would be little to count.
    settings = {"allowed_fails": 1_000_000, "cooldown_time": 0.01, **settings}
    entries = [entry(vendor) for vendor in vendors]
    async with serving(folder, None, count=4, settings=settings, entries=entries) as proxy:
        await shared_by(proxy, 4)
        yield proxy


@bounded(300)
async def test_calls_at_four_workers_are_all_counted(tmp_path):
    first = VendorSettings(name="first")
    second = VendorSettings(name="second", seed=1)
    async with serve(first) as first, serve(second) as second:
        second.faults += [
            Fault("status:500", probability=0.05),
            Fault("malformed-status", probability=0.02),
            Fault("reset-mid:2", probability=0.02, stream=True),
        ]
        async with four_workers(tmp_path, first, second) as proxy:
            statuses, tokens = await _called(proxy.port)
            counts = await agreed(lambda: scrape(proxy), lambda sample: calls_in(sample) == CALLS)
            (state,) = await agreed(
                lambda: get_json(proxy, "/admin/state"),
                lambda state: state["totals"]["calls"] == CALLS,
                times=1,
            )

    assert sum(statuses.values()) == CALLS
    for number in counts[1:]:  # the same at every worker
        assert _counters(number) == _counters(counts[0])
    count = counts[0]
    for vendor in (first, second):
        here = (GROUP, vendor.settings.name)
        answered = vendor.counts.total(200)
        assert count["llmproxy_attempts_total", *here, "answered"] == answered
    failed = second.counts.total() - second.counts.total(200)
    here = (GROUP, "second")
    assert failed > CALLS / 100
    assert count["llmproxy_attempts_total", *here, "failed"] == failed
    assert (
        sum(value for key, value in count.items() if key[:3] == (FAILURES, *here))
        == failed
        == sum(value for key, value in count.items() if key[:3] in (AGAIN, ELSEWHERE))
        + _gave_up(statuses)
    )
    calls = Counter()
    for (name, *labels), value in count.items():
        if name == "llmproxy_calls_total" and labels[0] == GROUP:
            calls[labels[2]] += value
    assert calls["2xx"] == statuses[200]
    assert calls["5xx"] == _gave_up(statuses)
    assert sum(calls.values()) == CALLS == state["totals"]["calls"]
    assert count["llmproxy_call_duration_seconds_count", GROUP] == CALLS
    assert sum(value for key, value in count.items() if key[0] == SPEND) == CALLS
    for kind in ("input", "output"):
        counted = [value for key, value in count.items() if key[0] == TOKENS and key[3] == kind]
        assert tokens[kind] > 0
        # what a stream that broke off has used is estimated
        assert 0 <= sum(counted) - tokens[kind] <= MOST_TOKENS * tokens["broken streams"]


FAILURES, TOKENS = "llmproxy_attempt_failures_total", "llmproxy_tokens_total"
SPEND = "llmproxy_spend_calls_total"
AGAIN = ("llmproxy_retries_total", GROUP, "second")
ELSEWHERE = ("llmproxy_failovers_total", GROUP, "second")


def _gave_up(statuses):
    return sum(number for status, number in statuses.items() if status != 200)


def _counters(sample):
    return {key: value for key, value in sample.items() if key[0].endswith(("_total", "_count"))}


@bounded()
async def test_counts_that_a_dead_worker_had_published_are_kept(tmp_path):
    async with scripted(always(http(chat()))) as vendor:
        async with serving(tmp_path, vendor) as proxy:
            await shared_by(proxy, 2)
            for _ in range(40):
                await _one_call(proxy.port)
            await agreed(lambda: scrape(proxy), lambda sample: calls_in(sample) == 40)
            victim = workers_of(proxy)[0]
            os.kill(victim, signal.SIGKILL)
            while living([victim]):
                await asyncio.sleep(0.01)
            await replaced(proxy)
            for _ in range(10):
                await _one_call(proxy.port)
            after = await agreed(lambda: scrape(proxy), lambda sample: calls_in(sample) == 50)
            assert all(sample["llmproxy_workers",] == 2 for sample in after)


async def _one_call(port):
    connection = await connect(port)
    await connection.send(request(body=CHAT))
    assert (await connection.reply()).status == 200
    connection.leave()


@bounded()
async def test_an_operators_action_at_one_worker_applies_to_all_and_to_later_ones(tmp_path):
    answer = always(http(chat()))
    async with scripted(answer) as vendor, scripted(answer) as other:
        entries = [
            {"name": name, "model": GROUP, "params": {"base_url": url, "api_key": "sk-upstream"}}
            for name, url in (("one", vendor.base_url), ("two", other.base_url))
        ]
        async with serving(tmp_path, None, entries=entries) as proxy:

            async def state_becomes(wanted):
                await agreed(
                    lambda: endpoints_of(proxy), lambda found: found["one"]["state"] == wanted
                )

            await shared_by(proxy, 2)
            assert (await post(proxy, "/admin/drain", {"endpoint": "one"})).status == 200
            await state_becomes("drained")
            for _ in range(20):
                await _one_call(proxy.port)
            assert (len(vendor.received), len(other.received)) == (0, 20)
            victim = workers_of(proxy)[0]
            os.kill(victim, signal.SIGKILL)
            await replaced(proxy)
            for _ in range(20):
                await _one_call(proxy.port)
            assert len(vendor.received) == 0
            assert (await post(proxy, "/admin/enable", {"endpoint": "one"})).status == 200
            await state_becomes("ok")
            for _ in range(20):
                await _one_call(proxy.port)
            assert len(vendor.received) > 0


@bounded()
async def test_every_worker_lists_the_calls_of_all_and_finds_each_by_its_id(tmp_path):
    async with scripted(always(http(chat()))) as vendor:
        async with serving(tmp_path, vendor) as proxy:
            ids = set()
            for _ in range(20):
                connection = await connect(proxy.port)
                await connection.send(request(body=CHAT))
                ids.add((await connection.reply()).header("x-request-id"))
                connection.leave()
            await agreed(
                lambda: get_json(proxy, "/admin/calls"),
                lambda found: {call["id"] for call in found["calls"]} == ids,
            )
            for id in ids:
                assert (await get_json(proxy, f"/admin/calls/{id}"))["id"] == id


@bounded()
async def test_what_is_left_of_a_limit_counts_the_calls_of_all_workers(tmp_path):
    async with scripted(always(http(chat()))) as vendor:
        async with serving(tmp_path, vendor, rpm=600) as proxy:
            await shared_by(proxy, 2)
            for _ in range(60):
                await _one_call(proxy.port)
            level = {"limit": 600.0, "left": 540.0, "configured": 600}
            await agreed(
                lambda: endpoints_of(proxy),
                lambda found: next(iter(found.values()))["capacity"]["requests"] == level,
            )


@bounded()
async def test_a_follower_of_one_worker_gets_every_call_of_any_worker_once(tmp_path):
    async with scripted(always(http(chat()))) as vendor:
        async with serving(tmp_path, vendor) as proxy:
            await shared_by(proxy, 2)
            follower = await subscribe(proxy)
            sent_ids, listed = [], []
            for _ in range(3):
                for _ in range(8):
                    connection = await connect(proxy.port)
                    await connection.send(request(body=CHAT))
                    sent_ids.append((await connection.reply()).header("x-request-id"))
                    connection.leave()
                await asyncio.sleep(0.7)
            while len(listed) < len(sent_ids):
                listed += [call["id"] for call in (await next_named(follower, "calls"))["calls"]]
            follower.leave()
    assert sorted(listed) == sorted(sent_ids)

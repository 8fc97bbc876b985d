"""One budget, several instances, a real server between them, 200 calls at a time.

`pytest -s` prints the figures.
"""

import asyncio
import random
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic

import pytest

from tests.support import client
from tests.support.budgets import answer_with, budgeted
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.valkey import valkey
from tests.support.vendor import http, scripted

AT_A_TIME = 200
CHAT = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 60}
BUDGET = 100_000  # tokens
CALL = 100  # tokens, at most


class Bill:
    """A vendor that counts what it has served."""

    def __init__(self):
        self.tokens = 0
        self.draw = random.Random(16)

    def answer(self, received, number):
        tokens = self.draw.randint(40, 60)
        self.tokens += 40 + tokens
        return [0.01, http(answer_with(40, tokens))]


async def spend_all(proxies, refused_in_a_row=3):
    """Call with 200 clients until each was refused so often; return the numbers of answers."""
    answered = [0] * len(proxies)

    async def one(number):
        refused = 0
        place = number % len(proxies)
        while refused < refused_in_a_row:
            reply = await client.ask(proxies[place].port, "/v1/chat/completions", CHAT)
            if reply.status == 200:
                refused = 0
                answered[place] += 1
            else:
                assert reply.error["code"] == "budget_exceeded", reply.body
                refused += 1

    await asyncio.gather(*(one(number) for number in range(AT_A_TIME)))
    return answered


@asynccontextmanager
async def sharing(folder, instances):
    """So many instances with one budget, their server, and the bill of their vendor."""
    bill = Bill()
    async with valkey(folder) as server, scripted(bill.answer) as vendor, AsyncExitStack() as on:
        config = budgeted(vendor, {"tokens": BUDGET, "per": "total"}, redis_url=server.url)
        proxies = [await on.enter_async_context(serve_proxy(config)) for _ in range(instances)]
        yield bill, server, proxies


def say(text):
    sys.stdout.write(f"\n{text}\n")


@pytest.mark.parametrize("instances", [2, 4])
@bounded()
async def test_all_instances_together_spend_the_budget_and_no_more(instances, tmp_path):
    async with sharing(tmp_path, instances) as (bill, _, proxies):
        began = monotonic()
        answered = await spend_all(proxies)
        share = bill.tokens / BUDGET
        say(
            f"{instances} instances, {AT_A_TIME} calls at a time: {100 * share:.2f} % of the "
            f"budget used, {answered} answers, {monotonic() - began:.1f} s"
        )
        assert bill.tokens <= max(1.01 * BUDGET, BUDGET + CALL)
        assert share > 0.97


@bounded()
async def test_an_instance_without_calls_gives_its_part_to_the_other(tmp_path):
    async with sharing(tmp_path, 2) as (bill, _, proxies):
        await client.ask(proxies[1].port, "/v1/chat/completions", CHAT)
        await spend_all(proxies[:1])
        say(f"one busy, one idle: {100 * bill.tokens / BUDGET:.2f} % used")
        assert 0.97 * BUDGET < bill.tokens <= 1.01 * BUDGET


@bounded()
async def test_without_the_server_each_instance_keeps_to_its_part(tmp_path):
    async with sharing(tmp_path, 2) as (bill, server, proxies):
        for proxy in proxies:
            for _ in range(20):
                await client.ask(proxy.port, "/v1/chat/completions", CHAT)
        await asyncio.sleep(1.2)  # until each has its part again
        await server.kill()
        answered = await spend_all(proxies)
        say(f"server away: {100 * bill.tokens / BUDGET:.2f} % used, {answered} answers")
        assert bill.tokens <= max(1.01 * BUDGET, BUDGET + 2 * CALL)
        assert bill.tokens > 0.9 * BUDGET
        for count in answered:
            assert count * 90 <= 0.51 * BUDGET


@bounded()
async def test_a_restart_of_all_instances_goes_on_where_they_were(tmp_path):
    bill = Bill()
    async with valkey(tmp_path) as server, scripted(bill.answer) as vendor:
        config = budgeted(vendor, {"tokens": 5_000, "per": "month"}, redis_url=server.url)
        for _ in range(2):
            async with serve_proxy(config) as proxy:
                await spend_all([proxy], 1)
        assert bill.tokens <= 5_000 + CALL

"""Conversations stay at the endpoint that has their prompt cached: 60 of them, 10 turns each.

The vendors cache prompts with OpenAI's lengths and times, and each test prints what it measured
(`pytest -s`).
"""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest

from llmproxy.tools.simulator import VendorSettings, serve
from tests.reload.reloading import reload
from tests.support.client import ask, connect, request
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.under_way import sharing
from tests.support.valkey import valkey

RULES = "Follow each of these rules to the letter, and say which one you followed. " * 80
CONVERSATIONS, TURNS, AT_ONCE = 60, 10, 11


class Figures:
    """What came of many calls."""

    def __init__(self):
        self.calls = Counter()
        self.places = {}
        self.stayed = self.followed = self.cached = self.tokens = 0

    def note(self, name, reply):
        assert reply.status == 200, reply.body
        endpoint, usage = reply.header("x-llmproxy-endpoint"), reply.json["usage"]
        if name in self.places:
            self.followed += 1
            self.stayed += self.places[name] == endpoint
        self.places[name] = endpoint
        self.calls[endpoint] += 1
        self.tokens += usage["prompt_tokens"]
        self.cached += usage["prompt_tokens_details"]["cached_tokens"]

    @property
    def stayed_share(self):
        return self.stayed / self.followed

    @property
    def cached_share(self):
        return self.cached / self.tokens

    def __str__(self):
        return (
            f"{self.stayed_share:.1%} of the follow-ups at the endpoint of the turn before, "
            f"{self.cached_share:.1%} of the input tokens cached; calls by endpoint "
            f"{dict(sorted(self.calls.items()))}"
        )


class Talk:
    """One conversation with whichever of the proxies a load balancer picks."""

    def __init__(self, name, figures):
        self.name = name
        self.figures = figures
        self.messages = [{"role": "system", "content": f"This is {name}. {RULES}"}]

    async def turn(self, proxy):
        self.messages.append({"role": "user", "content": f"Point {len(self.messages)}?"})
        connection = await connect(proxy.port)
        await connection.send(request(body={"model": "gpt-4.1", "messages": self.messages}))
        reply = await connection.reply()
        connection.leave()
        self.figures.note(self.name, reply)
        self.messages.append(reply.json["choices"][0]["message"])


async def talk(*proxies, conversations=CONVERSATIONS, turns=TURNS, talks=None, about="matter"):
    """Let conversations begin and go on in any order, some at once; return the figures."""
    random, figures = Random(3), Figures()
    places = asyncio.Semaphore(AT_ONCE)
    talks = talks or [Talk(f"{about} {number}", figures) for number in range(conversations)]

    async def whole(one):
        async with places:
            for _ in range(turns):
                await asyncio.sleep(random.random() / 200)
                await one.turn(random.choice(proxies))

    for one in talks:
        one.figures = figures
    await asyncio.gather(*map(whole, talks))
    return figures, talks


@asynccontextmanager
async def vendors(*names):
    """Vendors with prompt caches of their own, and the entries of their endpoints."""
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(serve(VendorSettings(name=name, prompt_cache=True)))
            for name in names
        ]
        yield [
            {"name": vendor.settings.name, "params": {"base_url": vendor.base_url, "api_key": "k"}}
            for vendor in running
        ]


def tell(what, figures):
    print(f"\n{what}: {figures}")  # noqa: T201 - shown on request


@bounded(300)
async def test_follow_ups_stay_weights_hold_and_most_tokens_are_cached():
    async with vendors("a", "b", "c", "d") as endpoints:
        async with serve_proxy(config_for(*endpoints)) as proxy:
            with_affinity, _ = await talk(proxy)
    async with vendors("a", "b", "c", "d") as endpoints:
        async with serve_proxy(config_for(*endpoints, affinity="off")) as proxy:
            without, _ = await talk(proxy)
    tell("with affinity", with_affinity)
    tell("without", without)
    assert with_affinity.stayed_share >= 0.95
    share = CONVERSATIONS * TURNS / 4
    assert all(abs(calls - share) <= TURNS for calls in with_affinity.calls.values())
    assert without.stayed_share < 0.5
    assert with_affinity.cached_share > without.cached_share + 0.2


@pytest.mark.clock
@bounded(300)
async def test_two_instances_agree_where_a_conversation_belongs(tmp_path):
    async with valkey(tmp_path) as server, vendors("a", "b", "c", "d") as endpoints:
        config = config_for(*endpoints, redis_url=server.url)
        async with serve_proxy(config) as one, serve_proxy(config) as other:
            await sharing(one, other)
            figures, _ = await talk(one, other)
    tell("two instances", figures)
    assert figures.stayed_share >= 0.85
    assert figures.cached_share > 0.6


@bounded(300)
async def test_an_endpoint_more_moves_no_conversation_that_is_cached(tmp_path):
    path = tmp_path / "llmproxy.yaml"
    async with vendors("a", "b", "c", "d", "e") as endpoints:
        async with serve_proxy(config_for(*endpoints[:4]), path=path) as proxy:
            _, talks = await talk(proxy, turns=3)
            before = {one.name: one.figures.places[one.name] for one in talks}
            await reload(proxy, config_for(*endpoints))
            again, _ = await talk(proxy, turns=3, talks=talks)
            fresh, _ = await talk(proxy, about="thing")
    tell("an endpoint more, new conversations", fresh)
    share = CONVERSATIONS * TURNS / 5
    missed = sum(again.calls.values()) / 5  # while the cached ones stayed where they were
    assert before == again.places
    assert share - 3 * TURNS <= fresh.calls["e"] <= share + missed + 3 * TURNS


@bounded(300)
async def test_of_an_endpoint_that_dies_the_conversations_move_and_no_call_fails():
    async with vendors("b", "c", "d") as others, AsyncExitStack() as first:
        (mortal,) = await first.enter_async_context(vendors("a"))
        async with serve_proxy(config_for(mortal, *others, cooldown_time=60)) as proxy:
            _, talks = await talk(proxy, turns=3)
            at_home = {one.name: one.figures.places[one.name] for one in talks}
            await first.aclose()
            figures, _ = await talk(proxy, turns=3, talks=talks)
    moved = [name for name, place in at_home.items() if figures.places[name] != place]
    tell("one endpoint died", figures)
    assert all(at_home[name] == "a" for name in moved)
    assert sum(place == "a" for place in at_home.values()) == len(moved)
    assert figures.stayed_share > 0.95


@bounded()
async def test_explain_says_why_an_endpoint_was_preferred():
    async with vendors("a", "b") as endpoints, serve_proxy(config_for(*endpoints)) as proxy:
        messages = [{"role": "system", "content": RULES}, {"role": "user", "content": "Hello"}]
        said = []
        for _ in range(2):
            body = {"model": "gpt-4.1", "messages": messages}
            reply = await ask(proxy.port, body=body, headers=[("x-llmproxy-explain", "true")])
            said.append(reply.header("x-llmproxy-explain"))
        assert "(preferred: by the conversation's hash)" in said[0]
        assert "(preferred: served the conversation last)" in said[1]

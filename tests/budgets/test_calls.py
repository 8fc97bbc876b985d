"""Calls of a whole proxy, over sockets, under budgets."""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from llmproxy.composition import config_file
from llmproxy.errors import ConfigError
from tests.admin.watching import get_json
from tests.support import client
from tests.support.budgets import answer_with, budgeted
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.store import database_url
from tests.support.vendor import http, scripted

# 1,000 tokens in and 1,000 out are $0.011.
ANSWER = answer_with(1000, 1000)
USAGE = ANSWER["usage"]
KEY = "sk-alice-0123456789"
CHAT = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}


def answers(received, number):
    return [http(ANSWER)]


def ask(proxy, body=CHAT, key=KEY, path="/v1/chat/completions", headers=()):
    given = [("authorization", f"Bearer {key}"), *headers]
    return client.ask(proxy.port, path, body, headers=given)


@bounded()
async def test_a_hard_budget_ends_with_a_429_that_says_what_and_how_much_and_when():
    async with (
        scripted(answers) as vendor,
        serve_proxy(budgeted(vendor, {"usd": 0.03, "per": "month"})) as proxy,
    ):
        statuses = [(await ask(proxy)).status for _ in range(2)]
        refused = await ask(proxy)
        assert (statuses, refused.status) == ([200, 200], 429)
        assert refused.error["code"] == "budget_exceeded"
        message = refused.error["message"]
        assert "all calls" in message and "$0.022 of $0.03 a month" in message
        assert "resets at" in message
        assert refused.header("x-should-retry") == "false"
        assert 0 < int(refused.header("retry-after")) <= 31 * 86_400
        assert refused.all("retry-after") == [refused.header("retry-after")]
        assert "used $0.022 of $0.03 a month" in refused.header("x-llmproxy-budget")
        assert len(vendor.received) == 2
        assert proxy.events.calls[-1].record.answer.error_source == "caller_limit"


@bounded()
async def test_people_hear_once_that_calls_are_refused_before_all_is_used(caplog):
    async with (
        scripted(answers) as vendor,
        serve_proxy(budgeted(vendor, {"usd": 0.03, "per": "day"})) as proxy,
    ):
        replies = [await ask(proxy) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 429, 429]
    assert " UTC. The operator of this proxy can raise it." in replies[-1].error["message"]
    told = [line for line in caplog.messages if "a call was refused" in line]
    assert len(told) == 1, told
    assert "$0.022 of $0.03 a day are used. Raise the budget" in told[0]


@bounded()
async def test_a_budget_of_a_group_that_is_not_there_is_refused(tmp_path):
    file = tmp_path / "llmproxy.yaml"
    async with scripted(answers) as vendor:
        given = budgeted(vendor, {"for": {"group": "gpt-4"}, "usd": 1})
        file.write_text(json.dumps(given))
    with pytest.raises(ConfigError) as refused:
        config_file(file, {}).load()
    assert "budgets[0].for.group: found 'gpt-4', but there is no such" in str(refused.value)


@bounded()
async def test_the_refusal_has_anthropics_shape_for_anthropics_clients():
    async with (
        scripted(answers) as vendor,
        serve_proxy(budgeted(vendor, {"tokens": 1, "per": "day"})) as proxy,
    ):
        body = {**CHAT, "max_tokens": 100}
        refused = await ask(proxy, body, path="/v1/messages")
        assert refused.status == 429
        assert refused.json["type"] == "error"
        assert "budget of all calls" in refused.json["error"]["message"]


@bounded()
async def test_a_soft_budget_lets_calls_pass_and_says_so_in_a_header_and_once_in_the_log(caplog):
    budget = {"usd": 0.02, "per": "day", "hard": False}
    async with scripted(answers) as vendor, serve_proxy(budgeted(vendor, budget)) as proxy:
        replies = [await ask(proxy) for _ in range(4)]
        assert [reply.status for reply in replies] == [200] * 4
        said = [reply.header("x-llmproxy-budget") for reply in replies]
        assert said[:2] == [None, None]
        assert "used $0.022 of $0.02 a day" in said[2]
    told = [line for line in caplog.messages if line.startswith("Budget: ")]
    assert len(told) == 1, told


@bounded()
async def test_budgets_of_a_team_and_a_caller_hold_together_and_for_them_only():
    callers = [
        {"name": "alice", "key": KEY, "team": "search", "budget": "1/month"},
        {"name": "bob", "key": "sk-bob-0123456789"},
    ]
    teams = [{"name": "search", "budget": ["0.012/day", "5000000 tokens/month"]}]
    async with (
        scripted(answers) as vendor,
        serve_proxy(budgeted(vendor, callers=callers, teams=teams)) as proxy,
    ):
        assert [(await ask(proxy)).status for _ in range(2)] == [200, 429]
        assert (await ask(proxy, key="sk-bob-0123456789")).status == 200


@bounded()
async def test_a_budget_of_tokens_counts_what_endpoints_report():
    async with (
        scripted(answers) as vendor,
        serve_proxy(budgeted(vendor, {"for": {"group": "gpt-4.1"}, "tokens": 5000})) as proxy,
    ):
        assert [(await ask(proxy)).status for _ in range(4)] == [200, 200, 429, 429]


@pytest.mark.parametrize("tokens", [200_000, 10**11])
@bounded()
async def test_one_long_answer_does_not_shut_a_budget_for_ever(tokens):
    """It is taken for what the next calls may use, which is more than the whole budget."""
    used = iter([answer_with(1, tokens)])

    def long_first(received, number):
        return [http(next(used, ANSWER))]

    budgets = [{"usd": 0.1, "per": "day", "for": {"key": name}} for name in ("alice", "bob")]
    callers = [{"name": "alice", "key": KEY}, {"name": "bob", "key": "sk-bob-0123456789"}]
    async with (
        scripted(long_first) as vendor,
        serve_proxy(budgeted(vendor, *budgets, callers=callers)) as proxy,
    ):
        await ask(proxy)
        statuses = [(await ask(proxy, key="sk-bob-0123456789")).status for _ in range(60)]
        assert statuses[0] == 429
        assert statuses.count(200) >= 3


@bounded()
async def test_a_timeout_of_the_clients_own_does_not_spare_its_budget():
    async with (
        scripted(lambda received, number: ["hang"]) as vendor,
        serve_proxy(budgeted(vendor, {"usd": 0.03, "per": "day"})) as proxy,
    ):
        body = {**CHAT, "max_tokens": 1000}
        hasty = [("x-llmproxy-timeout-s", "0.02")]
        statuses = [(await ask(proxy, body, headers=hasty)).status for _ in range(5)]
        assert statuses[0] == 504
        assert statuses[-1] == 429


@bounded()
async def test_calls_under_way_have_reserved_what_they_may_use():
    release = asyncio.Event()

    def late(received, number):
        return [release, http(ANSWER)]

    async with (
        scripted(late) as vendor,
        serve_proxy(budgeted(vendor, {"tokens": 2500, "per": "hour"})) as proxy,
    ):
        first = asyncio.ensure_future(ask(proxy, {**CHAT, "max_tokens": 2000}))
        while not vendor.received:
            await asyncio.sleep(0.005)
        second = await ask(proxy, {**CHAT, "max_tokens": 2000})
        assert second.status == 429
        assert "reserved for calls that are under way" in second.error["message"]
        release.set()
        assert (await first).status == 200


@bounded()
async def test_an_answer_from_the_cache_costs_nothing_and_passes():
    body = {**CHAT, "temperature": 0}
    async with (
        scripted(answers) as vendor,
        serve_proxy(budgeted(vendor, {"tokens": 2100}, cache=True)) as proxy,
    ):
        assert (await ask(proxy, {**body, "max_tokens": 1500})).status == 200
        assert (await ask(proxy, {**body, "max_tokens": 1500})).header("x-llmproxy-cache") == "hit"
        assert (await ask(proxy, {**body, "max_tokens": 1501})).status == 429


@bounded()
async def test_a_budget_that_runs_out_in_mid_stream_lets_the_stream_end():
    usage = {"choices": [], "usage": {**USAGE, "completion_tokens": 9000}}
    chunk = {"choices": [{"index": 0, "delta": {"content": "hi"}}]}
    events = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in (chunk, usage))

    def streams(received, number):
        return [http(events + b"data: [DONE]\n\n", content_type="text/event-stream")]

    async with (
        scripted(streams) as vendor,
        serve_proxy(budgeted(vendor, {"tokens": 3000})) as proxy,
    ):
        reply = await ask(proxy, {**CHAT, "stream": True})
        assert reply.status == 200
        assert b"[DONE]" in reply.body
        assert (await ask(proxy)).status == 429


@bounded()
async def test_without_budgets_calls_are_admitted_as_before():
    async with scripted(answers) as vendor, serve_proxy(budgeted(vendor)) as proxy:
        assert "budgets" not in proxy.runtime.admit.__module__
        assert (await ask(proxy)).status == 200


@bounded()
async def test_a_reload_keeps_what_was_spent(tmp_path):
    path = tmp_path / "llmproxy.yaml"
    async with scripted(answers) as vendor:
        before = budgeted(vendor, {"tokens": 2500, "per": "month"})
        async with serve_proxy(before, path=path) as proxy:
            assert [(await ask(proxy)).status for _ in range(2)] == [200, 429]
            path.write_text(json.dumps(budgeted(vendor, {"tokens": 4500, "per": "month"})))
            await proxy.reloader.reload()
            assert [(await ask(proxy)).status for _ in range(2)] == [200, 429]


@bounded()
async def test_a_restart_forgets_nothing(tmp_path):
    database = f"sqlite:///{tmp_path}/store.sqlite"
    async with scripted(answers) as vendor:
        config = budgeted(vendor, {"tokens": 4500, "per": "month"}, database_url=database)
        statuses = []
        for _ in range(2):
            async with serve_proxy(config) as proxy:
                statuses += [(await ask(proxy)).status for _ in range(2)]
        assert statuses == [200, 200, 429, 429]


async def used_until(proxy, tokens):
    """Wait until an instance knows that so many tokens of its one budget are used."""
    while (await get_json(proxy, "/admin/budgets"))["budgets"][0]["used"] != str(tokens):
        await asyncio.sleep(0.05)


@bounded()
async def test_two_instances_on_one_postgresql_keep_to_one_budget_without_redis(tmp_path):
    async with (
        scripted(answers) as vendor,
        database_url("postgresql", tmp_path) as url,
        AsyncExitStack() as stack,
    ):
        config = budgeted(vendor, {"tokens": 6500, "per": "month"}, database_url=url)
        one, other = [await stack.enter_async_context(serve_proxy(config)) for _ in range(2)]
        assert [(await ask(one)).status for _ in range(2)] == [200, 200]
        await used_until(other, 4000)
        assert [(await ask(other)).status for _ in range(2)] == [200, 429]
        await used_until(one, 6000)
        refused = await ask(one)
        assert (refused.status, refused.error["code"]) == (429, "budget_exceeded")
        await used_until(other, 6000)  # what each has spent itself counts once


def test_a_wrong_budget_is_refused_with_its_line(tmp_path):
    path = tmp_path / "llmproxy.yaml"
    groups = "model_groups: [{model_group: a, models: [{params: {base_url: 'http://x/v1'}}]}]\n"
    for written, says in (
        ("usd: 5\n      per: year", r"yaml:5: .*per: expected 'hour'.*found 'year'"),
        ("usd: 5\n      for: {teem: x}", r"yaml:5: .*for: found a mapping.*Write all, or one of"),
        ("usd: 5\n      time_zone: Mars", r"yaml:4: .*time_zone: expected the name of a time zone"),
        ("usd: 5\n      tokens: 5", r"yaml:4: .*expected either `usd` or `tokens`"),
        ("per: day", r"yaml:4: .*expected either `usd` or `tokens`"),
        ("amount: 5", r"yaml:4: .*unknown key 'amount'. Remove it; known here: for, usd"),
    ):
        path.write_text(f"{groups}general_settings:\n  budgets:\n    - {written}\n")
        with pytest.raises(ConfigError, match=says):
            config_file(path, {}).load()

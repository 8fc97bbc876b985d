"""`/admin/budgets`, and the budgets of keys, asked of a running proxy."""

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from time import time

import pytest

from tests.admin.watching import get_json
from tests.support.budgets import answer_with, budgeted
from tests.support.client import CHAT, ask
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.store import DATABASES, database_url
from tests.support.vendor import http, scripted

ORDER = {"for": {"team": "search"}, "usd": "0.012", "per": "month"}


@asynccontextmanager
async def proxy_with_store(kind, folder, *budgets):
    async with (
        scripted(lambda received, number: [http(answer_with(1000, 1000))]) as vendor,
        database_url(kind, folder) as url,
    ):
        callers = [{"name": "alice", "key": "sk-alice-0123456789", "team": "search"}]
        config = budgeted(vendor, *budgets, database_url=url, callers=callers)
        async with serve_proxy(config) as proxy:
            yield proxy


async def order(proxy, method, path="", body=None, expected=200):
    reply = await ask(proxy.port, f"/admin{path}", body or b"", method=method, host="localhost")
    assert reply.status == expected, reply.body
    return reply.json if reply.body else None


def call(proxy, key="sk-alice-0123456789"):
    return ask(proxy.port, body=CHAT, headers=[("authorization", f"Bearer {key}")])


@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_a_budget_is_made_changed_and_deleted_while_calls_go_on(kind, tmp_path):
    async with proxy_with_store(kind, tmp_path) as proxy:
        assert (await call(proxy)).status == 200
        made = await order(proxy, "POST", "/budgets", ORDER, expected=201)
        assert (made["amount"], made["per"], made["source"]) == ("0.012", "month", "store")
        statuses = [(await call(proxy)).status for _ in range(2)]
        assert statuses[-1] == 429
        changed = await order(proxy, "PATCH", f"/budgets/{made['id']}", {"usd": "5"})
        assert (changed["amount"], changed["for"]) == ("5", {"team": "search"})
        assert (await call(proxy)).status == 200
        await order(proxy, "DELETE", f"/budgets/{made['id']}", expected=204)
        assert (await get_json(proxy, "/admin/budgets"))["budgets"] == []
        assert "budgets" not in proxy.runtime.admit.__module__


@bounded()
async def test_it_says_what_is_used_and_left_and_when_it_resets(tmp_path):
    config = {"for": "all", "usd": 1, "per": "day"}
    async with proxy_with_store("sqlite", tmp_path, config) as proxy:
        await call(proxy)
        found = await get_json(proxy, "/admin/budgets")
        (budget,) = found["budgets"]
        assert (budget["used"], budget["left"], budget["reserved"]) == ("0.011", "0.989", "0")
        assert (budget["state"], budget["source"], budget["hard"]) == ("ok", "config", True)
        assert time() < budget["resets_at"] <= time() + 86_400
        assert found["next"] is None
        metrics = await ask(proxy.port, "/metrics", method="GET", host="localhost")
        labels = '{kind="all",per="day",subject="",unit="usd"}'
        lines = metrics.body.decode()
        assert f"llmproxy_budget_used{labels} 0.011" in lines, lines
        assert f"llmproxy_budget_limit{labels} 1.0" in lines


def emptied(file):
    """Empty two tables: so a restore begins."""
    with closing(sqlite3.connect(file, timeout=20)) as operator, operator:
        for table in ("budgets", "versions"):
            operator.execute(f"DELETE FROM {table}")


@bounded()
async def test_budgets_hold_while_the_database_is_restored_from_a_backup(tmp_path, caplog):
    async with proxy_with_store("sqlite", tmp_path) as proxy:
        await order(proxy, "POST", "/budgets", ORDER, expected=201)
        assert [(await call(proxy)).status for _ in range(2)] == [200, 429]
        await asyncio.to_thread(emptied, next(tmp_path.glob("**/*.sqlite")))
        while "Budgets cannot be read: The database has no budgets" not in caplog.text:
            await asyncio.sleep(0.01)
        assert (await call(proxy)).status == 429


@bounded()
async def test_a_team_says_what_is_left_of_its_budget(tmp_path):
    async with proxy_with_store("sqlite", tmp_path) as proxy:
        made = {"name": "search", "budget": "0.5/month"}
        await order(proxy, "POST", "/teams", made, expected=201)
        while (await get_json(proxy, "/admin/teams/search"))["left_usd"] is None:
            await asyncio.sleep(0.01)  # the budget is known within a second
        assert (await call(proxy)).status == 200
        for found in (
            (await get_json(proxy, "/admin/teams"))["teams"][0],
            await get_json(proxy, "/admin/teams/search"),
        ):
            (budget,) = found["budgets"]
            assert (budget["amount"], budget["used"], budget["left"]) == ("0.5", "0.011", "0.489")
            assert found["left_usd"] == "0.489"


@bounded()
async def test_the_budget_of_a_key_holds_within_a_second(tmp_path):
    async with proxy_with_store("sqlite", tmp_path) as proxy:
        key = await order(
            proxy, "POST", "/keys", {"name": "bob", "budget": "0.012/day"}, expected=201
        )
        await asyncio.sleep(1)
        assert [(await call(proxy, key["key"])).status for _ in range(2)] == [200, 429]
        assert (await call(proxy)).status == 200


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({**ORDER, "per": "year"}, "per: expected hour"),
        ({**ORDER, "usd": None}, "either `usd` or `tokens`"),
        ({**ORDER, "owner": "me"}, "has no 'owner'"),
    ],
)
@bounded()
async def test_a_wrong_order_is_refused_with_what_was_expected(body, says, tmp_path):
    async with proxy_with_store("sqlite", tmp_path) as proxy:
        refused = await order(proxy, "POST", "/budgets", body, expected=422)
        assert says in refused["detail"]


@bounded()
async def test_a_budget_of_the_config_is_changed_there(tmp_path):
    async with proxy_with_store("sqlite", tmp_path, {"usd": 1, "per": "day"}) as proxy:
        refused = await order(proxy, "PATCH", "/budgets/config:all:usd:day", {"usd": 2}, 404)
        assert "changed there" in refused["detail"]

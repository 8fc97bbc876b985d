"""`/admin/spend`: what calls have cost, asked of a running proxy."""

import csv
import io

import pytest

from tests.admin.watching import get_json
from tests.support.callers import bearer
from tests.support.client import CHAT, ask
from tests.support.run import bounded
from tests.support.spending import ONE, proxy_with_teams, until_counted
from tests.support.store import DATABASES


@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_it_says_what_each_team_has_cost(kind, tmp_path):
    async with proxy_with_teams(tmp_path, kind) as proxy:
        for key in ("sk-client-app-1", "sk-client-app-1", "sk-client-job-1"):
            assert (await ask(proxy.port, body=CHAT, headers=bearer(key))).status == 200
        found = await until_counted(proxy, "/admin/spend?by=team,caller&since=1d", 3)
        assert [(row["keys"], row["cost_usd"], row["calls"]) for row in found["rows"]] == [
            ({"team": "search", "caller": "app"}, "0.000024", 2),
            ({"team": "ads", "caller": "=job"}, ONE, 1),
        ]
        assert found["total"]["cost_usd"] == found["total"]["exact_usd"] == "0.000036"
        assert (found["total"]["coverage"], found["before"]["calls"]) == (1, 0)
        assert [point["cost_usd"] for point in found["series"]] == ["0.000036"]
        assert found["next"] is None
        folded = await get_json(proxy, "/admin/spend?by=day,team,caller&top=1")
        assert [
            (row["keys"]["team"], row["keys"]["caller"], row["cost_usd"]) for row in folded["rows"]
        ] == [("search", "app", "0.000024"), ("(other)", "(other)", ONE)]
        only = await get_json(proxy, "/admin/spend?by=model&team=ads")
        assert only["total"]["cost_usd"] == ONE

        reply = await ask(proxy.port, "/admin/spend.csv?by=caller", method="GET", host="localhost")
        assert reply.header("content-type") == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(reply.body.decode())))
        assert [(row["caller"], row["cost_usd"]) for row in rows] == [
            ("app", "0.000024"),
            ("'=job", ONE),
        ]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("by=tema", "Spend is not summed by 'tema'. It is by: team, key"),
        ("by=team&tema=x", "Unknown parameter 'tema'. There are: by, since"),
        ("since=yesterday", "Expected a time such as 30d"),
    ],
)
@bounded()
async def test_a_question_without_an_answer_is_refused_with_what_can_be_asked(
    query, says, tmp_path
):
    async with proxy_with_teams(tmp_path) as proxy:
        for path in ("spend", "spend.csv"):
            reply = await ask(proxy.port, f"/admin/{path}?{query}", method="GET", host="localhost")
            assert reply.status == 400
            assert says in reply.json["detail"]


@bounded()
async def test_without_a_store_it_says_how_to_get_one(tmp_path):
    async with proxy_with_teams(tmp_path, database_url="off") as proxy:
        reply = await ask(proxy.port, "/admin/spend", method="GET", host="localhost")
        assert reply.status == 404
        assert "database_url" in reply.json["detail"]


@bounded()
async def test_it_is_for_the_operator_only(tmp_path):
    async with proxy_with_teams(tmp_path, admin_key="sk-admin-123") as proxy:
        for path in ("spend", "spend.csv"):
            reply = await ask(proxy.port, f"/admin/{path}", method="GET", host="localhost")
            assert reply.status == 401

"""Answers about spend, from both databases: exact sums, what is not known, and CSV."""

import csv
import io
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from llmproxy.batteries.background import background
from llmproxy.batteries.spend import csv_text, read_spend, spend_query
from llmproxy.batteries.store.tables import keys
from llmproxy.batteries.store.writer import CallWriter
from llmproxy.record import Basis, Cost
from tests.support.finished import finished_call
from tests.support.run import bounded
from tests.support.store import DATABASES, open_database

both = pytest.mark.parametrize("kind", DATABASES)
DAY = 86400
MIDNIGHT = datetime(2026, 10, 20, tzinfo=UTC).timestamp()
NOW = MIDNIGHT + 12 * 3600


def call(ago_s, nano_usd, basis="exact", *, saved=0, **names):
    cost = Cost(nano_usd, Basis(basis), saved)
    return finished_call(ended_at=NOW - ago_s, cost=cost, **names)


CALLS = (
    call(60, 1_500_000_000, team="search", model="a", tags=("x", "y")),
    call(3 * 3600, 1, team="search", model="b", end_user="u1"),
    call(2 * DAY, 250_000_000, "estimated", team="search", model="a", tags=("x",)),
    call(3 * DAY, 10, team="ads", model="a", status=500),
    call(4 * DAY, 0, "unknown", team="mail", model="a"),
    call(5 * DAY, 0, "free", team="ads", model="b", saved=7),
    call(40 * DAY, 5_000_000_000, team="search", model="a"),
    call(400 * DAY, 9_000_000_000, team="search", model="a"),
)


@asynccontextmanager
async def spent(kind, folder):
    """The database in which these calls are."""
    async with open_database(kind, folder) as database:
        writer = CallWriter(database, None)
        async with background(writer.run):
            for one in CALLS:
                writer.call_finished(one)
        await writer.close()
        yield database


async def view_of(database, by, **options):
    where = {name: options.pop(name) for name in ("team", "model", "tag") if name in options}
    return (await read_spend(database, spend_query(by, now=NOW, where=where, **options))).view()


def by_keys(view, name="cost_usd"):
    return {tuple(row["keys"].values()): row[name] for row in view["rows"]}


@both
@bounded()
async def test_sums_by_any_dimension_are_those_of_the_calls(kind, tmp_path):
    async with spent(kind, tmp_path) as database:
        view = await view_of(database, "team")
        assert by_keys(view) == {
            ("search",): "1.750000001",
            ("ads",): "0.00000001",
            ("mail",): None,
        }
        assert by_keys(await view_of(database, "team,model", team="search")) == {
            ("search", "a"): "1.75",
            ("search", "b"): "0.000000001",
        }
        assert by_keys(await view_of(database, "day", team="search"), "calls") == {
            ("2026-10-18",): 1,
            ("2026-10-20",): 2,
        }
        assert by_keys(await view_of(database, "hour", since="24h"), "calls") == {
            ("2026-10-20T09Z",): 1,
            ("2026-10-20T11Z",): 1,
        }
        (whole,) = (await view_of(database, "group", since="2020-01"))["rows"]
        assert (whole["calls"], whole["cost_usd"]) == (8, "15.750000011")


@both
@bounded()
async def test_every_sum_says_how_much_of_it_is_known(kind, tmp_path):
    async with spent(kind, tmp_path) as database:
        view = await view_of(database, "team")
        rows = {row["keys"]["team"]: row for row in view["rows"]}
        assert rows["mail"]["coverage"] == 0
        assert rows["mail"]["exact_usd"] is rows["mail"]["estimated_usd"] is None
        assert rows["search"]["coverage"] == 1
        assert (rows["search"]["exact_usd"], rows["search"]["estimated_usd"]) == (
            "1.500000001",
            "0.25",
        )
        assert rows["ads"]["saved_usd"] == "0.000000007"
        assert rows["ads"]["errors"] == 1
        assert (view["total"]["coverage"], view["total"]["unknown_calls"]) == (0.8333, 1)
        nothing = (await view_of(database, "team", since="2020-01", until="2020-02"))["total"]
        assert (nothing["calls"], nothing["cost_usd"], nothing["coverage"]) == (0, "0.00", None)


@both
@bounded()
async def test_what_is_known_of_an_unknown_cost_is_not_exact(kind, tmp_path):
    async with open_database(kind, tmp_path) as database:
        writer = CallWriter(database, None)
        async with background(writer.run):
            writer.call_finished(call(60, 250_000_000, "unknown", team="search"))
            writer.call_finished(call(60, 1_500_000_000, team="search"))
        await writer.close()
        total = (await view_of(database, "team"))["total"]
        assert (total["cost_usd"], total["unknown_calls"]) == ("1.75", 1)
        assert (total["exact_usd"], total["estimated_usd"]) == ("1.50", "0.25")


@both
@bounded()
async def test_the_total_counts_a_call_with_two_tags_once(kind, tmp_path):
    async with spent(kind, tmp_path) as database:
        view = await view_of(database, "tag")
        assert by_keys(view) == {("x",): "1.75", ("y",): "1.50"}
        assert (view["total"]["calls"], view["total"]["cost_usd"]) == (6, "1.750000011")
        assert by_keys(await view_of(database, "end_user"), "calls") == {("u1",): 1}
        assert (await view_of(database, "day", tag="x"))["total"]["calls"] == 2


@both
@bounded()
async def test_it_is_compared_with_the_period_before_and_has_a_series(kind, tmp_path):
    async with spent(kind, tmp_path) as database:
        view = await view_of(database, "team")
        assert view["before"]["cost_usd"] == "5.00"
        assert view["before"]["to"] == view["from"]
        assert sum(point["calls"] for point in view["series"]) == view["total"]["calls"] == 6
        hours = await view_of(database, "", since="12h")
        assert [point["calls"] for point in hours["series"]] == [1, 1]
        assert hours["rows"] == []


@bounded()
async def test_rows_are_limited_the_dearest_first(tmp_path):
    async with spent("sqlite", tmp_path) as database:
        query = spend_query("team", now=NOW)
        first = await read_spend(database, query, limit=1)
        assert [values for values, _ in first.rows] == [("search",)]
        assert first.more
        rest = await read_spend(database, query, limit=2, offset=1)
        assert [values for values, _ in rest.rows] == [("ads",), ("mail",)]
        assert not rest.more


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", ' "=1', "'=1", "\uff1d1"]
)
@bounded()
async def test_a_name_is_no_formula_in_a_spreadsheet(name, tmp_path):
    async with open_database("sqlite", tmp_path) as database:
        writer = CallWriter(database, None)
        writer.call_finished(call(60, 5, model=name, team="=2"))
        await writer.write()
        report = await read_spend(database, spend_query("model", now=NOW))
        _, row = csv.reader(io.StringIO(csv_text(report), newline=""))
        assert row[0] == f"'{name}"
        await writer.close()


@bounded()
async def test_calls_without_a_team_have_an_empty_cell(tmp_path):
    async with open_database("sqlite", tmp_path) as database:
        writer = CallWriter(database, None)
        writer.call_finished(call(60, 5, model="m", team=None))
        await writer.write()
        report = await read_spend(database, spend_query("team", now=NOW))
        _, row = csv.reader(io.StringIO(csv_text(report), newline=""))
        assert row[0] == ""
        await writer.close()


@both
@bounded()
async def test_a_key_is_shown_by_its_name_and_found_by_it(kind, tmp_path):
    row = {"prefix": "", "digest": "00", "version": 1, "created_at": 1.0, "changed_at": 1.0}
    async with open_database(kind, tmp_path) as database:
        writer = CallWriter(database, None)
        async with background(writer.run):
            for key in ("key_1", "key_1", "key_gone", None):
                writer.call_finished(call(60, 10, key=key, caller="nightly"))
        await writer.close()
        await database.execute(insert(keys).values(id="key_1", name="=nightly", **row))
        view = await view_of(database, "key")
        assert by_keys(view, "calls") == {("key_1",): 2, ("key_gone",): 1, (None,): 1}
        assert view["key_names"] == {"key_1": "=nightly"}
        for asked in ("=nightly", "key_1"):
            query = spend_query("key", now=NOW, where={"key": asked})
            report = await read_spend(database, query)
            assert report.view()["total"]["calls"] == 2
        (row,) = csv.DictReader(io.StringIO(csv_text(report)))
        assert (row["key"], row["key_name"]) == ("key_1", "'=nightly")


@bounded()
async def test_csv_has_the_rows_and_an_empty_cell_for_what_is_not_known(tmp_path):
    async with spent("sqlite", tmp_path) as database:
        text = csv_text(await read_spend(database, spend_query("team,model", now=NOW)))
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [(row["team"], row["model"], row["cost_usd"]) for row in rows[:2]] == [
            ("search", "a", "1.75"),
            ("ads", "a", "0.00000001"),
        ]
        (mail,) = [row for row in rows if row["team"] == "mail"]
        assert (mail["cost_usd"], mail["coverage"], mail["unknown_calls"]) == ("", "0.0", "1")

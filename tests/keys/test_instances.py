"""Keys that instances share: made, changed and blocked on one, known on the others."""

import asyncio
from time import time

import pytest
from sqlalchemy import delete, insert, select

from llmproxy.batteries.keys import Keys, OrderError
from llmproxy.batteries.keys.key import digest_of, new_secret
from llmproxy.batteries.store import Database, address_of
from llmproxy.batteries.store.tables import keys as table
from llmproxy.batteries.store.tables import versions
from tests.support.keys import DATABASES, key_instance
from tests.support.run import bounded
from tests.support.store import database_url, open_database

SEARCH = {"name": "nightly", "team": "search", "models": ["gpt-4.1*"], "rpm": 60}


@pytest.mark.clock
@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_a_key_is_known_and_blocked_on_another_instance_within_a_second(kind, tmp_path):
    async with (
        database_url(kind, tmp_path) as url,
        key_instance(url) as here,
        key_instance(url) as there,
    ):
        made, secret = await here.keys.create(SEARCH, by="ada")
        assert here.answers(secret) == "nightly"
        took = [await there.until(secret, "nightly")]
        found = there.known.identity_of(secret.encode())
        assert (found.team, found.models, found.rpm) == ("search", ("gpt-4.1*",), 60)

        await here.keys.block(made["id"], blocked=True)
        took.append(await there.until(secret, "key_blocked"))
        await there.keys.block(made["id"], blocked=False)
        took.append(await here.until(secret, "nightly"))
        await there.keys.delete(made["id"])
        took.append(await here.until(secret, "invalid_api_key"))
        assert max(took) < 1.0, took


@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_two_keys_are_valid_while_one_replaces_the_other(kind, tmp_path):
    async with database_url(kind, tmp_path) as url, key_instance(url) as here:
        made, first = await here.keys.create({"name": "nightly"})
        view, second = await here.keys.rotate(made["id"], {"overlap": "1h"})
        assert view["prefix"] == second[:20]
        assert view["earlier_key_until"] > time()
        assert (here.answers(first), here.answers(second)) == ("nightly", "nightly")
        _, third = await here.keys.rotate(made["id"], {"overlap": "0"})
        assert here.answers(third) == "nightly"
        assert here.answers(second) == "key_expired"
        assert here.answers(first) == "invalid_api_key"


@bounded()
async def test_the_key_itself_is_kept_nowhere(tmp_path):
    async with key_instance(f"sqlite:///{tmp_path}/keys.sqlite") as here:
        made, secret = await here.keys.create(SEARCH)
        assert secret not in str(made)
    assert (tmp_path / "keys.sqlite.keys").exists()
    for file in tmp_path.iterdir():
        assert secret[20:].encode() not in file.read_bytes(), file


@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_limits_models_and_teams_change_without_a_restart(kind, tmp_path):
    async with database_url(kind, tmp_path) as url, key_instance(url) as here:
        made, secret = await here.keys.create(SEARCH)
        await here.keys.change(made["id"], {"rpm": None, "models": ["o3"], "tags": ["eu"]})
        found = here.known.identity_of(secret.encode())
        assert (found.rpm, found.models, found.tags) == (None, ("o3",), ("eu",))
        assert here.known.team_named("search").rpm is None
        version = here.known.version
        await here.teams.change("search", {"rpm": 5, "models": ["o*"]})
        assert here.known.team_named("search").rpm == 5
        assert here.known.version > version
        await here.teams.block("search", blocked=True)
        assert here.known.team_named("search").blocked


@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_keys_are_listed_page_by_page_searched_and_filtered(kind, tmp_path):
    async with database_url(kind, tmp_path) as url, key_instance(url) as here:
        keys = here.keys
        for number in range(7):
            order = {"name": f"job-{number}", "team": f"team-{number % 2}", "owner": "100%_Ada"}
            made, _ = await keys.create(order)
        await keys.block(made["id"], blocked=True)
        first = await keys.page(limit=3)
        second = await keys.page(limit=3, cursor=first["next"])
        third = await keys.page(limit=3, cursor=second["next"])
        pages = [[key["name"] for key in page["keys"]] for page in (first, second, third)]
        assert sorted(name for page in pages for name in page) == [
            f"job-{number}" for number in range(7)
        ]
        assert [len(page) for page in pages] == [3, 3, 1]
        assert (first["total"], third["next"]) == (7, None)
        assert (await keys.page(search="JOB-3"))["total"] == 1
        assert (await keys.page(search="0%_a"))["total"] == 7
        assert (await keys.page(search="0__a"))["total"] == 0
        assert (await keys.page(team="team-1"))["total"] == 3
        assert (await keys.page(state="blocked"))["keys"][0]["name"] == "job-6"
        assert (await keys.page(state="active"))["total"] == 6


@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_mistakes_are_refused_and_change_nothing(kind, tmp_path):
    async with database_url(kind, tmp_path) as url, key_instance(url) as here:
        keys, teams = here.keys, here.teams
        made, _ = await keys.create(SEARCH)
        for doing, status, says in (
            (keys.create(SEARCH), 409, "named 'nightly' already"),
            (keys.create({"name": "a"}, taken=frozenset("a")), 409, "named 'a' already"),
            (keys.change("key_none", {"rpm": 5}), 404, "no key 'key_none'"),
            (keys.rotate("key_none", {}), 404, "no key 'key_none'"),
            (keys.rotate(made["id"], {"overlap": "soon"}), 422, "overlap: expected"),
            (keys.page(cursor="x"), 422, "cursor: expected"),
            (teams.create({"name": "search"}), 409, "team named 'search' already"),
            (teams.create({}), 422, "a team needs one"),
            (teams.change("none", {"rpm": 5}), 404, "no team 'none'"),
            (teams.change("search", {"name": "x"}), 422, "a team keeps its name"),
            (teams.delete("search"), 409, "has 1 key"),
        ):
            with pytest.raises(OrderError, match=says) as refused:
                await doing
            assert refused.value.status == status
        await keys.delete(made["id"])
        await teams.delete("search")
        again, _ = await keys.create(SEARCH)
        assert again["id"] != made["id"]


@bounded()
async def test_a_key_and_a_team_have_the_budget_that_they_were_given(tmp_path):
    async with key_instance(f"sqlite:///{tmp_path}/keys.sqlite") as here:
        made, _ = await here.keys.create({"team": "search", "budget": "200/month"})
        assert made["name"].startswith("search-")
        (budget,) = made["budgets"]
        assert (budget["amount"], budget["unit"], budget["per"]) == ("200", "usd", "month")
        changed = await here.keys.change(made["id"], {"budget": "12.5/day"})
        assert [budget["amount"] for budget in changed["budgets"]] == ["12.5"]
        changed = await here.keys.change(made["id"], {"budget": None})
        assert changed["budgets"] == []
        order = {"budget": "9 tokens/hour", "members": ["ada@example.com"]}
        team = await here.teams.change("search", order)
        assert team["budgets"][0]["amount"] == "9"
        assert team["members"] == [{"person": "ada@example.com", "role": "team"}]


@bounded()
async def test_the_last_use_of_a_key_is_noted_behind(tmp_path):
    async with key_instance(f"sqlite:///{tmp_path}/keys.sqlite") as here:
        made, secret = await here.keys.create(SEARCH)
        assert made["last_used_at"] is None
        here.answers(secret)
    async with key_instance(f"sqlite:///{tmp_path}/keys.sqlite") as here:
        view = await here.keys.key(made["id"])
        assert abs(view["last_used_at"] - time()) < 60


@bounded()
async def test_a_start_while_the_database_is_away_knows_the_last_known_keys(tmp_path):
    file = tmp_path / "keys.sqlite"
    url = f"sqlite:///{file}"
    async with key_instance(url) as here:
        made, secret = await here.keys.create(SEARCH)
        await here.teams.change("search", {"rpm": 7})
    away = tmp_path / "away"
    file.rename(away)
    file.mkdir()  # no database can be made there
    async with key_instance(url) as here:
        assert here.answers(secret) == "nightly"
        assert here.known.team_named("search").rpm == 7
        assert here.answers("sk-llmproxy-" + "x" * 43) == "keys_not_loaded"
        file.rmdir()
        away.rename(file)
        await here.until("sk-llmproxy-" + "x" * 43, "invalid_api_key")
        await here.keys.block(made["id"], blocked=True)
        assert here.answers(secret) == "key_blocked"


@bounded()
async def test_a_start_without_a_copy_refuses_no_key_for_good_while_the_database_is_away(tmp_path):
    (tmp_path / "keys.sqlite").mkdir()
    async with key_instance(f"sqlite:///{tmp_path}/keys.sqlite") as here:
        assert here.answers("sk-llmproxy-" + "x" * 43) == "keys_not_loaded"


@bounded()
async def test_what_changed_while_an_instance_was_away_is_read_at_its_start(tmp_path):
    url = f"sqlite:///{tmp_path}/keys.sqlite"
    async with key_instance(url) as here:
        first, one = await here.keys.create({"name": "one"})
        _, two = await here.keys.create({"name": "two"})
    copy = tmp_path / "keys.sqlite.keys"
    known = copy.read_bytes()
    async with key_instance(url) as there:
        await there.keys.delete(first["id"])
        _, three = await there.keys.create({"name": "three"})
    copy.write_bytes(known)
    async with key_instance(url) as here:
        await here.until(one, "invalid_api_key")
        assert [here.answers(secret) for secret in (two, three)] == ["two", "three"]


@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_keys_stay_valid_while_the_database_is_restored_from_a_backup(kind, tmp_path, caplog):
    async def emptied(on):
        for one in (table, versions):
            await on.execute(delete(one))

    async with database_url(kind, tmp_path) as url, key_instance(url) as here:
        _, kept = await here.keys.create({"name": "kept"})
        operator = Database(address_of(url, {}))
        backup = [
            (one, [dict(row._mapping) for row in await operator.fetch(select(one))])
            for one in (table, versions)
        ]
        _, lost = await here.keys.create({"name": "lost"})
        await operator.change(emptied)  # a restore begins with empty tables
        while "is being restored" not in caplog.text:
            await asyncio.sleep(0.01)
        assert (here.answers(kept), here.answers(lost)) == ("kept", "lost")
        for one, rows in backup:
            await operator.execute(insert(one).values(rows))
            assert here.answers(kept) == "kept"
        while here.answers(lost) != "invalid_api_key":
            assert here.answers(kept) == "kept"
            await asyncio.sleep(0)
        _, later = await here.keys.create({"name": "later"})
        assert (here.answers(kept), here.answers(later)) == ("kept", "later")
        await operator.close()


@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_ten_thousand_keys_are_known_after_a_start(kind, tmp_path):
    secrets = [new_secret() for _ in range(10_000)]
    rows = [
        {
            **{"id": f"key_{number}", "name": f"job-{number}", "prefix": "", "version": 1},
            **{"digest": digest_of(secret.encode()).hex(), "created_at": 1.0, "changed_at": 1.0},
        }
        for number, secret in enumerate(secrets)
    ]

    async def fill(on):
        await on.execute(insert(table), rows)
        await on.execute(insert(versions).values(name="keys", version=1))

    async with open_database(kind, tmp_path) as database:
        await database.change(fill)
        keys = Keys()
        async with keys.open(database):
            while keys.known.read_at is None:
                await asyncio.sleep(0.01)
            assert keys.known.table.count == 10_000
            for number in (0, 4_999, 9_999):
                found = keys.known.identity_of(secrets[number].encode())
                assert found.name == f"job-{number}"

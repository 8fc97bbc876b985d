"""`/key/...`: keys, made and shown as LiteLLM's scripts do it."""

import asyncio
from hashlib import sha256

import pytest

from tests.litellm_habits.proxies import ADMIN_KEY, CALLERS, call, get, habitual, post
from tests.support.callers import KEY_A
from tests.support.people import OPERATORS
from tests.support.run import bounded


def kept(folder, **settings):
    return habitual(database_url=str(folder / "store.sqlite"), operators=OPERATORS, **settings)


async def audited(proxy):
    rows = (await get(proxy, "/admin/audit?action=key", ADMIN_KEY)).json["rows"]
    return list(reversed(rows))


async def made(proxy, **order):
    reply = await post(proxy, "/key/generate", {"key_alias": "nightly", **order})
    assert reply.status == 200, reply.body
    return reply.json


@bounded()
async def test_a_key_is_made_as_ordered_and_calls(tmp_path):
    async with kept(tmp_path) as (_, proxy):
        key = await made(
            proxy,
            **{"models": ["gpt"], "team_id": "search", "user_id": "ada", "duration": "30d"},
            **{"max_budget": 12.5, "budget_duration": "30d", "rpm_limit": 60, "tpm_limit": 9000},
            **{"max_parallel_requests": 3, "metadata": {"tags": ["night"], "cost": "c-1"}},
            **{"aliases": {}, "config": {}, "permissions": None},
        )
        assert key["key"].startswith("sk-")
        assert key["key_name"].startswith("sk-") and key["key"] not in key["key_name"]
        wanted = {
            **{"key_alias": "nightly", "models": ["gpt"], "team_id": "search", "user_id": "ada"},
            **{"max_budget": 12.5, "budget_duration": "1mo", "rpm_limit": 60, "tpm_limit": 9000},
            **{"max_parallel_requests": 3, "spend": 0.0, "blocked": False, "status": "active"},
            "metadata": {"tags": ["night"], "cost": "c-1"},
        }
        assert {name: key[name] for name in wanted} == wanted
        assert key["expires"].endswith("+00:00")
        assert (await call(proxy, key=key["key"])).status == 200
        assert proxy.events.calls[-1].record.request.tags == ("night",)
        assert (await call(proxy, key=key["key"], model="other")).status == 404


@bounded()
async def test_a_key_shows_itself_and_no_other(tmp_path):
    async with kept(tmp_path) as (_, proxy):
        key, other = await made(proxy, team_id="search"), await made(proxy, key_alias="other")
        mine = (await get(proxy, "/key/info", key["key"])).json
        assert mine["info"]["key_alias"] == "nightly"
        assert key["key"] not in str(mine)
        digest = sha256(key["key"].encode()).hexdigest()
        for own in (key["key"], digest, key["token"], "nightly"):
            reply = await get(proxy, f"/key/info?key={own}", key["key"])
            assert (reply.status, reply.json["key"]) == (200, own)
        for foreign in (other["key"], other["token"], "other", "sk-nobodys"):
            reply = await get(proxy, f"/key/info?key={foreign}", key["key"])
            assert (reply.status, reply.error["type"]) == (403, "auth_error")
        for path in ("/key/list", "/team/list", "/team/info?team_id=search"):
            assert (await get(proxy, path, key["key"])).status == 401


@bounded()
async def test_a_caller_of_the_config_sees_itself_too():
    async with habitual(database_url="off") as (_, proxy):
        for path in ("/key/info", f"/key/info?key={KEY_A}"):
            told = (await get(proxy, path, KEY_A)).json["info"]
            assert (told["key_alias"], told["team_id"], told["models"]) == (
                *("alice", "search"),
                ["gpt"],
            )
            assert told["spend"] is None  # not known is not zero
        assert KEY_A not in str(told)
        for name in ("alice", told["token"]):
            reply = await get(proxy, f"/key/info?key={name}", ADMIN_KEY)
            assert reply.json["info"]["team_id"] == "search"


@bounded()
async def test_an_operator_sees_what_the_role_may(tmp_path):
    async with kept(tmp_path) as (_, proxy):
        key, other = await made(proxy, team_id="search"), await made(proxy, key_alias="other")
        for name in (key["key"], sha256(key["key"].encode()).hexdigest(), key["token"], "nightly"):
            for person in (ADMIN_KEY, "sk-vic-viewer", "sk-tea-team"):
                assert (await get(proxy, f"/key/info?key={name}", person)).status == 200
        assert (await get(proxy, f"/key/info?key={other['token']}", "sk-tea-team")).status == 404
        reply = await get(proxy, "/key/info?key=sk-nobodys-secret", ADMIN_KEY)
        assert reply.status == 404
        assert b"nobodys-secret" not in reply.body
        assert (await get(proxy, "/key/info", ADMIN_KEY)).status == 400
        page = (await get(proxy, "/key/list?size=1&page=2", ADMIN_KEY)).json
        assert page == {
            **{"keys": [key["token"]], "total_count": 2, "current_page": 2, "total_pages": 2}
        }
        assert (await get(proxy, "/key/list?page=9", ADMIN_KEY)).json["keys"] == []
        full = (await get(proxy, "/key/list?return_full_object=true", "sk-tea-team")).json["keys"]
        assert [one["key_alias"] for one in full] == ["nightly"]


@bounded()
async def test_a_master_key_that_calls_too_is_an_operators_key(tmp_path):
    # As `llmproxy import` writes it.
    async with kept(tmp_path, callers=[{"name": "master", "key": ADMIN_KEY}]) as (_, proxy):
        assert (await call(proxy, key=ADMIN_KEY)).status == 200
        key = await made(proxy)
        told = await get(proxy, f"/key/info?key={key['key']}", ADMIN_KEY)
        assert told.json["info"]["key_alias"] == "nightly"
        assert (await get(proxy, "/key/info", ADMIN_KEY)).json["info"]["key_alias"] == "master"
        assert len((await get(proxy, "/model/info", ADMIN_KEY)).json["data"]) == 2


@bounded()
async def test_only_an_admin_changes_keys(tmp_path):
    async with kept(tmp_path) as (_, proxy):
        key = await made(proxy)
        orders = {
            **{"/key/generate": {}, "/key/update": {"key": key["key"], "rpm_limit": 1}},
            **{"/key/delete": {"keys": [key["key"]]}, "/key/block": {"key": key["key"]}},
            **{"/key/unblock": {"key": key["key"]}, "/key/regenerate": {"key": key["key"]}},
            **{"/team/new": {"team_id": "x"}, "/team/delete": {"team_ids": ["x"]}},
            **{"/team/update": {"team_id": "x"}, "/team/block": {"team_id": "x"}},
        }
        for path, order in orders.items():
            for person, status in (("sk-vic-viewer", 403), (key["key"], 401)):
                reply = await post(proxy, path, order, person)
                assert reply.status in (status, 429), (path, person)  # 429: guesses are slowed down
        assert (await call(proxy, key=key["key"])).status == 200


@bounded()
async def test_a_key_is_changed_blocked_replaced_and_deleted(tmp_path):
    async with kept(tmp_path) as (_, proxy):
        first = (await made(proxy, max_budget=5, budget_duration="1d"))["key"]
        changed = await post(proxy, "/key/update", {"key": first, "rpm_limit": 7, "max_budget": 9})
        assert (changed.json["rpm_limit"], changed.json["max_budget"]) == (7, 9.0)
        assert changed.json["budget_duration"] == "1d"  # what is left out stays
        assert (await post(proxy, "/key/block", {"key": first})).json["blocked"] is True
        assert (await call(proxy, key=first)).status == 401
        assert (await get(proxy, f"/key/info?key={first}", ADMIN_KEY)).json["info"]["blocked"]
        assert (await post(proxy, "/key/unblock", {"key": first})).json["blocked"] is False
        assert (await call(proxy, key=first)).status == 200
        second = (await post(proxy, f"/key/{first}/regenerate", {})).json["key"]
        assert (await call(proxy, key=first)).status == 401
        assert (await call(proxy, key=second)).status == 200
        other = await made(proxy, key_alias="other")
        gone = await post(proxy, "/key/delete", {"keys": [second], "key_aliases": ["other"]})
        assert gone.json == {"deleted_keys": [second, "other"]}
        for key in (second, other["key"]):
            assert (await call(proxy, key=key)).status == 401
        wanted = [
            *("key.create", "key.change", "key.block", "key.unblock", "key.rotate"),
            *("key.create", "key.delete", "key.delete"),
        ]
        async with asyncio.timeout(10):  # rows are written behind
            while [row["action"] for row in await audited(proxy)] != wanted:
                await asyncio.sleep(0.05)


@bounded()
@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"key": "sk-mine"}, "keys are made here"),
        ({"soft_budget": 5}, "soft_budget"),
        ({"max_budget": 5, "budget_duration": "17d"}, "budget_duration"),
        ({"max_budget": "much"}, "max_budget"),
        ({"metadata": 5}, "metadata"),
        ({"models": "gpt"}, "models"),
        ({"duration": "soon"}, "expires"),
        ({"rpm_limit": -1}, "rpm"),
    ],
)
async def test_what_a_key_cannot_have_is_refused_with_a_reason(order, said, tmp_path):
    async with kept(tmp_path) as (_, proxy):
        reply = await post(proxy, "/key/generate", order)
        assert (reply.status, reply.error["code"]) == (422, "422")
        assert said in reply.error["message"]


@bounded()
async def test_without_a_database_the_answer_says_so():
    async with habitual(database_url="off") as (_, proxy):
        reply = await post(proxy, "/key/generate", {})
        assert reply.status == 503
        assert "database_url" in reply.error["message"]


@bounded()
async def test_teams_are_made_shown_and_deleted(tmp_path):
    configured = [{"name": "search", "limits": {"rpm": 9}}]
    async with kept(tmp_path, teams=configured, callers=CALLERS) as (_, proxy):
        order = {
            **{"team_alias": "Ads", "team_id": "ads", "models": ["gpt"], "tpm_limit": 500},
            **{"max_budget": 100, "budget_duration": "1mo"},
            "members_with_roles": [{"role": "admin", "user_id": "ada@example.com"}],
        }
        team = (await post(proxy, "/team/new", order)).json
        assert (team["team_id"], team["team_alias"], team["models"]) == ("ads", "Ads", ["gpt"])
        assert (team["max_budget"], team["budget_duration"]) == (100.0, "1mo")
        assert [one["user_id"] for one in team["members_with_roles"]] == ["ada@example.com"]
        key = await made(proxy, team_id="ads")
        told = (await get(proxy, "/team/info?team_id=ads", ADMIN_KEY)).json
        assert told["team_info"]["tpm_limit"] == 500
        assert [one["token"] for one in told["keys"]] == [key["token"]]
        teams = (await get(proxy, "/team/list", ADMIN_KEY)).json
        assert [one["team_id"] for one in teams] == ["search", "ads"]
        assert [one["team_id"] for one in (await get(proxy, "/team/list", "sk-tea-team")).json] == [
            "search"
        ]
        assert (await get(proxy, "/team/info?team_id=ads", "sk-tea-team")).status == 404
        changed = await post(proxy, "/team/update", {"team_id": "ads", "rpm_limit": 3})
        assert changed.json["data"]["rpm_limit"] == 3
        assert changed.json["data"]["tpm_limit"] == 500
        assert (await post(proxy, "/team/block", {"team_id": "ads"})).json["blocked"] is True
        assert (await post(proxy, "/team/update", {"team_id": "search"})).status == 409
        assert (await post(proxy, "/team/delete", {"team_ids": ["ads"]})).status == 409  # its key
        await post(proxy, "/key/delete", {"keys": [key["key"]]})
        gone = await post(proxy, "/team/delete", {"team_ids": ["ads"]})
        assert gone.json == {"deleted_teams": ["ads"]}


ODD = [None, True, -1, 0.5, "", "x", "\u0000", [], [None], [["x"]], {}, {"tags": 5}, 1e999]
MEMBERS = [
    *("key", "keys", "key_aliases", "key_alias", "team_id", "team_ids", "team_alias", "user_id"),
    *("models", "tags", "metadata", "duration", "max_budget", "budget_duration", "rpm_limit"),
    *("tpm_limit", "max_parallel_requests", "members_with_roles"),
]


@bounded()
@pytest.mark.parametrize(
    "path",
    [
        *("/key/generate", "/key/update", "/key/delete", "/key/block", "/key/regenerate"),
        *("/team/new", "/team/update", "/team/delete", "/team/block"),
    ],
)
async def test_an_odd_order_is_carried_out_or_refused_and_breaks_nothing(path, tmp_path):
    async with kept(tmp_path) as (_, proxy):
        for name in MEMBERS:
            for value in ODD:
                order = {"key": "nightly", "team_id": "ads", "key_alias": f"{name}-1", name: value}
                reply = await post(proxy, path, order)
                assert reply.status in {200, 404, 409, 422}, (order, reply.body)
        for body in (b"", b"[]", b"{", b"5"):
            assert (await post(proxy, path, body)).status in {404, 422}, body

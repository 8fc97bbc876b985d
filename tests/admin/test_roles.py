"""What each role may do: every route of `/admin` is in these tables."""

import pytest
import yaml

from llmproxy.batteries.admin.process_family import START_TOKEN
from llmproxy.batteries.config_file import parse_config
from llmproxy.errors import ConfigError
from tests.admin.watching import get_json, post
from tests.support.callers import bearer
from tests.support.client import CHAT, ask
from tests.support.groups import endpoint
from tests.support.people import ADMIN_KEY, OPERATORS, PEOPLE
from tests.support.proxy import config_for, serve_proxy
from tests.support.routes import app_of, ours, routes_of
from tests.support.run import bounded
from tests.support.spending import proxy_with_teams, until_counted
from tests.support.vendor import GOOD, scripted

REMEDY = "Ask an admin to do it, or for that role."

LITELLM_PROBES = ("liveliness", "liveness", "readiness")

# These need no role: what they show is no secret, or they are how one gets a role.
OPEN = {
    *(("GET", path) for path in ("/", "/livez", "/readyz", "/health", "/metrics")),
    *(("HEAD", path) for path in ("/", "/openapi.json")),
    *(("GET", f"/dashboard{rest}") for rest in ("", "/{name}")),
    *(("GET", path) for path in ("/docs", "/openapi.json")),
    ("GET", "/admin/session"),
    ("POST", "/admin/login"),
    ("POST", "/admin/logout"),
    *(("GET", f"/admin/sign_in{rest}") for rest in ("", "/callback")),
    *((way, f"/health/{name}") for way in ("GET", "HEAD") for name in LITELLM_PROBES),
}
# A team's member reads these, and sees what is of the team.
FOR_TEAMS = {
    *(
        ("GET", f"/admin/{name}")
        for name in ("me", "calls", "calls.csv", "calls/{id}", "audit", "audit.csv")
    ),
    *(("GET", f"/admin/{name}") for name in ("spend", "spend.csv", "keys", "keys/{id}")),
    *(("GET", f"/admin/{name}") for name in ("teams", "teams/{name}", "budgets")),
}
FOR_VIEWERS = {
    ("GET", f"/admin/{name}") for name in ("state", "history", "explain", "events", "cache")
}
FOR_ADMINS = {
    *(("POST", f"/admin/{name}") for name in ("drain", "enable", "clear", "reload")),
    ("DELETE", "/admin/cache"),
    *(("POST", f"/admin/{name}") for name in ("keys", "teams", "budgets")),
    *(
        (method, f"/admin/{name}")
        for name in ("keys/{id}", "teams/{name}", "budgets/{id}")
        for method in ("PATCH", "DELETE")
    ),
    *(("POST", f"/admin/keys/{{id}}/{does}") for does in ("rotate", "block", "unblock")),
    *(("POST", f"/admin/teams/{{name}}/{does}") for does in ("block", "unblock")),
}
ALLOWED = {
    "admin": FOR_TEAMS | FOR_VIEWERS | FOR_ADMINS,
    "ann": FOR_TEAMS | FOR_VIEWERS | FOR_ADMINS,
    "vic": FOR_TEAMS | FOR_VIEWERS,
    "tea": FOR_TEAMS,
    "nobody": set(),
}


def with_operators(vendor, **settings):
    people = {"admin_key": ADMIN_KEY, "operators": OPERATORS}
    return config_for(endpoint(vendor, "only"), **people, **settings)


@bounded()
async def test_every_route_has_a_role_and_lets_nobody_else_through():
    async with scripted(GOOD) as vendor, serve_proxy(with_operators(vendor)) as proxy:
        every = ours(routes_of((await app_of(proxy)).routes))
        routes = every - OPEN
        assert every >= OPEN
        assert routes == FOR_TEAMS | FOR_VIEWERS | FOR_ADMINS, "a route without a role in this test"
        for name, headers in PEOPLE.items():
            for method, path in sorted(routes - ALLOWED[name]):
                reply = await ask(
                    *(proxy.port, path), method=method, headers=headers, host="localhost", body=b""
                )
                assert reply.status == (401 if name == "nobody" else 403), (name, method, path)
            for method, path in sorted(ALLOWED[name] - {("GET", "/admin/events")}):
                reply = await ask(
                    *(proxy.port, path), method=method, headers=headers, host="localhost", body=b""
                )
                assert reply.status not in {401, 403, 500}, (name, method, path)


@bounded()
async def test_everybody_is_told_who_they_are():
    async with scripted(GOOD) as vendor, serve_proxy(with_operators(vendor)) as proxy:
        found = {
            name: await get_json(proxy, "/admin/me", headers=headers)
            for name, headers in PEOPLE.items()
            if headers
        }
        assert found == {
            "admin": {"name": "admin", "role": "admin", "team": None},
            "ann": {"name": "ann", "role": "admin", "team": None},
            "vic": {"name": "vic", "role": "viewer", "team": None},
            "tea": {"name": "tea", "role": "team", "team": "search"},
        }


@bounded()
async def test_a_refusal_names_the_role_that_is_needed():
    async with scripted(GOOD) as vendor, serve_proxy(with_operators(vendor)) as proxy:
        reply = await post(proxy, "/admin/drain", {"endpoint": "only"}, headers=PEOPLE["vic"])
        assert reply.json["detail"] == "This needs the role admin; vic has viewer. " + REMEDY
        reply = await post(proxy, "/admin/drain", {"endpoint": "only"}, headers=PEOPLE["tea"])
        assert reply.json["detail"] == "This needs the role admin; tea has team search. " + REMEDY


@bounded()
async def test_metrics_are_for_viewers_if_they_need_a_key():
    statuses = {}
    async with scripted(GOOD) as vendor:
        for metrics_need_key in (False, True):
            config = with_operators(vendor, metrics_need_key=metrics_need_key)
            async with serve_proxy(config) as proxy:
                statuses[metrics_need_key] = [
                    (await ask(proxy.port, "/metrics", method="GET", headers=headers)).status
                    for headers in PEOPLE.values()
                ]
    assert list(PEOPLE) == ["admin", "ann", "vic", "tea", "nobody"]
    assert statuses == {False: [200] * 5, True: [200, 200, 200, 403, 401]}


@bounded()
async def test_a_session_has_the_role_of_the_key_that_it_was_opened_with():
    async with scripted(GOOD) as vendor, serve_proxy(with_operators(vendor)) as proxy:
        reply = await post(proxy, "/admin/login", {"key": "sk-vic-viewer"})
        cookie = ("cookie", reply.header("set-cookie").split(";")[0])
        assert (await get_json(proxy, "/admin/me", headers=[cookie]))["name"] == "vic"
        await get_json(proxy, "/admin/state", headers=[cookie])
        refused = await post(proxy, "/admin/drain", {"endpoint": "only"}, headers=[cookie])
        assert refused.status == 403


@bounded()
async def test_with_operators_this_machine_needs_a_key_too():
    async with scripted(GOOD) as vendor:
        config = config_for(endpoint(vendor, "only"), operators=OPERATORS)
        async with serve_proxy(config) as proxy:
            # The token of the start is for a proxy that nobody has a key of.
            refused = await ask(proxy.port, "/admin/me", method="GET", headers=bearer(START_TOKEN))
            assert refused.status == 401
            session = await get_json(proxy, "/admin/session")
            assert session == {"protected": True, "signed_in": False, "sign_in": False}
            await get_json(proxy, "/admin/state", headers=PEOPLE["vic"])


@bounded()
async def test_a_member_sees_the_spend_and_the_calls_of_the_own_team_only(tmp_path):
    async with proxy_with_teams(tmp_path, admin_key=ADMIN_KEY, operators=OPERATORS) as proxy:
        for key in ("sk-client-app-1", "sk-client-job-1", "sk-client-job-1"):
            assert (await ask(proxy.port, body=CHAT, headers=bearer(key))).status == 200
        await until_counted(proxy, "/admin/spend?by=team", 3, headers=PEOPLE["vic"])
        tea = {"headers": PEOPLE["tea"]}
        spend = await get_json(proxy, "/admin/spend?by=team", **tea)
        assert [row["keys"] for row in spend["rows"]] == [{"team": "search"}]
        assert spend["total"]["calls"] == 1
        other = await ask(
            proxy.port, "/admin/spend?team=ads", method="GET", host="localhost", **tea
        )
        assert other.status == 403
        assert other.json["detail"] == "You see the team 'search' only. Leave `team` out."
        calls = (await get_json(proxy, "/admin/calls", **tea))["calls"]
        assert [call["caller"] for call in calls] == ["app"]
        every = (await get_json(proxy, "/admin/calls", headers=PEOPLE["vic"]))["calls"]
        (others, *_) = (call["id"] for call in every if call["caller"] == "=job")
        reply = await ask(
            proxy.port, f"/admin/calls/{others}", method="GET", host="localhost", **tea
        )
        assert reply.status == 404


@bounded()
async def test_a_member_sees_the_budgets_of_the_own_team_only(tmp_path):
    budgets = [{"for": {"team": name}, "usd": 5, "per": "month"} for name in ("search", "ads")]
    budgets.append({"for": "all", "usd": 50, "per": "month"})
    async with proxy_with_teams(tmp_path, operators=OPERATORS, budgets=budgets) as proxy:
        seen = await get_json(proxy, "/admin/budgets", headers=PEOPLE["tea"])
        assert [budget["for"] for budget in seen["budgets"]] == [{"team": "search"}]
        seen = await get_json(proxy, "/admin/budgets", headers=PEOPLE["vic"])
        assert len(seen["budgets"]) == 3


@pytest.mark.parametrize(
    ("operator", "says"),
    [
        ({"name": "a"}, "found an operator without a key"),
        ({"name": "a", "key": "k", "role": "team"}, "found `role: team` without `team`"),
        ({"name": "a", "key": "k", "team": "x"}, "found `role: team` without `team`"),
        ({"name": "a", "key_sha256": "12"}, "expected the 64 hex digits"),
        ({"name": "vic", "key": "k"}, "found a second operator named"),
        ({"name": "a", "key": "sk-vic-viewer"}, "found the key of another operator"),
    ],
)
def test_an_operator_that_could_not_be_told_from_others_is_refused(operator, says):
    config = config_for("http://a/v1", operators=[OPERATORS[1], operator])
    with pytest.raises(ConfigError) as caught:
        parse_config(yaml.safe_dump(config), {}, file="c.yaml")
    assert says in str(caught.value)

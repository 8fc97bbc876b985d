"""What each role may do on LiteLLM's paths: every one of them is in these tables."""

from tests.litellm_habits.proxies import bearer, habitual
from tests.support.callers import KEY_A
from tests.support.client import ask
from tests.support.people import ADMIN_KEY, OPERATORS, PEOPLE
from tests.support.routes import app_of, ours, routes_of
from tests.support.run import bounded

FOR_TEAMS = {
    ("GET", path) for path in ("/key/info", "/key/list", "/team/info?team_id=search", "/team/list")
}
FOR_VIEWERS = {("GET", path) for path in ("/model/info", "/v1/model/info", "/model_group/info")}
FOR_ADMINS = {
    *(("POST", f"/key/{does}") for does in ("generate", "update", "delete", "block", "unblock")),
    *(("POST", f"/key/{place}") for place in ("regenerate", "{key:path}/regenerate")),
    *(("POST", f"/team/{does}") for does in ("new", "update", "delete", "block", "unblock")),
}
ALL = FOR_TEAMS | FOR_VIEWERS | FOR_ADMINS
ALLOWED = {
    **{"admin": ALL, "ann": ALL, "vic": FOR_TEAMS | FOR_VIEWERS, "tea": FOR_TEAMS},
    **{"nobody": set(), "client": FOR_VIEWERS | {("GET", "/key/info")}},
}


@bounded()
async def test_every_path_has_a_role_and_lets_nobody_else_through(tmp_path):
    settings = {"admin_key": ADMIN_KEY, "operators": OPERATORS}
    async with habitual(**settings, database_url=str(tmp_path / "s.sqlite")) as (_, proxy):
        routes = routes_of((await app_of(proxy)).routes)
        # What is left says only what to use instead.
        answered = {route for route in routes - ours(routes) if route[1].count("/") > 1} - {
            route for route in routes if route[1].endswith("/{rest:path}")
        }
        expected = {(method, path.partition("?")[0]) for method, path in ALL}
        assert answered == expected
        for name, headers in {**PEOPLE, "client": bearer(KEY_A)}.items():
            for method, path in sorted(ALL - ALLOWED[name]):
                reply = await ask(proxy.port, path, b"{}", method=method, headers=headers)
                # A client's key is none of an operator's, and wrong ones are slowed down.
                refused = {"nobody": {401}, "client": {401, 429}}.get(name, {403})
                assert reply.status in refused, (name, method, path)
            for method, path in sorted(ALLOWED[name]):
                reply = await ask(proxy.port, path, b"{}", method=method, headers=headers)
                assert reply.status not in {401, 403, 429, 500}, (name, method, path, reply.body)

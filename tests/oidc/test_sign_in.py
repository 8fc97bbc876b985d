"""Operators sign in at an issuer, as a browser does it."""

from asyncio import to_thread
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

import pytest
import yaml

from llmproxy.batteries.config_file import parse_config
from llmproxy.errors import ConfigError
from tests.admin.watching import get_json, post
from tests.support.client import ask
from tests.support.groups import endpoint
from tests.support.oidc_provider import CLIENT_ID, oidc_provider
from tests.support.people import ADMIN_KEY, PEOPLE
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, scripted

ROLES = [
    {"claim": "groups", "value": "llm-admins", "role": "admin"},
    {"claim": "groups", "value": ["ads", "search"], "role": "team", "team_claim": "department"},
    {"claim": "hd", "value": "example.com", "role": "viewer"},
]
ANN = {"email": "ann@example.com", "groups": ["llm-admins"]}
SECRET = "s3cret/+"


def with_sign_in(vendor, provider, **more):
    section = {"issuer": provider.issuer, "client_id": CLIENT_ID, "roles": ROLES, **more}
    key = section.pop("admin_key", None)
    return config_for(endpoint(vendor, "only"), sign_in=section, admin_key=key)


async def get(proxy, path, cookie=None, headers=()):
    sent = [*headers, ("cookie", cookie)] if cookie else [*headers]
    return await ask(proxy.port, path, method="GET", host=f"localhost:{proxy.port}", headers=sent)


def cookies_of(reply):
    """The cookies that a reply sets, by name, with all that is said of them."""
    return {line.partition("=")[0]: line for line in reply.all("set-cookie")}


def at_issuer(url):
    """What the issuer answers a browser: the address to go back to."""

    class Stays(HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):
            self.found = newurl

    stays = Stays()
    with suppress(OSError):  # the redirect that it does not follow
        build_opener(stays).open(url, timeout=10).close()
    return stays.found


async def begun(proxy, query="", headers=()):
    """Begin to sign in. Returns the reply, the attempt's cookie, and the path to go back to."""
    reply = await get(proxy, f"/admin/sign_in{query}", headers=headers)
    assert reply.status == 303, reply.body
    cookie = cookies_of(reply)["llmproxy_sign_in"].split(";")[0]
    back = urlsplit(await to_thread(at_issuer, reply.header("location")))
    return reply, cookie, f"{back.path}?{back.query}"


async def signed_in(proxy):
    """Sign in. Returns the session's cookie."""
    _, cookie, back = await begun(proxy)
    reply = await get(proxy, back, cookie)
    assert reply.status == 303, reply.body
    return cookies_of(reply)["llmproxy_session"].split(";")[0]


@bounded()
async def test_what_a_stranger_makes_up_is_slowed_down():
    """Each is a row of the audit, which is kept for ever, and may be a question to the issuer."""
    with oidc_provider() as provider:
        async with scripted(GOOD) as vendor:
            async with serve_proxy(with_sign_in(vendor, provider)) as proxy:
                _, cookie, back = await begun(proxy)
                made_up = back.partition("code=")[0] + "code=x"
                sent = [(None, "/admin/sign_in/callback?code=x"), (cookie, made_up)]
                statuses = []
                for number in range(8):
                    cookie, path = sent[number % 2]
                    statuses.append((await get(proxy, path, cookie)).status)
                assert statuses == [403] * 5 + [429] * 3


@bounded()
async def test_people_get_the_role_that_their_claims_say():
    with oidc_provider(secret=SECRET) as provider:
        async with scripted(GOOD) as vendor:
            config = with_sign_in(vendor, provider, client_secret=SECRET)
            async with serve_proxy(config) as proxy:
                session = await get_json(proxy, "/admin/session")
                assert session == {"protected": True, "signed_in": False, "sign_in": True}
                refused = (await get(proxy, "/admin/me")).json["detail"]
                assert refused == "Sign in at /admin/sign_in with a browser."
                for person, me in (
                    (ANN, ("ann@example.com", "admin", None)),
                    (
                        {"sub": "tea", "groups": ["search"], "department": "search"},
                        ("tea", "team", "search"),
                    ),
                    ({"sub": "vic", "hd": "example.com"}, ("vic", "viewer", None)),
                ):
                    provider.person = person
                    cookie = await signed_in(proxy)
                    found = (await get(proxy, "/admin/me", cookie)).json
                    assert (found["name"], found["role"], found["team"]) == me
                    status = {"admin": 200}.get(me[1], 403)
                    drained = await post(
                        proxy, "/admin/drain", {"endpoint": "only"}, headers=[("cookie", cookie)]
                    )
                    assert drained.status == status
                provider.person = {"sub": "eve", "hd": "evil.example"}
                _, cookie, back = await begun(proxy)
                reply = await get(proxy, back, cookie)
                assert (reply.status, "eve has no role here" in reply.body.decode()) == (403, True)
                assert "llmproxy_session" not in cookies_of(reply)


@bounded()
async def test_a_member_of_a_team_sees_that_team(tmp_path):
    with oidc_provider() as provider:
        async with scripted(GOOD) as vendor:
            config = with_sign_in(vendor, provider, roles=[ROLES[0]])
            settings = config["general_settings"]
            settings |= {"admin_key": ADMIN_KEY, "database_url": f"{tmp_path}/store.sqlite"}
            async with serve_proxy(config) as proxy:
                admin = {"headers": PEOPLE["admin"]}
                people = ["Ada@Example.com", "user-7", "bob@example.com"]
                made = {"name": "search", "members": people}
                assert (await post(proxy, "/admin/teams", made, **admin)).status == 201
                made = {"name": "ads", "members": ["user-9"]}
                assert (await post(proxy, "/admin/teams", made, **admin)).status == 201
                for claims, team in (
                    ({"email": "ada@example.com"}, "search"),
                    ({"sub": "user-7"}, "search"),
                    ({"sub": "user-9", "email": "bob@example.com"}, "ads"),
                    ({**ANN, "sub": "user-7"}, None),
                ):
                    provider.person = {"sub": "x", **claims}
                    me = (await get(proxy, "/admin/me", await signed_in(proxy))).json
                    assert (me["role"], me["team"]) == ("admin" if team is None else "team", team)
                for claims in (
                    {"email": "bob@example.com", "email_verified": False},
                    {"sub": "bob@example.com"},  # at some issuers people choose it
                    {"sub": "USER-7"},
                    {"name": "user-7", "preferred_username": "ada@example.com"},
                ):
                    provider.person = {"sub": "x", **claims}
                    _, cookie, back = await begun(proxy)
                    reply = await get(proxy, back, cookie)
                    assert (reply.status, b"no team has this member" in reply.body) == (403, True)


@bounded()
async def test_the_way_there_and_back_is_tied_to_this_browser_and_this_sign_in():
    with oidc_provider(person=ANN) as provider:
        async with scripted(GOOD) as vendor:
            async with serve_proxy(with_sign_in(vendor, provider, admin_key=ADMIN_KEY)) as proxy:
                reply, cookie, back = await begun(proxy)
                asked = parse_qs(urlsplit(reply.header("location")).query)
                assert asked["redirect_uri"] == [
                    f"http://localhost:{proxy.port}/admin/sign_in/callback"
                ]
                assert asked["realm"] == ["1"]
                set_cookie = cookies_of(reply)["llmproxy_sign_in"].lower()
                for word in ("httponly", "samesite=lax", "path=/admin/sign_in", "max-age=600"):
                    assert word in set_cookie
                for path, sent in (
                    (back, None),  # another browser
                    (back, cookie[:-1] + ("0" if cookie[-1] != "0" else "1")),
                    (back.replace("state=", "state=x"), cookie),
                    ("/admin/sign_in/callback", cookie),
                    (back + "&error=access_denied", cookie),
                    (back + "&iss=https://evil.example", cookie),
                    (back.replace("code=", "code=x"), cookie),
                ):
                    reply = await get(proxy, path, sent)
                    assert reply.status == 403, path
                    # The right key of somebody there forgives its address what was wrong.
                    await get_json(proxy, "/admin/me", headers=PEOPLE["admin"])
                    assert "llmproxy_session" not in cookies_of(reply)
                reply = await get(proxy, back, cookie)
                assert (reply.status, reply.header("location")) == (303, "../../dashboard")
                session = cookies_of(reply)["llmproxy_session"].lower()
                for word in ("httponly", "samesite=lax", "path=/admin;"):
                    assert word in f"{session};"
                again = await get(proxy, back, cookie)
                assert again.status == 403, "a code was good for twice"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"aud": "another"}, "is for 'another'"),
        ({"azp": "another"}, "azp"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"exp": 1}, "was valid until"),
        ({"email": None, "sub": None}, "has no name"),
    ],
)
@bounded()
async def test_an_id_token_that_is_not_of_this_sign_in_is_refused(changes, says):
    with oidc_provider(person=ANN, id_token_changes=changes) as provider:
        async with scripted(GOOD) as vendor:
            async with serve_proxy(with_sign_in(vendor, provider)) as proxy:
                _, cookie, back = await begun(proxy)
                reply = await get(proxy, back, cookie)
                assert (reply.status, says in reply.body.decode()) == (403, True), reply.body


@bounded()
async def test_one_goes_on_with_the_page_that_one_came_from_and_nowhere_else():
    with oidc_provider(person=ANN) as provider:
        async with scripted(GOOD) as vendor:
            async with serve_proxy(with_sign_in(vendor, provider)) as proxy:
                for page, location in (
                    (
                        "dashboard/spend%3Fby%3Dteam%26since%3D7d",
                        "dashboard/spend?by=team&since=7d",
                    ),
                    ("%2F%2Fevil.example", "dashboard"),
                    ("https%3A%2F%2Fevil.example", "dashboard"),
                    ("dashboard%2F..%2F..%2Fadmin%2Flogout", "dashboard"),
                    ("dashboard%0D%0Ax%3A%20y", "dashboard"),
                    ("dashboard%5Cevil", "dashboard"),
                ):
                    _, cookie, back = await begun(proxy, f"?next={page}")
                    reply = await get(proxy, back, cookie)
                    assert reply.header("location") == f"../../{location}"


@bounded()
async def test_other_sites_change_nothing_and_signing_out_ends_all_copies():
    with oidc_provider(person=ANN) as provider:
        async with scripted(GOOD) as vendor:
            async with serve_proxy(with_sign_in(vendor, provider)) as proxy:
                cookie = ("cookie", await signed_in(proxy))
                for header in (
                    ("origin", "https://evil.example"),
                    ("sec-fetch-site", "cross-site"),
                ):
                    reply = await post(
                        proxy, "/admin/drain", {"endpoint": "only"}, headers=[cookie, header]
                    )
                    assert reply.status == 403
                assert (await post(proxy, "/admin/logout", {}, headers=[cookie])).status == 204
                assert (await get(proxy, "/admin/me", cookie[1])).status == 401


@bounded()
async def test_behind_tls_cookies_are_secure_and_the_public_address_is_the_way_back():
    with oidc_provider(person=ANN) as provider:
        async with scripted(GOOD) as vendor:
            config = with_sign_in(vendor, provider, public_url="https://llm.example.com/proxy/")
            async with serve_proxy(config) as proxy:
                reply, *_ = await begun(proxy, headers=[("x-forwarded-proto", "https")])
                assert "secure" in cookies_of(reply)["llmproxy_sign_in"].lower()
                asked = parse_qs(urlsplit(reply.header("location")).query)
                assert asked["redirect_uri"] == [
                    "https://llm.example.com/proxy/admin/sign_in/callback"
                ]


@bounded()
async def test_other_rules_end_the_sessions(tmp_path):
    file = tmp_path / "c.yaml"
    with oidc_provider(person=ANN) as provider:
        async with scripted(GOOD) as vendor:
            config = with_sign_in(vendor, provider)
            async with serve_proxy(config, path=file) as proxy:
                cookie = await signed_in(proxy)
                assert (await get(proxy, "/admin/me", cookie)).status == 200
                config["general_settings"]["sign_in"]["roles"] = ROLES[1:]
                file.write_text(yaml.safe_dump(config))
                await proxy.reloader.reload_if_changed()
                assert (await get(proxy, "/admin/me", cookie)).status == 401


@bounded()
async def test_an_issuer_that_is_away_is_named(tmp_path):
    with oidc_provider() as provider:
        pass
    async with scripted(GOOD) as vendor:
        async with serve_proxy(with_sign_in(vendor, provider)) as proxy:
            reply = await get(proxy, "/admin/sign_in")
            assert (reply.status, provider.issuer in reply.body.decode()) == (503, True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"roles": [{"role": "admin"}]}, "for everybody who can sign in"),
        ({"roles": [{"role": "team", "claim": "g", "value": "x"}]}, "without its team"),
        ({"roles": [{"role": "viewer", "claim": "g"}]}, "`claim` without `value`"),
        ({"roles": []}, "roles"),
        ({"scopes": ["email"]}, "Add openid"),
        ({"client_id": None}, "client_id"),
    ],
)
def test_a_section_that_cannot_work_is_refused(changes, says):
    section = {"issuer": "https://a.example", "client_id": "c", "roles": ROLES, **changes}
    section = {key: value for key, value in section.items() if value is not None}
    config = config_for("http://a/v1", sign_in=section)
    with pytest.raises(ConfigError) as caught:
        parse_config(yaml.safe_dump(config), {}, file="c.yaml")
    assert says in str(caught.value)

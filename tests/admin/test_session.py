"""Signing in with a browser, and protection against cross-site requests."""

import asyncio
from time import time

import pytest

from llmproxy.batteries.admin.people import digest_of
from llmproxy.batteries.admin.process_family import START_TOKEN
from llmproxy.batteries.admin.sessions import is_session_cookie, key_of_session, session_cookie
from llmproxy.batteries.settings import FullSettings
from tests.admin.watching import get_json, post
from tests.support.client import ask, connect
from tests.support.groups import endpoint
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, scripted

SESSION_S = 12 * 3600

KEY = "sk-admin-secret"
HERE = ("origin", "http://localhost")
ELSEWHERE = ("origin", "https://evil.example")
DRAIN = {"endpoint": "only"}


def keyed(vendor):
    return config_for(endpoint(vendor, "only"), admin_key=KEY)


def session_key(key):
    """What cookies of somebody who has shown a key are signed with, in the proxy of `keyed`."""
    return key_of_session(digest_of(key), FullSettings(admin_key=KEY))


async def signed_in(proxy, **options):
    """Sign in as a browser does; returns the cookie that it would send from then on."""
    reply = await post(proxy, "/admin/login", {"key": KEY}, **options)
    assert reply.status == 204
    return ("cookie", reply.header("set-cookie").split(";")[0])


@bounded()
async def test_signing_in_gives_a_cookie_for_everything_that_scripts_cannot_read():
    async with scripted(GOOD) as vendor, serve_proxy(keyed(vendor)) as proxy:
        before = await get_json(proxy, "/admin/session")
        assert before == {"protected": True, "signed_in": False, "sign_in": False}
        reply = await post(proxy, "/admin/login", {"key": KEY}, headers=[HERE])
        cookie, *attributes = reply.header("set-cookie").split("; ")
        assert {word.lower() for word in attributes} == {
            *("httponly", "samesite=strict", "path=/admin", f"max-age={SESSION_S}"),
        }
        assert KEY not in cookie
        headers = [("cookie", cookie), HERE]
        after = await get_json(proxy, "/admin/session", headers=headers)
        assert after == {"protected": True, "signed_in": True, "sign_in": False}
        await get_json(proxy, "/admin/state", headers=headers)
        assert (await post(proxy, "/admin/drain", DRAIN, headers=headers)).status == 200


@bounded()
async def test_behind_tls_the_cookie_is_for_tls_only():
    async with scripted(GOOD) as vendor, serve_proxy(keyed(vendor)) as proxy:
        forwarded = [("x-forwarded-proto", "https")]
        reply = await post(proxy, "/admin/login", {"key": KEY}, headers=forwarded)
        assert "secure" in reply.header("set-cookie").lower()


@bounded()
async def test_a_wrong_key_is_rejected():
    async with scripted(GOOD) as vendor, serve_proxy(keyed(vendor)) as proxy:
        for key in ("", "sk-admin", KEY + "x", "\udcff"):
            reply = await post(proxy, "/admin/login", {"key": key})
            assert reply.status == 401
            assert reply.header("set-cookie") is None


@bounded()
async def test_a_cookie_of_another_key_or_a_forged_or_expired_one_is_rejected():
    later = int(time()) + 100
    shown = [
        session_cookie(session_key("another key"), later),
        session_cookie(session_key(KEY), int(time()) - 1),
        session_cookie(session_key(KEY), later).replace(str(later), str(later + 1)),
        f"{later}.",
        "x",
        "",
        "٣.4",
    ]
    async with scripted(GOOD) as vendor, serve_proxy(keyed(vendor)) as proxy:
        for key in shown:
            value = key.encode().decode("latin-1")
            headers = [("cookie", f"llmproxy_session={value}")]
            reply = await ask(
                proxy.port, "/admin/state", method="GET", headers=headers, host="localhost"
            )
            assert reply.status == 401, key


@pytest.mark.parametrize("more", [{}, {"admin_key": KEY}], ids=["alone", "with an admin_key"])
@bounded()
async def test_the_digest_of_a_key_that_the_config_has_makes_no_session(more):
    """A config with `key_sha256` may be read by people who may not use /admin."""
    digest = digest_of("sk-operator-0123456789")
    operator = {"name": "ann", "role": "admin", "key_sha256": digest.hex()}
    async with scripted(GOOD) as vendor:
        config = config_for(endpoint(vendor, "only"), operators=[operator], **more)
        async with serve_proxy(config) as proxy:
            forged = session_cookie(digest, int(time()) + SESSION_S)
            headers = [("cookie", f"llmproxy_session={forged}")]
            assert (await get_json(proxy, "/admin/session", headers=headers))["signed_in"] is False
            reply = await post(proxy, "/admin/login", {"key": "sk-operator-0123456789"})
            headers = [("cookie", reply.header("set-cookie").split(";")[0])]
            assert (await get_json(proxy, "/admin/me", headers=headers))["name"] == "ann"


@bounded()
async def test_signing_out_deletes_the_cookie():
    async with scripted(GOOD) as vendor, serve_proxy(keyed(vendor)) as proxy:
        cookie = await signed_in(proxy)
        reply = await post(proxy, "/admin/logout", {}, headers=[cookie])
        assert reply.status == 204
        assert "max-age=0" in reply.header("set-cookie").lower()


@bounded()
async def test_a_copy_of_the_cookie_ends_with_its_session_and_other_sessions_go_on():
    async with scripted(GOOD) as vendor, serve_proxy(keyed(vendor)) as proxy:
        cookie, other = await signed_in(proxy), await signed_in(proxy)
        await post(proxy, "/admin/logout", {}, headers=[cookie])
        after = await get_json(proxy, "/admin/session", headers=[cookie])
        assert after == {"protected": True, "signed_in": False, "sign_in": False}
        assert (await post(proxy, "/admin/drain", DRAIN, headers=[cookie])).status == 401
        assert (await post(proxy, "/admin/drain", DRAIN, headers=[other])).status == 200


@bounded()
async def test_a_session_that_is_older_than_the_proxy_has_ended():
    before = session_cookie(session_key(KEY), int(time()) - 3600 + SESSION_S)  # an hour old
    async with scripted(GOOD) as vendor, serve_proxy(keyed(vendor)) as proxy:
        session = await get_json(
            proxy, "/admin/session", headers=[("cookie", f"llmproxy_session={before}")]
        )
        assert session["signed_in"] is False


@bounded()
async def test_guesses_wait_longer_and_longer_and_are_logged(caplog):
    async with scripted(GOOD) as vendor, serve_proxy(keyed(vendor)) as proxy:
        wrong = [("authorization", "Bearer sk-guess")]
        right = [("authorization", f"Bearer {KEY}")]
        cookie = await signed_in(proxy)
        statuses = [
            (await post(proxy, "/admin/drain", DRAIN, headers=wrong)).status for _ in range(7)
        ]
        assert statuses == [401] * 5 + [429] * 2
        logged = [line for line in caplog.messages if not line.startswith("Audit: ")]
        assert len(logged) == 5
        assert logged[-1] == "A wrong key was sent to /admin from 127.0.0.1 (5 in a row)."
        reply = await post(proxy, "/admin/login", {"key": KEY})
        assert (reply.status, reply.header("retry-after")) == (429, "1")
        assert (await post(proxy, "/admin/drain", DRAIN, headers=right)).status == 429
        assert (await post(proxy, "/admin/drain", DRAIN, headers=[cookie])).status == 200
        await asyncio.sleep(0.55)
        assert (await post(proxy, "/admin/drain", DRAIN, headers=right)).status == 200


@bounded()
async def test_nothing_of_admin_is_kept_by_browsers_or_taken_for_a_page():
    async with scripted(GOOD) as vendor, serve_proxy(keyed(vendor)) as proxy:
        for path in ("/admin/state", "/admin/session", "/admin/none"):
            reply = await ask(proxy.port, path, method="GET", host="localhost")
            assert reply.all("cache-control") == ["no-store"]
            assert reply.all("x-content-type-options") == ["nosniff"]
        page = await ask(proxy.port, "/dashboard", method="GET", host="localhost")
        assert page.all("cache-control") == ["no-cache"]
        assert page.all("x-content-type-options") == ["nosniff"]


IN_FRONT = {
    "via": [("via", "1.1 front")],
    "forwarded": [("forwarded", "for=203.0.113.9")],
    "x-forwarded-for": [("x-forwarded-for", "203.0.113.9")],
    "x-forwarded-host": [("x-forwarded-host", "llm.example.com")],
    "x-forwarded-anything": [("x-forwarded-port", "443")],
    "x-real-ip": [("x-real-ip", "203.0.113.9")],
}


@pytest.mark.parametrize("front", IN_FRONT)
@pytest.mark.parametrize("path", ["drain", "enable", "clear", "reload"])
@bounded()
async def test_without_a_key_no_action_comes_through_a_proxy_but_with_the_token(front, path):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            headers = IN_FRONT[front]
            refused = await post(proxy, f"/admin/{path}", DRAIN, headers=headers)
            assert refused.status == 403
            assert "the token that the proxy printed" in refused.json["detail"]
            token = ("authorization", f"Bearer {START_TOKEN}")
            let_in = await post(proxy, f"/admin/{path}", DRAIN, headers=[*headers, token])
            assert let_in.status == (409 if path == "reload" else 200)


@bounded()
async def test_http_1_0_came_through_a_proxy():
    head = b"POST /admin/drain HTTP/1.0\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            connection = await connect(proxy.port)
            await connection.send(head + b'content-length: 19\r\n\r\n{"endpoint":"only"}')
            assert (await connection.reply()).status == 403


@bounded()
async def test_the_token_signs_in_where_there_is_no_key():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            through = [("x-real-ip", "203.0.113.9")]
            reply = await post(proxy, "/admin/login", {"key": "guess"}, headers=through)
            assert reply.status == 401
            reply = await post(proxy, "/admin/login", {"key": START_TOKEN}, headers=through)
            cookie = ("cookie", reply.header("set-cookie").split(";")[0])
            assert (
                await post(proxy, "/admin/drain", DRAIN, headers=[*through, cookie])
            ).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@bounded()
async def test_a_form_of_another_site_without_an_origin_is_rejected(site):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            reply = await post(proxy, "/admin/drain", DRAIN, headers=[("sec-fetch-site", site)])
            assert reply.status == 403


@pytest.mark.parametrize("host", ["evil@127.0.0.1", "127.0.0.1.evil.example", "[::1].evil.example"])
@bounded()
async def test_a_host_that_only_looks_like_this_machine_is_refused(host):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            reply = await ask(proxy.port, "/admin/state", method="GET", host=host)
            assert reply.status == 403


@pytest.mark.parametrize("path", ["drain", "enable", "clear", "login", "logout"])
@bounded()
async def test_cross_site_requests_are_rejected(path):
    async with scripted(GOOD) as vendor, serve_proxy(keyed(vendor)) as proxy:
        cookie = await signed_in(proxy)
        reply = await post(proxy, f"/admin/{path}", DRAIN, headers=[cookie, ELSEWHERE])
        assert reply.status == 403
        assert "another site" in reply.json["detail"]


@bounded()
async def test_without_a_key_this_machine_is_signed_in_and_others_are_not():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            here = await get_json(proxy, "/admin/session")
            assert here == {"protected": False, "signed_in": True, "sign_in": False}
            other = await get_json(proxy, "/admin/session", host="llm.example.com")
            assert other == {"protected": False, "signed_in": False, "sign_in": False}
            assert (await post(proxy, "/admin/login", {"key": "any"})).status == 204
            reply = await post(proxy, "/admin/drain", DRAIN, headers=[ELSEWHERE])
            assert reply.status == 403


def test_a_cookie_is_valid_until_it_expires_and_only_for_its_key():
    shown = session_cookie(session_key(KEY), 1000)
    assert is_session_cookie(shown, session_key(KEY), 999.9)
    assert not is_session_cookie(shown, session_key(KEY), 1000.0)
    assert not is_session_cookie(shown, session_key("another"), 999.9)

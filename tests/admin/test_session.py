"""Signing in with a browser, and protection against cross-site requests."""

from time import time

import pytest

from llmproxy.admin.auth import is_session_cookie, session_cookie
from tests.admin.watching import get_json, post
from tests.support.client import ask
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


async def signed_in(proxy, **options):
    """Sign in as a browser does; returns the cookie that it would send from then on."""
    reply = await post(proxy, "/admin/login", {"key": KEY}, **options)
    assert reply.status == 204
    return ("cookie", reply.header("set-cookie").split(";")[0])


@bounded()
async def test_signing_in_gives_a_cookie_for_everything_that_scripts_cannot_read():
    async with scripted(GOOD) as vendor, serve_proxy(keyed(vendor)) as proxy:
        before = await get_json(proxy, "/admin/session")
        assert before == {"protected": True, "signed_in": False}
        reply = await post(proxy, "/admin/login", {"key": KEY}, headers=[HERE])
        cookie, *attributes = reply.header("set-cookie").split("; ")
        assert {word.lower() for word in attributes} == {
            *("httponly", "samesite=strict", "path=/admin", f"max-age={SESSION_S}"),
        }
        assert KEY not in cookie
        headers = [("cookie", cookie), HERE]
        after = await get_json(proxy, "/admin/session", headers=headers)
        assert after == {"protected": True, "signed_in": True}
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
        session_cookie("another key", later),
        session_cookie(KEY, int(time()) - 1),
        session_cookie(KEY, later).replace(str(later), str(later + 1)),
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


@bounded()
async def test_signing_out_deletes_the_cookie():
    async with scripted(GOOD) as vendor, serve_proxy(keyed(vendor)) as proxy:
        cookie = await signed_in(proxy)
        reply = await post(proxy, "/admin/logout", {}, headers=[cookie])
        assert reply.status == 204
        assert "max-age=0" in reply.header("set-cookie").lower()


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
            assert here == {"protected": False, "signed_in": True}
            other = await get_json(proxy, "/admin/session", host="llm.example.com")
            assert other == {"protected": False, "signed_in": False}
            assert (await post(proxy, "/admin/login", {"key": "any"})).status == 204
            reply = await post(proxy, "/admin/drain", DRAIN, headers=[ELSEWHERE])
            assert reply.status == 403


def test_a_cookie_is_valid_until_it_expires_and_only_for_its_key():
    shown = session_cookie(KEY, 1000)
    assert is_session_cookie(shown, KEY, 999.9)
    assert not is_session_cookie(shown, KEY, 1000.0)
    assert not is_session_cookie(shown, "another", 999.9)

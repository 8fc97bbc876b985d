"""A redirect is a misconfigured endpoint: nobody follows it, and no client sees it."""

import pytest

from llmproxy.events import EndpointChange
from tests.support.client import CHAT, STREAM, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, always, http, scripted

ELSEWHERE = "https://elsewhere.example:8443/v1/chat/completions?key=secret"


def redirect(status, location=ELSEWHERE):
    headers = [] if location is None else [("location", location)]
    return always(http(status=status, headers=headers))


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
@bounded()
async def test_the_next_endpoint_answers_and_the_operator_is_told_where_it_led(status):
    async with scripted(redirect(status)) as moved, scripted(GOOD) as fine:
        async with serve_proxy(group_of(moved, fine)) as proxy:
            replies = [await ask(proxy.port, body=CHAT) for _ in range(4)]
            (change,) = proxy.events.changes
    assert {reply.status for reply in replies} == {200}
    assert len(moved.received) == 1
    assert change.state is EndpointChange.MISCONFIGURED
    assert "https://elsewhere.example" in change.why
    assert "base_url" in change.why
    assert "secret" not in change.why


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["unary", "stream"])
@pytest.mark.parametrize("location", [ELSEWHERE, "/login", "http://[", None])
@bounded()
async def test_a_lone_endpoint_that_redirects_is_an_error_of_the_proxy(body, location):
    async with scripted(redirect(302, location)) as moved:
        async with serve_proxy(group_of(moved)) as proxy:
            replies = [await ask(proxy.port, body=body) for _ in range(2)]
    for reply in replies:
        assert 500 <= reply.status < 600
        assert reply.header("location") is None
        assert "redirect" in reply.error["message"]


@bounded()
async def test_a_costly_call_goes_elsewhere_too():
    image = always(http({"data": [{"b64_json": "x"}]}))
    async with scripted(redirect(308)) as moved, scripted(image) as fine:
        async with serve_proxy(group_of(moved, fine)) as proxy:
            body = {"model": "gpt-4.1", "prompt": "x"}
            reply = await ask(proxy.port, "/v1/images/generations", body)
    assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "e1")


@pytest.mark.parametrize("name", ["if-none-match", "if-modified-since"])
@bounded()
async def test_a_304_answers_a_condition_of_the_client(name):
    async with scripted(always(http(status=304, framed=False))) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(
                proxy.port, "/v1/files/f_1/content", method="GET", headers=[(name, "x")]
            )
    assert reply.status == 304


@bounded()
async def test_a_download_that_redirects_is_not_passed_on_either():
    async with scripted(redirect(302)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, "/v1/files/f_1/content", method="GET")
    assert 500 <= reply.status < 600
    assert reply.header("location") is None
    assert "https://elsewhere.example" in reply.error["message"]

"""What a browser could run at our origin is sandboxed."""

import pytest

from tests.support.client import ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted


@pytest.mark.parametrize(
    ("kind", "inert"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("text/html; charset=utf-8", False),
        ("image/svg+xml", False),
        ("audio/mpeg", False),
        ("application/xml", False),
    ],
)
@bounded()
async def test_what_a_browser_could_run_is_sandboxed(kind, inert):
    answer = always(http(chat("good"), content_type=kind))
    async with scripted(answer) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        reply = await ask(proxy.port, "/v1/files/x/content", method="GET")
        assert reply.status == 200
        policy = None if inert else "sandbox"
        assert reply.header("content-security-policy") == policy
        assert reply.header("x-content-type-options") == (None if inert else "nosniff")

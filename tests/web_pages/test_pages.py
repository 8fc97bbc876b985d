"""Requests of web pages, on real sockets: what reaches an endpoint, and who may read the answer."""

import pytest

from tests.support.callers import KEY_A, bearer, team_a, with_callers
from tests.support.client import CHAT, STREAM, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, error_body, http, scripted

APP = "https://app.example.com"
# What Ollama, vLLM and llama.cpp send.
OPEN_VENDOR = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-credentials", "true"),
    ("access-control-expose-headers", "x-request-id"),
]
GOOD = always(http(chat("good"), headers=OPEN_VENDOR))
PREFLIGHT = [
    ("origin", APP),
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "authorization,content-type,x-stainless-lang"),
]


def cors_of(reply):
    return {name: value for name, value in reply.headers if name.startswith("access-control-")}


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        ([("origin", "https://evil.example")], "127.0.0.1"),
        ([("origin", "null"), ("content-type", "text/plain")], "127.0.0.1"),
        ([("sec-fetch-site", "cross-site")], "localhost:4000"),
        ([("sec-fetch-site", "same-site"), ("origin", "http://localhost:5173")], "localhost:4000"),
        ([], "evil.example:4000"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files", "/v1/messages"])
@bounded()
async def test_no_request_of_a_foreign_page_reaches_an_endpoint(headers, host, path):
    headers = [("content-type", "text/plain"), *headers]
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        reply = await ask(proxy.port, path, CHAT, headers=headers, host=host)
        assert reply.status == 403
        assert cors_of(reply) == {}
        assert vendor.received == []
        [seen] = proxy.events.calls
        assert seen.record.answer.error in ("origin_not_allowed", "host_not_allowed")


@bounded()
async def test_the_models_are_not_read_by_a_rebound_name():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        reply = await ask(proxy.port, "/v1/models", method="GET", host="evil.example")
        assert (reply.status, reply.error["code"]) == (403, "host_not_allowed")


@bounded()
async def test_without_pages_no_answer_has_cors_headers_whatever_the_endpoint_sends():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        reply = await ask(proxy.port, body=CHAT)
        assert reply.status == 200
        assert cors_of(reply) == {}


@pytest.mark.parametrize("body", [CHAT, STREAM])
@pytest.mark.parametrize("status", [200, 400])
@bounded()
async def test_a_listed_page_reads_answers_and_errors_with_our_headers_alone(body, status):
    answer = always(
        http(chat("x") if status == 200 else error_body("bad"), status=status, headers=OPEN_VENDOR)
    )
    async with scripted(answer) as vendor:
        config = config_for(vendor.base_url, allowed_origins=[APP + "/"])
        async with serve_proxy(config) as proxy:
            headers = [("origin", APP), ("sec-fetch-site", "cross-site")]
            reply = await ask(proxy.port, body=body, headers=headers)
            assert reply.status == status
            cors = cors_of(reply)
            assert cors.pop("access-control-allow-origin") == APP
            exposed = cors.pop("access-control-expose-headers").split(", ")
            assert {"content-type", "x-request-id", "x-llmproxy-attempts"} <= set(exposed)
            assert cors == {}
            assert "origin" in reply.all("vary")
            other = await ask(proxy.port, body=body, headers=[("origin", "https://other.example")])
            assert other.status == 403


@pytest.mark.parametrize("with_keys", [False, True])
@bounded()
async def test_a_preflight_needs_no_key(with_keys):
    async with scripted(GOOD) as vendor:
        config = with_callers(vendor, team_a()) if with_keys else config_for(vendor.base_url)
        config["general_settings"]["allowed_origins"] = [APP]
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, method="OPTIONS", headers=PREFLIGHT)
            assert reply.status == 204
            assert reply.header("access-control-allow-origin") == APP
            assert "POST" in reply.header("access-control-allow-methods")
            wanted = "authorization,content-type,x-stainless-lang"
            assert reply.header("access-control-allow-headers") == wanted
            assert vendor.received == []
            called = await ask(proxy.port, body=CHAT, headers=[("origin", APP), *bearer(KEY_A)])
            assert called.status == 200


@bounded()
async def test_a_listed_page_without_a_key_can_read_why_it_is_refused():
    async with scripted(GOOD) as vendor:
        config = with_callers(vendor, team_a())
        config["general_settings"]["allowed_origins"] = ["*"]
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=[("origin", APP)])
            assert reply.status == 401
            assert reply.header("access-control-allow-origin") == APP


@bounded()
async def test_the_preflight_of_a_foreign_page_is_refused():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        reply = await ask(proxy.port, method="OPTIONS", headers=PREFLIGHT)
        assert (reply.status, cors_of(reply)) == (403, {})


@bounded()
async def test_origins_are_taken_over_by_a_reload(tmp_path):
    path = tmp_path / "llmproxy.yaml"
    async with scripted(GOOD) as vendor:
        config = config_for(vendor.base_url, allowed_hosts=["llm.example.com"])
        async with serve_proxy(config, path=path) as proxy:
            assert (await ask(proxy.port, body=CHAT, host="llm.example.com")).status == 200
            assert (await ask(proxy.port, body=CHAT, headers=[("origin", APP)])).status == 403
            listed = path.read_text().replace(
                "allowed_hosts:\n  - llm.example.com", f"allowed_origins: ['{APP}']"
            )
            path.write_text(listed)
            await proxy.reloader.reload()
            assert (await ask(proxy.port, body=CHAT, headers=[("origin", APP)])).status == 200
            assert (await ask(proxy.port, body=CHAT, host="llm.example.com")).status == 403

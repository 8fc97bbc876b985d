"""Errors of ours on `/v1/messages` have the shape of Anthropic's API, as literal JSON."""

import asyncio
import json

import pytest

from tests.support.client import ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, http, scripted

KEY = "sk-caller-a-secret"
PATH = "/v1/messages"
MESSAGE = {"model": "gpt-4.1", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
GOOD = always(http(b"{}"))


async def silent(*_):
    """Return a vendor that accepts a request and never answers."""
    await asyncio.sleep(5)
    yield b""


DOWN = always(http(b"{}", status=500))


def with_caller(vendor, **limits):
    caller = {"name": "team-a", "key": KEY, "limits": limits}
    return config_for(vendor.base_url, callers=[caller])


def check(reply, status, kind, *, words=""):
    """A reply with an error of ours, in Anthropic's shape and in no other."""
    assert reply.status == status
    assert reply.header("content-type") == "application/json"
    assert reply.header("x-llmproxy-error-source") == "proxy"
    payload = reply.json
    assert payload.keys() - {"request_id"} == {"type", "error"}
    assert payload["type"] == "error"
    assert payload["error"].keys() == {"type", "message"}
    assert payload["error"]["type"] == kind
    assert words in payload["error"]["message"]
    assert payload.get("request_id") == reply.header("request-id") == reply.header("x-request-id")


@pytest.mark.parametrize(
    "path",
    ["/v1/messages", "/messages", "/openai/v1/messages", "/v1/messages/count_tokens"],
)
@bounded()
async def test_a_missing_key_is_an_authentication_error(path):
    async with scripted(GOOD) as vendor, serve_proxy(with_caller(vendor, rpm=1)) as proxy:
        reply = await ask(proxy.port, path, MESSAGE)
    check(reply, 401, "authentication_error", words="x-api-key")
    assert reply.header("x-should-retry") == "false"


@bounded()
async def test_an_exhausted_caller_gets_a_rate_limit_error():
    async with scripted(GOOD) as vendor, serve_proxy(with_caller(vendor, rpm=1)) as proxy:
        headers = [("x-api-key", KEY)]
        assert (await ask(proxy.port, PATH, MESSAGE, headers=headers)).status == 200
        reply = await ask(proxy.port, PATH, MESSAGE, headers=headers)
    check(reply, 429, "rate_limit_error", words="requests per min (RPM): Limit 1")
    assert int(reply.header("retry-after")) > 0


@bounded()
async def test_an_unknown_model_is_a_not_found_error():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        reply = await ask(proxy.port, PATH, {**MESSAGE, "model": "no-such-model"})
    check(reply, 404, "not_found_error", words="no-such-model")


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (PATH, b"{", ""),
        (PATH, {**MESSAGE, "model": 5}, "model"),
        ("/v1/messages/../files", MESSAGE, "a dot segment"),
        ("/v1/messages/a//b", MESSAGE, "an empty segment"),
    ],
)
@bounded()
async def test_a_malformed_request_is_an_invalid_request_error(path, body, words):
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        check(await ask(proxy.port, path, body), 400, "invalid_request_error", words=words)


@bounded()
async def test_a_body_that_is_too_large_is_named():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(config_for(vendor.base_url, max_body_bytes=1024)) as proxy:
            body = {**MESSAGE, "system": "x" * 2000}
            check(await ask(proxy.port, PATH, body), 413, "request_too_large")


@bounded()
async def test_an_encoding_that_is_unknown_is_an_invalid_request_error():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        headers = [("content-encoding", "lzma"), ("content-type", "application/json")]
        reply = await ask(proxy.port, PATH, b"abc", headers=headers)
    check(reply, 415, "invalid_request_error")


@bounded()
async def test_endpoints_that_all_fail_are_an_overload():
    async with scripted(DOWN) as one, scripted(DOWN) as two:
        config = config_for(one.base_url, two.base_url, num_retries=0)
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, PATH, MESSAGE)
    check(reply, 503, "overloaded_error", words="No endpoint of 'gpt-4.1' could answer.")


@bounded()
async def test_a_call_whose_time_is_over_is_a_timeout():
    async with scripted(always(silent)) as vendor:
        async with serve_proxy(config_for(vendor.base_url)) as proxy:
            headers = [("x-llmproxy-timeout-s", "0.2")]
            reply = await ask(proxy.port, PATH, MESSAGE, headers=headers)
    check(reply, 504, "timeout_error")


@bounded()
async def test_an_error_of_the_endpoint_passes_as_it_came():
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"Theirs."}}'
    async with scripted(always(http(body, status=400))) as vendor:
        async with serve_proxy(config_for(vendor.base_url)) as proxy:
            reply = await ask(proxy.port, PATH, MESSAGE)
    assert reply.status == 400
    assert reply.body == body
    assert reply.header("x-llmproxy-error-source") == "upstream"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/no/such/path"])
@bounded()
async def test_every_other_path_keeps_the_shape_of_openai(path):
    async with scripted(GOOD) as vendor, serve_proxy(with_caller(vendor, rpm=1)) as proxy:
        reply = await ask(proxy.port, path, MESSAGE)
    assert reply.status == 401
    assert reply.json.keys() == {"error"}
    assert reply.error.keys() == {"message", "type", "param", "code"}
    assert reply.error["code"] == "invalid_api_key"


@bounded()
async def test_an_error_after_a_heartbeat_is_an_event():
    async with scripted(always(silent)) as vendor:
        config = config_for(vendor.base_url, queue={"heartbeat_s": 0.05})
        async with serve_proxy(config) as proxy:
            headers = [("x-llmproxy-timeout-s", "0.3")]
            reply = await ask(proxy.port, PATH, {**MESSAGE, "stream": True}, headers=headers)
    assert reply.status == 200
    *beats, event, end = reply.body.split(b"\n\n")
    assert reply.header("request-id").startswith("req_")
    assert set(beats) == {b'event: ping\ndata: {"type": "ping"}'}
    name, data = event.split(b"\n")
    assert (name, end) == (b"event: error", b"")
    payload = json.loads(data.removeprefix(b"data: "))
    assert payload.keys() == {"type", "error", "request_id"}
    assert payload["type"] == "error"
    assert payload["error"].keys() == {"type", "message"}
    assert payload["error"]["type"] == "timeout_error"

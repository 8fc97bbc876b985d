"""What an endpoint quotes of the operator's secrets reaches no client and no log, in no form."""

import gzip
import json
from urllib.parse import quote

import pytest

from tests.support.client import CHAT, STREAM, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    always,
    chunk,
    delta,
    event,
    http,
    scripted,
    sse_head,
)

KEY, HEADER, QUERY = "sk-upstream-key", "hunter2-pw", 'gw "pass"/Sömmer'
SHORT = "p4ss"
SECRETS = (KEY, HEADER, QUERY, SHORT)
WORDS = f"No: {KEY}, {HEADER}, {QUERY} and {SHORT}."
MASKED = "No: ***, ***, *** and ***."


def guarded(vendor, name="e0", **params):
    """An endpoint with four secrets."""
    return {
        "name": name,
        "model": "gpt-4.1",
        "params": {
            "base_url": vendor.base_url,
            "api_key": KEY,
            "default_headers": {"x-gateway-pass": HEADER, "x-short": SHORT},
            "default_query": {"key": QUERY, "api-version": "preview"},
            **params,
        },
    }


def failing(words=WORDS, *, status, headers=(), encode=json.dumps, code="x"):
    text = encode({"error": {"message": words, "type": "t", "code": code}})
    body = text if isinstance(text, bytes) else text.encode()
    return always(http(body, status=status, headers=headers))


def whole(reply):
    return repr(reply.headers) + reply.body.decode("utf-8", "backslashreplace")


def quoted(text):
    """The secrets that a text shows, in one of the forms of this module's vendors."""
    forms = [
        form
        for secret in SECRETS
        for form in (secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe=""))
    ]
    return [form for form in forms if form in text]


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
@bounded()
async def test_the_body_of_an_error_is_masked(status, caplog):
    async with scripted(failing(status=status)) as vendor:
        async with serve_proxy(config_for(guarded(vendor), num_retries=0)) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=[("x-llmproxy-explain", "1")])

    assert reply.status == status
    assert reply.error["message"] == MASKED
    assert not quoted(whole(reply) + caplog.text)


@bounded()
async def test_two_endpoints_that_fail_are_named_without_secrets(caplog):
    async with scripted(failing(status=500)) as one, scripted(failing(status=500)) as two:
        config = config_for(guarded(one), guarded(two, "e1"), num_retries=1)
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=CHAT)

    assert reply.status == 503
    assert reply.error["message"].count(MASKED.rstrip(".")) == 2
    assert MASKED.rstrip(".") in reply.error["message"]
    assert not quoted(whole(reply) + caplog.text)


@pytest.mark.parametrize(
    "encode",
    [
        lambda value: json.dumps(value, ensure_ascii=False),
        lambda value: json.dumps({"error": {"message": json.dumps(value), "code": "x"}}),
        lambda value: quote(json.dumps(value)),
        lambda value: "".join(f"\\u{ord(char):04x}" for char in WORDS),
    ],
)
@bounded()
async def test_it_is_masked_in_each_way_of_writing(encode):
    async with scripted(failing(status=400, encode=encode)) as vendor:
        async with serve_proxy(config_for(guarded(vendor))) as proxy:
            reply = await ask(proxy.port, body=CHAT)

    assert reply.body.count(b"***") == 4
    assert not quoted(reply.body.decode())
    assert b"u0073" not in reply.body


@bounded()
async def test_a_compressed_body_is_masked_and_others_stay_compressed():
    def compressed(value):
        return gzip.compress(json.dumps(value).encode())

    headers = [("content-encoding", "gzip")]
    asking = [("accept-encoding", "gzip")]
    async with scripted(failing(status=400, headers=headers, encode=compressed)) as vendor:
        async with serve_proxy(config_for(guarded(vendor))) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=asking)
    assert reply.error["message"] == MASKED
    assert reply.header("content-encoding") is None

    harmless = failing("No.", status=400, headers=headers, encode=compressed)
    async with scripted(harmless) as vendor:
        async with serve_proxy(config_for(guarded(vendor))) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=asking)
    assert json.loads(gzip.decompress(reply.body))["error"]["message"] == "No."


@bounded()
async def test_the_headers_of_an_error_are_masked():
    headers = [("www-authenticate", f'Bearer realm="{HEADER}"'), ("x-echo", f"Bearer {KEY}")]
    async with scripted(failing(status=400, headers=headers)) as vendor:
        async with serve_proxy(config_for(guarded(vendor))) as proxy:
            reply = await ask(proxy.port, body=CHAT)

    assert reply.header("www-authenticate") == 'Bearer realm="***"'
    assert reply.header("x-echo") == "Bearer ***"


@bounded()
async def test_an_error_event_is_masked_at_the_beginning_and_in_the_middle_of_a_stream(caplog):
    error = event({"error": {"message": WORDS, "type": "invalid_request_error", "code": "x"}})
    early = always(sse_head(), chunk(error), 0.05, chunk(error), LAST_CHUNK)
    late = always(sse_head(), chunk(delta("word")), 0.05, chunk(error), chunk(DONE), LAST_CHUNK)
    for script in (early, late):
        async with scripted(script) as vendor:
            async with serve_proxy(config_for(guarded(vendor), num_retries=0)) as proxy:
                reply = await ask(proxy.port, body=STREAM)

        assert b"No: ***, ***, *** and ***." in reply.body
        assert not quoted(whole(reply) + caplog.text)


@pytest.mark.parametrize("end", ["", "\n"])
@bounded()
async def test_an_error_event_that_the_stream_ends_without_an_empty_line_is_masked(end):
    error = event({"error": {"message": WORDS, "type": "server_error", "code": "x"}}).rstrip()
    last = chunk(error + end.encode())
    script = always(sse_head(), chunk(delta("word")), 0.05, last, LAST_CHUNK)
    async with scripted(script) as vendor:
        async with serve_proxy(config_for(guarded(vendor), num_retries=0)) as proxy:
            reply = await ask(proxy.port, body=STREAM)

    assert b"No: ***, ***, *** and ***." in reply.body
    assert not quoted(whole(reply))


@bounded()
async def test_a_secret_is_masked_though_only_its_beginning_came_before_the_failure_was_seen():
    error = event({"error": {"message": "No.", "type": "server_error", "code": "x"}})
    more = event({"error": {"message": WORDS, "type": "server_error", "code": "x"}})
    cut = more.index(KEY.encode()) + 5
    script = always(sse_head(), chunk(error + more[:cut]), 0.05, chunk(more[cut:]), LAST_CHUNK)
    async with scripted(script) as vendor:
        async with serve_proxy(config_for(guarded(vendor), num_retries=0)) as proxy:
            reply = await ask(proxy.port, body=STREAM)

    assert b"No: ***, ***, *** and ***." in reply.body
    assert not quoted(whole(reply))


@pytest.mark.parametrize(
    "raw",
    [
        f"HTTP/1.1 500 Bad key {KEY}\r\ncontent-length: 0\r\n\r\n",
        f"HTTP/1.1 200 OK\r\ntransfer-encoding: {HEADER}\r\n\r\n",
        f"HTTP/1.1 {KEY} OK\r\n\r\n",
        f"{HEADER}\r\n\r\n",
    ],
)
@bounded()
async def test_complaints_about_an_answers_framing_quote_no_secret(raw, caplog):
    async with scripted(always(raw.encode())) as vendor:
        async with serve_proxy(config_for(guarded(vendor), num_retries=0)) as proxy:
            reply = await ask(proxy.port, body=CHAT)

    assert reply.status >= 500
    assert not quoted(whole(reply) + caplog.text)


@bounded()
async def test_what_only_names_a_version_is_no_secret():
    words = "The api-version preview is unknown; see application/json."
    async with scripted(failing(words, status=400)) as vendor:
        endpoint = guarded(vendor, default_headers={"Accept": "application/json"})
        async with serve_proxy(config_for(endpoint)) as proxy:
            reply = await ask(proxy.port, body=CHAT)

    assert reply.error["message"] == words

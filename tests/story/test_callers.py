"""A proxy with callers: their keys, groups and limits."""

import asyncio
import logging
from datetime import UTC, datetime

import msgspec
import pytest

from llmproxy.batteries.telemetry.access_log import AccessLog
from tests.support.callers import KEY_A, KEY_B, bearer, team_a, team_b, with_callers
from tests.support.client import CHAT, STREAM, ask, connect, request
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    always,
    chat,
    chunk,
    delta,
    error_body,
    http,
    scripted,
    sse_head,
)

VENDORS_LIMITS = [
    ("x-ratelimit-limit-requests", "9999"),
    ("x-ratelimit-remaining-requests", "9998"),
    ("x-ratelimit-limit-project-tokens", "7"),
    ("anthropic-ratelimit-tokens-limit", "8"),
]
OPENAIS = ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"]
GOOD = always(http(chat("good"), headers=VENDORS_LIMITS))


# ---- keys


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/gpt-4.1"),
        ("OPTIONS", "/v1/models"),
        ("GET", "/no/such/path"),
        ("DELETE", "/v1/files/f"),
    ],
)
@pytest.mark.parametrize("headers", [[], bearer("sk-wrong")], ids=["no key", "unknown"])
@bounded()
async def test_every_path_of_the_data_plane_needs_a_key(method, path, headers):
    async with scripted(GOOD) as vendor, serve_proxy(with_callers(vendor, team_a())) as proxy:
        body = CHAT if method == "POST" else b""
        reply = await ask(proxy.port, path, body, method=method, headers=headers)
        assert reply.status == 401
        assert reply.error["code"] == "invalid_api_key"
        assert reply.error["type"] == "invalid_request_error"
        assert "Authorization: Bearer KEY" in reply.error["message"]
        assert reply.header("x-should-retry") == "false"
        assert reply.header("www-authenticate") == "Bearer"
        assert reply.header("x-llmproxy-error-source") == "proxy"
        assert vendor.received == []
        assert [
            (seen.record.answer.status, seen.record.request.caller) for seen in proxy.events.calls
        ] == [(401, None)]


@bounded()
async def test_the_operators_paths_need_no_key():
    async with scripted(GOOD) as vendor, serve_proxy(with_callers(vendor, team_a())) as proxy:
        for path in ("/livez", "/readyz", "/health", "/"):
            assert (await ask(proxy.port, path, method="GET")).status == 200


@pytest.mark.parametrize("name", ["authorization", "api-key", "x-api-key"])
@bounded()
async def test_a_callers_key_is_never_sent_upstream(name):
    value = f"Bearer {KEY_A}" if name == "authorization" else KEY_A
    async with scripted(GOOD) as vendor:
        for api_key in ("sk-upstream", None):
            async with serve_proxy(with_callers(vendor, team_a(), api_key=api_key)) as proxy:
                reply = await ask(proxy.port, body=CHAT, headers=[(name, value)])
                assert reply.status == 200
                assert proxy.events.calls[0].record.request.caller == "team-a"
        own, none = vendor.received
        assert own.header("authorization") == "Bearer sk-upstream"
        assert none.header("authorization") is None
        for received in vendor.received:
            assert KEY_A not in str(received.headers)


@bounded()
async def test_the_only_endpoint_that_refuses_calls_without_a_credential_looks_misconfigured():
    refuses = always(http(error_body("invalid_api_key"), status=401))
    async with scripted(refuses) as vendor:
        async with serve_proxy(with_callers(vendor, team_a(), api_key=None)) as proxy:
            await ask(proxy.port, body=CHAT, headers=bearer(KEY_A))
            assert [change.state for change in proxy.events.changes] == ["suspect"]


@bounded()
async def test_keys_appear_in_no_log_error_or_page(caplog):
    lines = []
    log = AccessLog(lines.append, human=False)
    with caplog.at_level(logging.DEBUG):
        async with scripted(GOOD) as vendor:
            config = with_callers(vendor, team_a(limits={"rpm": 1}), team_b(groups=["gpt-4.1"]))
            async with serve_proxy(config) as proxy:
                answers = [
                    await ask(proxy.port, body=CHAT, headers=bearer(key))
                    for key in (KEY_A, KEY_A, KEY_B, KEY_B + "-wrong")
                ]
                answers.append(await ask(proxy.port, "/health", method="GET"))
                for call in proxy.events.calls:
                    log.call_finished(call)
                shown = repr(proxy.runtime.config) + repr(proxy.runtime.callers)
    log.close()
    assert [answer.status for answer in answers] == [200, 429, 200, 401, 200]
    logged = b"".join(lines).decode()
    assert [msgspec.json.decode(line).get("caller") for line in logged.splitlines()] == [
        "team-a",
        "team-a",
        "team-b",
        None,
    ]
    seen = (
        logged
        + caplog.text
        + shown
        + "".join(f"{answer.headers}{answer.body}" for answer in answers)
    )
    assert KEY_A not in seen
    assert KEY_B not in seen


# ---- groups


@bounded()
async def test_a_caller_sees_only_the_groups_that_it_may_use():
    async with scripted(GOOD) as vendor:
        callers = team_a(groups=["gpt-4.1"]), team_b()
        async with serve_proxy(with_callers(vendor, *callers, groups=("gpt-4.1", "o3"))) as proxy:

            async def models(key):
                reply = await ask(proxy.port, "/v1/models", method="GET", headers=bearer(key))
                return [model["id"] for model in reply.json["data"]]

            assert await models(KEY_A) == ["gpt-4.1"]
            assert await models(KEY_B) == ["gpt-4.1", "o3"]
            o3 = {**CHAT, "model": "o3"}
            refused = await ask(proxy.port, body=o3, headers=bearer(KEY_A))
            assert (refused.status, refused.error["code"]) == (404, "model_not_found")
            assert refused.error["message"].endswith("This proxy serves: gpt-4.1.")
            one = await ask(proxy.port, "/v1/models/o3", method="GET", headers=bearer(KEY_A))
            assert one.status == 404
            assert (await ask(proxy.port, body=o3, headers=bearer(KEY_B))).status == 200
            assert len(vendor.received) == 1


# ---- limits


@bounded()
async def test_a_caller_at_its_limit_is_refused_at_once_and_others_are_not():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(with_callers(vendor, team_a(limits={"rpm": 2}), team_b())) as proxy:
            replies = [await ask(proxy.port, body=CHAT, headers=bearer(KEY_A)) for _ in range(3)]
            assert [reply.status for reply in replies] == [200, 200, 429]
            refused = replies[-1]
            assert refused.error["code"] == "rate_limit_exceeded"
            assert refused.error["type"] == "requests"
            assert refused.header("x-llmproxy-error-source") == "proxy"
            assert 55_000 <= int(refused.header("retry-after-ms")) <= 60_000
            assert 55 <= int(refused.header("retry-after")) <= 60
            assert (await ask(proxy.port, body=CHAT, headers=bearer(KEY_B))).status == 200
            assert len(vendor.received) == 3


@bounded()
async def test_limit_headers_report_the_callers_limits_not_those_of_our_account():
    async with scripted(GOOD) as vendor:
        limits = {"rpm": 2, "tpm": 100_000}
        async with serve_proxy(with_callers(vendor, team_a(limits=limits), team_b())) as proxy:
            replies = [await ask(proxy.port, body=CHAT, headers=bearer(KEY_A)) for _ in range(3)]
            for reply, remaining in zip(replies, ("1", "0", "0"), strict=True):
                assert reply.all("x-ratelimit-limit-requests") == ["2"]
                assert reply.all("x-ratelimit-remaining-requests") == [remaining]
                assert reply.all("x-ratelimit-limit-tokens") == ["100000"]
                assert 99_000 < int(reply.header("x-ratelimit-remaining-tokens")) <= 100_000
                assert reply.header("x-ratelimit-limit-project-tokens") is None
                assert reply.header("anthropic-ratelimit-tokens-limit") is None
            assert replies[0].header("x-ratelimit-reset-requests") == "1m0s"
            assert replies[0].header("x-ratelimit-reset-tokens") == "1m0s"
            without = await ask(proxy.port, body=CHAT, headers=bearer(KEY_B))
            assert [without.header(name) for name in OPENAIS] == ["9999", "9998"]
            assert without.header("x-ratelimit-limit-project-tokens") == "7"


@bounded()
async def test_errors_of_endpoints_carry_the_callers_limits_too():
    refuses = always(http(error_body("bad_request"), status=400, headers=VENDORS_LIMITS))
    async with scripted(refuses) as vendor:
        async with serve_proxy(with_callers(vendor, team_a(limits={"rpm": 9}))) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=bearer(KEY_A))
            assert reply.status == 400
            assert [reply.header(name) for name in OPENAIS] == ["9", "8"]
            assert reply.header("x-ratelimit-limit-project-tokens") is None


@bounded()
async def test_a_stream_that_begins_with_a_heartbeat_carries_the_callers_limits_too():
    slow = always(0.4, sse_head() + chunk(delta("hi", finish="stop") + DONE) + LAST_CHUNK)
    async with scripted(slow) as vendor:
        config = with_callers(vendor, team_a(limits={"rpm": 9}), queue={"heartbeat_s": 0.1})
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=STREAM, headers=bearer(KEY_A))
            assert reply.body.startswith(b": ka")
            assert [reply.header(name) for name in OPENAIS] == ["9", "8"]


@bounded()
async def test_tokens_are_reserved_on_arrival_and_corrected_by_the_usage():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(with_callers(vendor, team_a(limits={"tpm": 1_000}))) as proxy:
            big = {**CHAT, "max_tokens": 800}
            first = await ask(proxy.port, body=big, headers=bearer(KEY_A))
            assert int(first.header("x-ratelimit-remaining-tokens")) <= 200
            second = await ask(proxy.port, body=big, headers=bearer(KEY_A))
            assert second.status == 200  # 5 tokens were used, not 800


@bounded()
async def test_a_stream_keeps_its_concurrency_permit_until_its_end():
    may_end = asyncio.Event()

    def stream(received, _number):
        yield sse_head() + chunk(delta("hi"))
        while not may_end.is_set():
            yield 0.01
        yield chunk(delta(finish="stop") + DONE) + LAST_CHUNK

    async with scripted(stream) as vendor:
        async with serve_proxy(with_callers(vendor, team_a(limits={"concurrent": 1}))) as proxy:
            streaming = await connect(proxy.port)
            await streaming.send(request(body=STREAM, headers=bearer(KEY_A)))
            assert (await streaming.head())[0] == 200
            refused = await ask(proxy.port, body=STREAM, headers=bearer(KEY_A))
            assert refused.status == 429
            assert "calls at a time: Limit 1" in refused.error["message"]
            may_end.set()
            while await streaming.chunk():
                pass
            assert (await ask(proxy.port, body=STREAM, headers=bearer(KEY_A))).status == 200
            streaming.leave()


@bounded()
async def test_a_client_that_leaves_frees_its_concurrency_permit():
    def hang(received, number):
        return ("hang",) if number == 1 else (http(chat("good")),)

    async with scripted(hang) as vendor:
        async with serve_proxy(with_callers(vendor, team_a(limits={"concurrent": 1}))) as proxy:
            leaving = await connect(proxy.port)
            await leaving.send(request(body=CHAT, headers=bearer(KEY_A)))
            while not vendor.received:
                await asyncio.sleep(0.01)
            leaving.leave()
            while not proxy.events.calls:
                await asyncio.sleep(0.01)
            assert proxy.events.calls[0].record.answer.status == 499
            assert (await ask(proxy.port, body=CHAT, headers=bearer(KEY_A))).status == 200


@bounded()
async def test_calls_that_arrive_at_once_do_not_exceed_the_limit():
    async with scripted(always(0.2, http(chat("good")))) as vendor:
        async with serve_proxy(
            with_callers(vendor, team_a(limits={"rpm": 20, "concurrent": 5}))
        ) as proxy:
            replies = await asyncio.gather(
                *(ask(proxy.port, body=CHAT, headers=bearer(KEY_A)) for _ in range(30))
            )
            statuses = [reply.status for reply in replies]
            assert statuses.count(200) == 5
            assert statuses.count(429) == 25
            assert len(vendor.received) == 5


@bounded()
async def test_without_callers_an_endpoint_without_a_key_gets_the_clients_key():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(with_callers(vendor, api_key=None)) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=bearer("sk-mine"))
            assert reply.status == 200
            assert vendor.received[0].header("authorization") == "Bearer sk-mine"
            assert [reply.header(name) for name in OPENAIS] == ["9999", "9998"]
            assert proxy.events.calls[0].record.request.caller is None


# ---- Anthropic's dialect

MESSAGE = {"model": "gpt-4.1", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}


def anthropics(reply, of):
    """Return limit, remaining, and the seconds from now until the reset."""
    limit, remaining, reset = (
        reply.header(f"anthropic-ratelimit-{of}-{part}") for part in ("limit", "remaining", "reset")
    )
    assert reset.endswith("Z")
    moment = datetime.strptime(reset, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return limit, remaining, (moment - datetime.now(UTC)).total_seconds()


@bounded()
async def test_a_caller_of_messages_reads_its_limits_under_anthropics_names():
    async with scripted(GOOD) as vendor:
        limits = {"rpm": 2, "tpm": 100_000}
        async with serve_proxy(with_callers(vendor, team_a(limits=limits))) as proxy:
            replies = [
                await ask(proxy.port, "/v1/messages", MESSAGE, headers=[("x-api-key", KEY_A)])
                for _ in range(3)
            ]
    assert [reply.status for reply in replies] == [200, 200, 429]
    for reply, remaining in zip(replies, ("1", "0", "0"), strict=True):
        assert anthropics(reply, "requests")[:2] == ("2", remaining)
        assert 55 < anthropics(reply, "requests")[2] <= 61
        limit, left, reset_s = anthropics(reply, "tokens")
        assert limit == "100000"
        assert 99_000 < int(left) <= 100_000
        assert 55 < reset_s <= 61
        assert reply.header("x-ratelimit-limit-requests") is None
        assert reply.header("x-ratelimit-limit-project-tokens") is None
        assert reply.all("anthropic-ratelimit-tokens-limit") == ["100000"]  # not the vendor's 8
    assert replies[2].error["type"] == "rate_limit_error"


@bounded()
async def test_the_same_caller_reads_openais_names_on_chat():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(with_callers(vendor, team_a(limits={"rpm": 5}))) as proxy:
            await ask(proxy.port, "/v1/messages", MESSAGE, headers=bearer(KEY_A))
            reply = await ask(proxy.port, body=CHAT, headers=bearer(KEY_A))
    assert [reply.header(name) for name in OPENAIS] == ["5", "3"]
    assert reply.header("anthropic-ratelimit-requests-limit") is None

"""Until an endpoint has accepted the upgrade, another one may; afterwards the session ends."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import error_body, http, scripted
from tests.support.waiting import until
from tests.websockets.realtime import realtime_vendor
from tests.websockets.waiting_for import finished

SERVER_ERROR = (500, error_body("server_error"))
THROTTLED = (429, error_body("rate_limit_exceeded", message="Slow down"))
BAD_KEY = (401, error_body("invalid_api_key", message="Incorrect API key provided: sk-0"))


def url(proxy):
    return f"ws://127.0.0.1:{proxy.port}/v1/realtime?model=gpt-4.1"


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (SERVER_ERROR, "server_error"),
        (THROTTLED, "throttled"),
        (BAD_KEY, "credential_rejected"),
        ((404, {"detail": "Not Found"}), "operation_refused"),
        ((405, {"detail": "Method Not Allowed"}), "operation_refused"),
        ((426, {}), "operation_refused"),
        ((200, {}), "operation_refused"),
        ((307, {}), "misconfigured"),
    ],
)
@bounded()
async def test_an_endpoint_that_refuses_is_followed_by_the_next(refusal, reason):
    async with realtime_vendor(refusal=refusal) as first, realtime_vendor() as second:
        config = group_of(first, second)
        config["model_groups"][0]["models"][1]["tier"] = 1
        async with serve_proxy(config) as proxy:
            async with connect(url(proxy)) as session:
                assert json.loads(await session.recv())["type"] == "session.created"
                assert session.response.headers["x-llmproxy-endpoint"] == "e1"
            (record,) = await finished(proxy)
    assert record.attempts == 2
    (failure,) = proxy.events.failures
    assert (failure.attempt.endpoint, failure.attempt.reason) == ("e0", reason)


@pytest.mark.parametrize("steps", [("close",), (b"HTTP/1.1 101 X\r\n\r\n",), (b"junk\r\n\r\n",)])
@bounded()
async def test_an_endpoint_that_breaks_the_handshake_is_followed_by_the_next(steps):
    async with scripted(lambda *_: steps) as first, realtime_vendor() as second:
        config = group_of(first, second)
        config["model_groups"][0]["models"][1]["tier"] = 1
        async with serve_proxy(config) as proxy:
            async with connect(url(proxy)) as session:
                assert session.response.headers["x-llmproxy-endpoint"] == "e1"


@bounded()
async def test_an_endpoint_that_is_down_opens_its_breaker():
    async with realtime_vendor(refusal=SERVER_ERROR) as first, realtime_vendor() as second:
        config = group_of(first, second, allowed_fails=2)
        config["model_groups"][0]["models"][1]["tier"] = 1
        async with serve_proxy(config) as proxy:
            for _ in range(4):
                async with connect(url(proxy)):
                    pass
            await finished(proxy, 4)
    assert len(first.requests) == 2
    assert [change.state for change in proxy.events.changes] == ["open"]


@bounded()
async def test_a_refusal_of_all_is_an_answer_in_http_without_our_keys():
    async with realtime_vendor(refusal=BAD_KEY) as vendor:
        config = group_of(vendor)
        config["model_groups"][0]["models"][0]["params"]["api_key"] = "sk-secret-of-ours"
        vendor.refusal = (401, error_body("invalid_api_key", message="Bad: sk-secret-of-ours"))
        async with serve_proxy(config) as proxy:
            with pytest.raises(InvalidStatus) as refused:
                async with connect(url(proxy)):
                    pass
            (record,) = await finished(proxy)
    answer = refused.value.response
    assert answer.status_code == 401
    assert b"Bad: ***" in answer.body
    assert record.answer.error == "credential_rejected"


@bounded()
async def test_an_endpoint_that_dies_ends_the_session_with_a_notice_and_no_retry():
    async with realtime_vendor() as first, realtime_vendor() as second:
        async with serve_proxy(group_of(first, second)) as proxy:
            async with connect(url(proxy)) as session:
                await session.recv()
                vendor = first if first.sessions else second
                vendor.kill()
                notice = json.loads(await session.recv())
                assert notice["type"] == "error"
                assert notice["error"]["code"] == "upstream_stream_interrupted"
                with pytest.raises(ConnectionClosedError):
                    await session.recv()
                assert session.close_code == 1011
            (record,) = await finished(proxy)
    assert len(first.requests) + len(second.requests) == 1
    assert record.answer.error == "upstream_stream_interrupted"
    assert record.answer.error_source == "upstream"
    (attempt,) = proxy.events.attempts
    assert attempt.broken


@bounded()
async def test_no_notice_is_put_into_the_middle_of_a_message():
    async def half(vendor, session):
        async def pieces():
            yield "half of "
            await session.wait_closed()

        await session.send(pieces())

    async with realtime_vendor(talk=half) as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with connect(url(proxy)) as session:
            pieces = session.recv_streaming()
            assert await anext(pieces) == "half of "
            vendor.kill()
            with pytest.raises(ConnectionClosedError):
                await anext(pieces)
            assert session.close_code == 1011


@bounded()
async def test_a_session_that_is_closed_with_1011_counts_against_its_endpoint():
    async def fail(vendor, session):
        await session.close(1011, "oops")

    async with realtime_vendor(talk=fail) as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with connect(url(proxy)) as session:
            with pytest.raises(ConnectionClosedError):
                await session.recv()
            assert (session.close_code, session.close_reason) == (1011, "oops")
        (record,) = await finished(proxy)
    assert record.answer.error == "upstream_stream_interrupted"


@bounded()
async def test_an_error_that_quotes_our_key_is_masked():
    async def quote(vendor, session):
        await session.send('{"type":"error","error":{"message":"key sk-secret-of-ours"}}')
        await session.close(1008, "sk-secret-of-ours is wrong")

    async with realtime_vendor(talk=quote) as vendor:
        config = group_of(vendor)
        config["model_groups"][0]["models"][0]["params"]["api_key"] = "sk-secret-of-ours"
        async with serve_proxy(config) as proxy:
            async with connect(url(proxy)) as session:
                assert await session.recv() == '{"type":"error","error":{"message":"key ***"}}'
                with pytest.raises(ConnectionClosedError):
                    await session.recv()
                assert session.close_reason == "*** is wrong"


@bounded()
async def test_a_client_that_vanishes_closes_the_session_at_the_endpoint():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with connect(url(proxy)) as session:
            await session.recv()
            session.transport.abort()
            (record,) = await finished(proxy)
            await until(lambda: vendor.closes)
    assert vendor.closes == [(1001, "")]
    assert (record.answer.status, record.answer.error) == (499, "client_closed_request")


@bounded()
async def test_a_client_that_leaves_before_the_upgrade_cancels_it():
    async with scripted(lambda *_: ("hang",)) as vendor, serve_proxy(group_of(vendor)) as proxy:
        opening = asyncio.create_task(connect(url(proxy)).__aenter__())
        await until(lambda: vendor.received)
        opening.cancel()
        (record,) = await finished(proxy)
        await until(lambda: not vendor.open_connections)
    assert record.answer.status == 499


@bounded()
async def test_the_calls_own_deadline_ends_the_session():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        limit = {"x-llmproxy-timeout-s": "0.3"}
        async with connect(url(proxy), additional_headers=limit) as session:
            await session.recv()
            notice = json.loads(await session.recv())
            assert notice["error"]["code"] == "upstream_timeout"
            with pytest.raises(ConnectionClosedError):
                await session.recv()


@bounded()
async def test_an_endpoints_answer_of_200_is_not_passed_on_as_one():
    async with scripted(lambda *_: (http({"hello": 1}),)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            with pytest.raises(InvalidStatus) as refused:
                async with connect(url(proxy)):
                    pass
            assert refused.value.response.status_code == 503
